"""Redis in its moods: emptied, full, busy, loading, a replica, spoiled, without replicas. Each is told, survived and over."""
import concurrent.futures
import time

import pytest

import engines as all_engines
import lane as lanes
import load as loads

KEY = "Idempotency-Key"
PREFIX = all_engines.PREFIX


# ---- its moods


def test_script_flush_under_load_is_noticed_by_nobody(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    with loads.Load([lane], mint(), collecting=1) as load:
        for _ in range(20):
            redis("SCRIPT", "FLUSH")
            time.sleep(0.05)
        load.wait(50)
    lost = [n for n in load.noted if n.status not in (200, 202)]
    assert not lost, lost[:3]


def test_flushall_is_told_and_new_jobs_work(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    job = client.job(headers={KEY: "k"})
    assert client.collect(client.job()).status == 200
    redis("FLUSHALL")
    assert client.get(f"/jobs/{job}").status == 404
    assert client.collect(job).status == 404 and client.cancel(job).status == 404
    lane.told("empt|flush|lost")
    lanes.wait_until(lambda: client.depth() == 0, 2, "nothing is left")
    loads.back(lane, mint())
    assert client.job(headers={KEY: "k"}) != job


def test_a_redis_without_memory_takes_no_more_jobs_and_ends_those_that_are_there(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    seed = {"constraints": {"flags": {"pad": "p" * 4000}}}
    jobs = [client.schedule(seed=seed).json for _ in range(20)]
    redis("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis("CONFIG", "SET", "maxmemory", int(redis.info("memory", "used_memory")) + 300_000)
    refused = None
    for _ in range(2000):
        answer = client.post("/schedule", {"seed": seed})
        if answer.status != 202:
            refused = answer
            break
        jobs.append(answer.json)
    assert refused is not None and (refused.status, refused.code) == (503, "store-full"), refused
    assert int(refused.header("Retry-After")) >= 1
    redis("CONFIG", "SET", "maxmemory", int(redis.info("memory", "used_memory")) - 100_000)
    assert client.post("/schedule", {"seed": seed}).code == "store-full"
    cancelled = client.cancel(jobs.pop()["job_id"])
    assert cancelled.status == 200, "cancelling needs no memory"
    found, running = loads.collect_all([lane], mint(), jobs)
    assert len(found) == len(jobs) and not running, "a job that was there could not be collected"
    redis("CONFIG", "SET", "maxmemory", 0)
    loads.back(lane, mint())


def test_a_primary_that_becomes_a_replica_takes_nothing_until_it_is_one_again(engines, new_on, mint):
    redis = engines.redis()
    lane = new_on(redis)
    client = lane.client(mint())
    job = client.job()
    redis("REPLICAOF", "127.0.0.1", all_engines.free_port())
    loads.away(lane, mint(), 1.5)
    lane.told("READONLY|replica|primary")
    redis("REPLICAOF", "NO", "ONE")
    loads.back(lane, mint())
    assert client.collect(job).status == 200


def test_a_redis_that_is_loading_is_waited_for(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    jobs = [client.schedule().json for _ in range(50)]
    with redis.talk() as talk:
        for number in range(600):
            talk("SET", f"somebody-elses-{number}", "x")
    redis("SAVE")
    redis.kill()
    redis.start(wait=False, key_load_delay=4000, loading_process_events_interval_bytes=1024)
    lanes.wait_until(lambda: loading(redis), 5, "it is loading")
    loads.away(lane, mint(), 0.5)
    lanes.wait_until(redis.answers, 30, "it has loaded")
    loads.back(lane, mint())
    found, running = loads.collect_all([lane], mint(), jobs)
    assert len(found) == 50 and not running


def loading(redis):
    try:
        redis("PING")
    except all_engines.RedisSays as said:
        return str(said).startswith("LOADING")
    except OSError:
        pass
    return False


def test_a_wrong_type_at_a_jobs_key_hurts_that_job_alone_and_is_named(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    jobs = [client.job() for _ in range(12)]
    hurt, others = jobs[:4], jobs[4:]
    with redis.talk() as talk:
        for job in hurt[:2]:
            assert talk("HSET", PREFIX + "jobs", job, "rubbish") == 0
        talk("SET", f"{PREFIX}{hurt[2]}:now", "rubbish")
        talk("LPUSH", f"{PREFIX}{hurt[3]}:now", "rubbish")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = dict(zip(jobs, pool.map(client.collect, jobs)))
    for job in others:
        assert answers[job].status == 200, "another job was hurt"
    for job in hurt:
        for answer in (answers[job], client.get(f"/jobs/{job}"), client.cancel(job)):
            assert (answer.status, answer.code) == (503, "store-unavailable"), f"{job}: {answer}"
    lane.told("store-error", "|".join(hurt))
    time.sleep(1)
    assert client.get(f"/jobs/{hurt[3]}").status == 503
    lane.told("WRONGTYPE|wrong kind|wrong type", hurt[3])
    loads.back(lane, mint())


def test_a_wrong_type_at_the_index_makes_half_a_job_of_nobody(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    job = client.job()
    redis("RENAME", PREFIX + "ends", "kept")
    redis("SET", PREFIX + "ends", "rubbish")
    before = redis.keys()
    answer = client.post("/schedule", {"seed": {}}, headers={KEY: "k"})
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert redis.keys() == before, "half a job was made"
    assert client.collect(job).status in (200, 503)
    lane.told("WRONGTYPE|wrong kind|wrong type")
    redis("RENAME", "kept", PREFIX + "ends")
    loads.back(lane, mint())


def test_a_wrong_type_in_the_place_of_all_jobs_is_never_taken_for_no_jobs(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    job = client.job(headers={KEY: "k"})
    for key in ("jobs", "keys", "traces"):
        redis("RENAME", PREFIX + key, "kept")
        redis("SET", PREFIX + key, "rubbish")
        answer = client.post("/schedule", {"seed": {}}, headers={KEY: "other"})
        assert (answer.status, answer.code) == (503, "store-unavailable"), key
        if key == "jobs":
            assert client.get(f"/jobs/{job}").status == client.collect(job).status == client.cancel(job).status == 503
        redis("RENAME", "kept", PREFIX + key)
    lane.told("WRONGTYPE|wrong kind|wrong type")
    assert client.job(headers={KEY: "k"}) == job
    assert client.collect(job).status == 200


def test_clients_that_are_killed_come_back(engines, new_on, mint):
    """CLIENT KILL, as an operator or a proxy would: every acknowledged job is there, one for a key."""
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    with loads.Load([lane], mint()) as load:
        for _ in range(8):
            load.wait(10)
            redis("CLIENT", "KILL", "TYPE", "normal")
            redis("CLIENT", "KILL", "TYPE", "pubsub")
    loads.one_job_a_key(load, client)
    loads.back(lane, mint())


def test_a_redis_that_is_paused_for_writes_is_503_and_back(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    lane.client(mint()).job()
    redis("CLIENT", "PAUSE", 2500, "ALL")
    time.sleep(0.05)
    loads.away(lane, mint(), 1.2)
    time.sleep(1.5)
    loads.back(lane, mint())


def test_a_redis_that_lost_everything_in_a_restart_is_told(engines, new_on, mint):
    """No AOF, no snapshot: what the durability table says is lost, is lost, and nobody pretends."""
    redis = engines.redis()
    lane = new_on(redis)
    client = lane.client(mint())
    job = client.job(headers={KEY: "k"})
    done = client.collect(client.job())
    redis.kill()
    redis.start()
    lane.told("empt|flush")
    loads.ready(lane, mint())
    assert client.get(f"/jobs/{job}").status == 404
    assert client.collect(done.json["job_id"]).status == 404
    assert lane.document(done.json["trace_id"])["shards"] == done.json["shards"], "the inbox is the lasting sink"
    loads.back(lane, mint())


def test_a_redis_that_throws_keys_away_is_told(engines, new_on, mint):
    """Every policy but noeviction would throw away jobs that were acknowledged."""
    for policy in ("allkeys-lru", "volatile-ttl"):
        redis = engines.redis(maxmemory="100mb", maxmemory_policy=policy)
        lane = new_on(redis, at=policy)
        lane.told("evict")
        lane.stop()


def busy(redis):
    """Somebody's endless script."""
    redis("CONFIG", "SET", "busy-reply-threshold", 50)
    talk = redis.talk()
    talk.send("EVAL", "while true do end", 0)
    lanes.wait_until(lambda: says(redis, "BUSY"), 5, "it is busy")


def says(redis, word):
    try:
        redis("PING")
    except all_engines.RedisSays as said:
        return str(said).startswith(word)
    return False


def unwritable(redis):
    """A snapshot has failed: MISCONF to every write."""
    place = redis.directory / "gone"
    place.mkdir(exist_ok=True)
    redis("CONFIG", "SET", "dir", place)
    place.rmdir()
    redis("CONFIG", "SET", "save", "3600 1000000")
    redis("BGSAVE")
    lanes.wait_until(lambda: redis.info("persistence", "rdb_last_bgsave_status") == "err", 5, "the snapshot failed")


MOODS = {
    "an endless script": (busy, lambda r: r("SCRIPT", "KILL"), "BUSY"),
    "a failed snapshot": (unwritable, lambda r: r("CONFIG", "SET", "save", ""), "MISCONF"),
    "too few replicas": (
        lambda r: r("CONFIG", "SET", "min-replicas-to-write", 1),
        lambda r: r("CONFIG", "SET", "min-replicas-to-write", 0),
        "NOREPLICAS",
    ),
    "no right to run scripts": (
        lambda r: r("ACL", "SETUSER", "default", "-evalsha"),
        lambda r: r("ACL", "SETUSER", "default", "+evalsha"),
        "NOPERM",
    ),
    "no right to a key": (
        lambda r: r("ACL", "SETUSER", "default", "resetkeys", "~x"),
        lambda r: r("ACL", "SETUSER", "default", "~*"),
        "NOPERM|permission",
    ),
}


@pytest.mark.parametrize("mood", MOODS)
def test_a_redis_that_refuses_every_change_is_503_not_ready_and_back(engines, new_on, mint, mood):
    spoil, mend, word = MOODS[mood]
    redis = engines.redis()
    lane = new_on(redis)
    client = lane.client(mint())
    job = client.job()
    spoil(redis)
    client.post("/schedule", {"seed": {}})
    lanes.wait_until(lambda: client.get("/readyz").status == 503, 2.5, "readyz fails while nothing can be changed")
    loads.away(lane, mint(), 1.5)
    lane.told(word)
    mend(redis)
    loads.back(lane, mint(), 6)
    assert client.collect(job).status == 200


def test_many_big_seeds_at_once_are_kept_whole(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    seed = {"constraints": {"flags": {f"flag{n}": "v" * 1000 for n in range(230)}}}
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        jobs = list(pool.map(lambda _: client.job(seed=seed), range(72)))
        answers = list(pool.map(client.collect, jobs))
    assert {a.status for a in answers} == {200}
    assert all(a.json["shards"][0]["seed_meta"]["flags"] == seed["constraints"]["flags"] for a in answers)


# ---- replicas


def test_a_change_is_acknowledged_when_the_replicas_have_it_and_not_before(engines, new_lane, mint):
    """Also where it was made by an earlier request, and on another daemon: a replay promises as much as the first."""
    primary = engines.redis()
    replica = engines.replica(primary)
    shared = {
        "SIM_JOB_STORE": "redis",
        "REDIS_URL": primary.url,
        "SIM_REDIS_WAIT_REPLICAS": 1,
    }
    first, second = (new_lane(at=name, **shared).client(mint()) for name in ("first", "second"))
    job = first.job(headers={KEY: "before"})
    done = first.job()
    assert first.collect(done).status == 200
    replica.pause()
    begun = time.monotonic()
    answer = first.post("/schedule", {"seed": {}}, headers={KEY: "k"})
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert time.monotonic() - begun < loads.AWAY_S * lanes.PATIENCE
    assert "unknown" in answer.json["detail"]
    for client in (first, second):
        assert client.post("/schedule", {"seed": {}}, headers={KEY: "k"}).status == 503, "a replay was believed"
        assert client.cancel(job).status == 503
    replica.resume()
    lanes.wait_until(lambda: first.get("/readyz").status == 200, 5, "ready again")
    made = lanes.wait_until(lambda: retried(second, "k"), 5, "it works again")
    assert first.job(seed={}, headers={KEY: "k"}) == made, "one job, not two"
    lanes.wait_until(lambda: replica("HEXISTS", PREFIX + "jobs", made) == 1, 2, "the replica has it")


def retried(client, key):
    answer = client.post("/schedule", {"seed": {}}, headers={KEY: key})
    return answer.status == 202 and answer.json["job_id"]


def test_too_few_replicas_is_503_whatever_redis_itself_demands(engines, new_on, mint):
    redis = engines.redis()
    lane = new_on(redis, SIM_REDIS_WAIT_REPLICAS=1)
    client = lane.client(mint())
    answer = client.post("/schedule", {"seed": {}})
    assert (answer.status, answer.code) == (503, "store-unavailable")
    redis("CONFIG", "SET", "min-replicas-to-write", 1)
    answer = client.post("/schedule", {"seed": {}})
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert client.get("/livez").status == 200
    for _ in range(60):
        assert client.get("/readyz").status == 503, "ready, and every change is refused"
        time.sleep(0.05)
    engines.replica(redis)
    lanes.wait_until(lambda: retried(client, "k"), 10, "there is a replica now")
    loads.back(lane, mint())
