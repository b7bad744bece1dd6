"""The same promises on every store: memory, SQLite, Redis. No endpoint knows which one runs."""
import concurrent.futures
import json
import threading
import time

import pytest

import engines as all_engines
import lane as lanes

KEY = "Idempotency-Key"
PATIENCE = lanes.PATIENCE


@pytest.fixture(scope="module", params=["memory", "sqlite", "redis"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def redis(kind, file_engines):
    return file_engines.redis(unix=True) if kind == "redis" else None


@pytest.fixture(scope="module")
def lane(kind, redis, build, tmp_path_factory, contract, keyring_text):
    """One daemon a store for the scenarios of this file."""
    directory = tmp_path_factory.mktemp(kind)
    settings = all_engines.settings(kind, directory, redis)
    made = lanes.make(build, directory, contract, keyring_text, settings).start()
    yield made
    made.stop()


@pytest.fixture
def new_kind(kind, new_lane, tmp_path, engines):
    """new_kind(NAME=value) -> another daemon with a store of that kind of its own."""

    def start(**settings):
        redis = engines.redis(unix=True) if kind == "redis" else None
        return new_lane(**all_engines.settings(kind, tmp_path, redis), **settings)

    return start


@pytest.fixture
def fresh(new_kind, mint):
    """A client of a daemon whose store is empty: for exact depths."""
    return new_kind().client(mint())


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(16) as executor:
        yield executor


def depth_becomes(client, depth):
    """Exactly, and within the second that an engine's depth may be old."""
    lanes.wait_until(lambda: client.depth() == depth, 2, f"the depth becomes {depth}, it is {client.depth()}")


def status_of(client, job_id):
    return client.get(f"/jobs/{job_id}").json["status"]


# ---- the main way


def test_a_seed_goes_all_its_way(new_kind, mint):
    lane = new_kind()
    client = lane.client(mint())
    assert client.depth() == 0
    seed = {"goal": "Plan a calm evening", "ul_tags": ["ΛPLAN"], "constraints": {"flags": {"tier": "demo"}}}
    scheduled = client.schedule(seed=seed, headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
    job_id, trace_id = scheduled.json["job_id"], scheduled.json["trace_id"]
    depth_becomes(client, 1)

    job = client.get(f"/jobs/{job_id}").json
    assert (job["status"], job["trace_id"]) == ("scheduled", trace_id)
    assert job["expires_ms"] - job["created_ms"] == 86_400_000
    assert abs(job["created_ms"] - time.time() * 1000) < 60_000

    collected = client.collect(job_id)
    assert collected.status == 200
    answer = collected.json
    assert (answer["trace_id"], answer["job_id"], answer["status"]) == (trace_id, job_id, "complete")
    (shard,) = answer["shards"]
    assert shard["proposal"]["summary"] == "Simulated plan for goal: Plan a calm evening"
    assert shard["seed_meta"] == {"goal": "Plan a calm evening", "flags": {"tier": "demo"}}
    document = lane.document(trace_id)
    assert document["shards"] == answer["shards"] and document["tenant"] == "default"
    assert answer["inbox"] == {
        "file": f"{trace_id}.json",
        "bytes": (lane.inbox / f"{trace_id}.json").stat().st_size,
        "shards_written": 1,
    }
    after = client.get(f"/jobs/{job_id}").json
    assert after["status"] == "complete"
    assert (after["created_ms"], after["expires_ms"]) == (job["created_ms"], job["expires_ms"])
    depth_becomes(client, 0)

    file = lane.inbox / f"{trace_id}.json"
    stamp = (file.stat().st_ino, file.stat().st_mtime_ns)
    again = client.collect(job_id)
    assert again.status == 200 and again.body == collected.body, "the second collect is the first one's answer"
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == stamp, "the second collect wrote"


def test_health_names_the_store_and_readyz_passes(client, kind):
    answer = client.get("/health")
    assert answer.status == 200
    assert answer.json["store"] == kind and answer.json["status"] == "pass"
    assert client.get("/readyz").json == {"status": "pass"}
    assert client.get("/livez").status == 200


HOSTILE = [
    "quotes \" ' ` and $(id) and ; DROP TABLE jobs; --",
    "lines\r\n$5\r\nhello\r\n*3\r\n+OK\r\n",
    "controls \x01\x02\x1b[31m\x7f",
    "percent %s %n %d %00 {tag} }{ : * ? [a]",
    "Λ, ümläut, 漢字, emoji 🌙, \u2028 and \U0010ffff",
    "slashes / \\ \\\\ \\n ../../etc/passwd",
    " ",
    "x" * 600,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_seed_comes_back_as_it_went(lane, client, text):
    seed = {"goal": text, "constraints": {"flags": {f"name {text}"[:200]: [text, {"n": 1.5}, None]}}}
    answer = client.collect(client.job(seed=seed)).json
    assert answer["shards"][0]["seed_meta"] == {"goal": text, "flags": seed["constraints"]["flags"]}
    assert lane.document(answer["trace_id"])["seed"]["goal"] == text


def test_a_big_seed_is_kept_whole(lane, client):
    flags = {f"flag{n}": "v" * 1000 for n in range(200)}
    job_id = client.job(seed={"constraints": {"flags": flags}})
    assert client.collect(job_id).json["shards"][0]["seed_meta"]["flags"] == flags


# ---- cancel


def test_a_cancelled_job_stays_so_and_has_no_document(new_kind, mint):
    lane = new_kind()
    client = lane.client(mint())
    job = client.schedule().json
    assert client.cancel(job["job_id"]).json["status"] == "cancelled"
    assert client.cancel(job["job_id"]).json["status"] == "cancelled"
    answer = client.collect(job["job_id"])
    assert (answer.status, answer.code) == (409, "job-cancelled")
    assert status_of(client, job["job_id"]) == "cancelled"
    assert f"{job['trace_id']}.json" not in lane.files()
    depth_becomes(client, 0)


def test_cancelling_a_complete_job_changes_nothing(client):
    job_id = client.job()
    first = client.collect(job_id)
    assert client.cancel(job_id).json["status"] == "complete"
    assert client.collect(job_id).body == first.body


def test_what_is_not_there_is_404(client, mint):
    job_id = client.job()
    other = mint(tenant="other")
    for call in (client.collect, client.cancel, lambda j, **kw: client.get(f"/jobs/{j}", **kw)):
        assert call("JOB-0123456789ab").status == 404
        assert call(job_id, token=other).status == 404, "a job of another tenant"
    assert status_of(client, job_id) == "scheduled"


# ---- Idempotency-Key


def test_the_same_key_and_body_replay_and_another_body_is_refused(fresh, mint):
    client = fresh
    first = client.schedule("once", headers={KEY: "a"})
    for _ in range(3):
        again = client.schedule("once", headers={KEY: "a"})
        assert again.body == first.body and again.header("X-Trace-Id") == first.json["trace_id"]
    answer = client.post("/schedule", {"seed": {"goal": "twice"}}, headers={KEY: "a"})
    assert (answer.status, answer.code) == (422, "idempotency-mismatch")
    assert client.job("once", headers={KEY: "a"}, token=mint(sub="another")) != first.json["job_id"]
    depth_becomes(client, 2)


def test_the_replay_lives_as_long_as_the_job_whatever_becomes_of_it(client):
    first = client.schedule("once", headers={KEY: "b"})
    assert client.collect(first.json["job_id"]).status == 200
    assert client.schedule("once", headers={KEY: "b"}).body == first.body
    other = client.schedule("once", headers={KEY: "c"})
    client.cancel(other.json["job_id"])
    assert client.schedule("once", headers={KEY: "c"}).body == other.body


def test_the_key_is_free_again_when_the_job_is_gone(client):
    first = client.job("once", ttl_ms=1000, headers={KEY: "d"})
    assert client.job("once", ttl_ms=1000, headers={KEY: "d"}) == first
    time.sleep(1.05)
    assert client.job("twice", ttl_ms=1000, headers={KEY: "d"}) != first, "another body, even"


def test_many_at_once_with_one_key_make_one_job(fresh, pool):
    client = fresh
    answers = list(pool.map(lambda _: client.post("/schedule", {"seed": {}}, headers={KEY: "e"}), range(24)))
    assert len({a.json["job_id"] for a in answers if a.status == 202}) == 1
    assert all(a.status == 202 or a.code == "idempotency-in-flight" for a in answers)
    depth_becomes(client, 1)


# ---- time to live


def test_every_job_lives_its_ttl_and_is_then_404(new_kind, mint):
    lane = new_kind()
    client = lane.client(mint())
    jobs = {name: client.job(ttl_ms=1000) for name in ("scheduled", "complete", "cancelled")}
    assert client.collect(jobs["complete"]).status == 200
    assert client.cancel(jobs["cancelled"]).status == 200
    for name, job_id in jobs.items():
        job = client.get(f"/jobs/{job_id}").json
        assert (job["status"], job["expires_ms"] - job["created_ms"]) == (name, 1000)
    trace_id = client.collect(jobs["complete"]).json["trace_id"]
    time.sleep(1.05)
    for job_id in jobs.values():
        assert client.get(f"/jobs/{job_id}").status == 404
        assert client.collect(job_id).status == 404
        assert client.cancel(job_id).status == 404
    assert lane.document(trace_id)["shards"], "the inbox outlives the job"
    depth_becomes(client, 0)


def test_a_wait_for_a_job_that_ends_is_told_so(lane, client, pool):
    """Its time is over while somebody waits for it: 404, or 202 at the end of the wait, and never a hang."""
    client.collect(client.job())
    job_id = client.job(ttl_ms=1000)
    with lane.inbox_held():
        first = pool.submit(client.collect, job_id)
        lanes.wait_until(lambda: status_of(client, job_id) == "running", 1, "the job is begun")
        begun = time.monotonic()
        answer = client.collect(job_id, headers={"Prefer": "wait=20"})
        assert answer.status == 404, answer
        assert time.monotonic() - begun < 4 * PATIENCE
    assert first.result().status in (200, 404, 503)


# ---- limits


def test_a_full_store_is_503_and_has_room_again_when_jobs_end(new_kind, mint):
    client = new_kind(SIM_MAX_JOBS=5).client(mint())
    jobs = [client.job(headers={KEY: f"k{n}"}) for n in range(5)]
    for _ in range(3):
        answer = client.post("/schedule", {"seed": {}})
        assert (answer.status, answer.code) == (503, "store-full")
        assert int(answer.header("Retry-After")) >= 1
    assert client.job(headers={KEY: "k0"}) == jobs[0], "a replay needs no room"
    assert client.get("/readyz").status == 200, "a full store is a ready one"
    assert client.collect(jobs[0]).status == 200
    assert client.cancel(jobs[1]).status == 200
    jobs += [client.job(ttl_ms=1000), client.job(ttl_ms=1000)]
    assert client.post("/schedule", {"seed": {}}).code == "store-full"
    time.sleep(1.05)
    client.job()
    client.job()
    assert client.post("/schedule", {"seed": {}}).code == "store-full"
    depth_becomes(client, 5)


def test_the_limit_holds_when_many_come_at_once(new_kind, mint, pool):
    client = new_kind(SIM_MAX_JOBS=10).client(mint())
    answers = list(pool.map(lambda _: client.post("/schedule", {"seed": {}}), range(64)))
    assert sum(a.status == 202 for a in answers) == 10
    assert all(a.status == 202 or a.code == "store-full" for a in answers)
    depth_becomes(client, 10)


# ---- several at once


def test_two_collects_at_once_write_once(lane, client, pool):
    for _ in range(8):
        job_id = client.job()
        answers = list(pool.map(lambda _, job=job_id: client.collect(job), range(6)))
        assert {a.status for a in answers} == {200} and len({a.body for a in answers}) == 1
        assert len(lane.document(answers[0].json["trace_id"])["shards"]) == 1


def test_a_wait_ends_as_soon_as_the_job_is_done(lane, client, pool):
    client.collect(client.job())
    job_id = client.job()
    with lane.inbox_held() as let_go:
        waiting = [pool.submit(client.collect, job_id, headers={"Prefer": "wait=60"}) for _ in range(5)]
        lanes.wait_until(lambda: status_of(client, job_id) == "running", 5, "the job is begun")
        for wait, least in ((0, 0), (1, 0.9)):
            begun = time.monotonic()
            answer = client.collect(job_id, headers={"Prefer": f"wait={wait}"})
            assert (answer.status, answer.json["status"]) == (202, "running")
            assert int(answer.header("Retry-After")) >= 0
            assert least <= time.monotonic() - begun < 2 * PATIENCE
        assert not any(w.done() for w in waiting)
        let_go()
        begun = time.monotonic()
        assert {w.result().status for w in waiting} == {200}
        assert time.monotonic() - begun < 2 * PATIENCE


def test_a_cancel_waits_for_a_collect_and_reports_its_outcome(lane, client, pool):
    client.collect(client.job())
    job_id = client.job()
    with lane.inbox_held() as let_go:
        collecting = pool.submit(client.collect, job_id)
        lanes.wait_until(lambda: status_of(client, job_id) == "running", 5, "the job is begun")
        cancelling = pool.submit(client.cancel, job_id)
        time.sleep(0.1)
        assert not cancelling.done()
        let_go()
    assert collecting.result().status == 200
    assert cancelling.result().json["status"] == "complete"


def test_cancel_and_collect_at_once_agree(lane, client, pool):
    for turn in range(20):
        job = client.schedule().json
        barrier = threading.Barrier(2)

        def go(call, delay, job_id=job["job_id"], barrier=barrier):
            barrier.wait()
            time.sleep(delay)
            return call(job_id)

        collecting = pool.submit(go, client.collect, 0.0002 * (turn % 5))
        cancelling = pool.submit(go, client.cancel, 0.0002 * (turn // 5))
        collected, cancelled = collecting.result(), cancelling.result()
        assert cancelled.status == 200
        written = f"{job['trace_id']}.json" in lane.files()
        if cancelled.json["status"] == "complete":
            assert collected.status == 200 and written
        else:
            assert cancelled.json["status"] == "cancelled"
            assert collected.code == "job-cancelled" and not written


def test_a_claim_that_is_given_back_leaves_the_job_collectable(new_kind, mint, pool):
    """The token expires while its collect waits for the inbox."""
    lane = new_kind(SIM_CLOCK_SKEW_S=0)
    client = lane.client(mint())
    client.collect(client.job())
    job_id = client.job()
    with lane.inbox_held() as let_go:
        expiry = int(time.time()) + 2
        waiting = pool.submit(client.collect, job_id, token=mint(exp=expiry))
        lanes.wait_until(lambda: status_of(client, job_id) == "running", 5, "the job is begun")
        time.sleep(max(0, expiry - time.time()) + 0.1)
        let_go()
    assert waiting.result().code == "invalid-token"
    assert status_of(client, job_id) == "scheduled"
    answer = client.collect(job_id)
    assert answer.status == 200 and answer.json["inbox"]["shards_written"] == 1


def test_a_job_that_a_new_policy_forbids_ends_failed_and_stays_so(new_kind, mint, default_policy, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(default_policy))
    lane = new_kind(SIM_POLICY_FILE=policy)
    client = lane.client(mint())
    job_id = client.job("Plan a walk with Waldemar", headers={KEY: "w"})
    rule = {
        "id": "no-waldemar",
        "effect": "deny",
        "on": "seed",
        "patterns": ["waldemar"],
    }
    changed = {**default_policy, "version": "changed", "rules": [rule, *default_policy["rules"]]}
    policy.write_text(json.dumps(changed))
    lane.signal(1)
    lanes.wait_until(lambda: [e for e in lane.events() if "changed" in json.dumps(e)], 5, "the policy is reloaded")
    for _ in range(2):
        answer = client.collect(job_id)
        assert (answer.status, answer.code, answer.json["rule"]) == (409, "job-failed", "no-waldemar")
    assert status_of(client, job_id) == "failed"
    assert client.cancel(job_id).json["status"] == "failed"
    depth_becomes(client, 0)


def test_a_live_jobs_trace_belongs_to_it(lane, client):
    job = client.schedule().json
    write = {"seed": {}, "result": {"trace_id": job["trace_id"], "shards": [{"index": 7}]}}
    answer = client.post("/inbox", write)
    assert (answer.status, answer.code) == (409, "trace-taken")
    assert f"{job['trace_id']}.json" not in lane.files()


# ---- the end


def test_it_stops_at_once_with_callers_waiting(new_kind, mint, pool):
    lane = new_kind()
    client = lane.client(mint())
    client.collect(client.job())
    job_id = client.job()
    with lane.inbox_held() as let_go:
        first = pool.submit(client.collect, job_id)
        lanes.wait_until(lambda: status_of(client, job_id) == "running", 5, "the job is begun")
        waiting = [pool.submit(client.collect, job_id, headers={"Prefer": "wait=60"}) for _ in range(3)]
        time.sleep(0.2)
        begun = time.monotonic()
        lane.signal(15)
        time.sleep(0.2)
        let_go()
        assert first.result().status == 200
        assert {w.result().status for w in waiting} <= {200, 202, 503}
    assert lane.end() == 0
    assert time.monotonic() - begun < 5 * PATIENCE
