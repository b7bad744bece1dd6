"""Many daemons, one Redis, one inbox: made on one, waited for on a second, collected on a third, cancelled on a fourth."""
import concurrent.futures
import signal
import threading
import time

import pytest

import lane as lanes
import load as loads

KEY = "Idempotency-Key"
NAMES = ("maker", "waiter", "collector", "canceller")


@pytest.fixture(scope="module")
def redis(file_engines):
    return file_engines.redis(unix=True)


@pytest.fixture(scope="module")
def fleet(redis, build, tmp_path_factory, contract, keyring_text):
    """Four daemons that share an engine and an inbox."""
    directory = tmp_path_factory.mktemp("fleet")
    shared = {"SIM_JOB_STORE": "redis", "REDIS_URL": redis.url, "DREAM_INBOX_DIR": directory / "inbox"}
    made = []
    try:
        for name in NAMES:
            made.append(lanes.make(build, directory / name, contract, keyring_text, shared))
            made[-1].start()
        yield made
    finally:
        for lane in made:
            lane.stop()


@pytest.fixture
def clients(fleet, mint):
    """A client of each, with a token of each its own."""
    made = [lane.client(mint()) for lane in fleet]
    for client in made:  # so that the inbox's locks are there
        assert client.collect(client.job()).status == 200
    return made


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(24) as executor:
        yield executor


def status_of(client, job_id):
    return client.get(f"/jobs/{job_id}").json["status"]


def test_what_one_does_all_see_at_once(clients, fleet):
    maker, waiter, collector, canceller = clients
    scheduled = maker.schedule("for all")
    job_id = scheduled.json["job_id"]
    views = [client.get(f"/jobs/{job_id}").json for client in clients]
    assert all(view == views[0] and view["status"] == "scheduled" for view in views)
    collected = collector.collect(job_id)
    assert collected.status == 200
    assert all(status_of(client, job_id) == "complete" for client in clients)
    assert waiter.collect(job_id).body == maker.collect(job_id).body == collected.body
    assert canceller.cancel(job_id).json["status"] == "complete"
    assert fleet[0].document(scheduled.json["trace_id"])["shards"] == collected.json["shards"]
    gone = maker.schedule().json
    assert canceller.cancel(gone["job_id"]).json["status"] == "cancelled"
    assert collector.collect(gone["job_id"]).code == "job-cancelled"
    assert f"{gone['trace_id']}.json" not in fleet[0].files()


def test_made_on_one_waited_for_on_a_second_while_a_third_collects(fleet, clients, pool):
    """The wait is ended by the collect, not by its deadline, and a cancel on the fourth waits for it too."""
    maker, waiter, collector, canceller = clients
    job_id = maker.job()
    with fleet[0].inbox_held() as let_go:
        collecting = pool.submit(collector.collect, job_id)
        lanes.wait_until(lambda: status_of(maker, job_id) == "running", 5, "the job is begun")
        waiting = [pool.submit(waiter.collect, job_id, headers={"Prefer": "wait=60"}) for _ in range(4)]
        cancelling = pool.submit(canceller.cancel, job_id)
        time.sleep(0.3)
        assert not any(w.done() for w in (*waiting, cancelling))
        answer = waiter.collect(job_id, headers={"Prefer": "wait=1"})
        assert (answer.status, answer.json["status"]) == (202, "running")
        let_go()
        collected = collecting.result()
        begun = time.monotonic()
        assert {w.result().body for w in waiting} == {collected.body}
        assert cancelling.result().json["status"] == "complete"
        assert time.monotonic() - begun < 1 * lanes.PATIENCE, "woken late"
    assert collected.status == 200
    assert len(fleet[0].document(collected.json["trace_id"])["shards"]) == 1


def test_a_claim_given_back_on_one_wakes_who_waits_on_another(
    fleet, mint, pool, redis, build, contract, keyring_text, tmp_path
):
    """The collector's token expires: the waiter on another daemon takes over at once."""
    shared = {
        "SIM_JOB_STORE": "redis",
        "REDIS_URL": redis.url,
        "DREAM_INBOX_DIR": fleet[0].inbox,
        "SIM_CLOCK_SKEW_S": 0,
    }
    strict = lanes.make(build, tmp_path / "strict", contract, keyring_text, shared).start()
    try:
        client, waiter = strict.client(mint()), fleet[1].client(mint())
        job_id = client.job()
        with fleet[0].inbox_held() as let_go:
            expiry = int(time.time()) + 2
            collecting = pool.submit(client.collect, job_id, token=mint(exp=expiry))
            lanes.wait_until(lambda: status_of(waiter, job_id) == "running", 2, "the job is begun")
            waiting = pool.submit(waiter.collect, job_id, headers={"Prefer": "wait=60"})
            time.sleep(max(0, expiry - time.time()) + 0.1)
            let_go()
            assert collecting.result().status == 401
            begun = time.monotonic()
            answer = waiting.result()
            assert answer.status == 200 and answer.json["inbox"]["shards_written"] == 1
            assert time.monotonic() - begun < 2 * lanes.PATIENCE
    finally:
        strict.stop()


def test_waiting_costs_the_engine_nothing(fleet, clients, pool, redis):
    """Twenty waits of three seconds, on two daemons: not a command more than without them, but for their setting up."""
    maker, waiter, collector, _ = clients
    job_id = maker.job()

    def cost():
        before = redis.commands()
        time.sleep(3)
        return redis.commands() - before

    idle = cost()
    with fleet[0].inbox_held() as let_go:
        collecting = pool.submit(collector.collect, job_id)
        lanes.wait_until(lambda: status_of(maker, job_id) == "running", 5, "the job is begun")
        fleet[2].signal(signal.SIGSTOP)  # or it would give up and hand the job on
        try:
            waiting = [pool.submit(c.collect, job_id, headers={"Prefer": "wait=60"}) for c in (waiter, maker) * 10]
            time.sleep(0.5 * lanes.PATIENCE)
            with_waiters = cost()
            assert not any(w.done() for w in waiting)
        finally:
            fleet[2].signal(signal.SIGCONT)
        let_go()
        begun = time.monotonic()
        assert {w.result().status for w in waiting} == {200}
        assert collecting.result().status in (200, 503), "it may have given up, and a waiter taken over"
        assert time.monotonic() - begun < 2 * lanes.PATIENCE
    assert with_waiters <= idle + 12, f"{idle} commands in 3 s without, {with_waiters} with 20 who wait"


def test_a_wait_survives_a_lost_subscription(fleet, clients, pool, redis):
    """The connections are killed while somebody waits: what changed meanwhile is noticed all the same."""
    maker, waiter, collector, _ = clients
    for moment in ("before", "after"):
        job_id = maker.job()
        with fleet[0].inbox_held() as let_go:
            collecting = pool.submit(collector.collect, job_id)
            lanes.wait_until(lambda: status_of(maker, job_id) == "running", 5, "the job is begun")
            waiting = pool.submit(waiter.collect, job_id, headers={"Prefer": "wait=60"})
            time.sleep(0.3)
            if moment == "before":
                redis("CLIENT", "KILL", "TYPE", "pubsub")
                let_go()
            else:
                let_go()
                redis("CLIENT", "KILL", "TYPE", "pubsub")
            assert collecting.result().status == 200
            begun = time.monotonic()
            assert waiting.result().status == 200
            assert time.monotonic() - begun < 3 * lanes.PATIENCE, f"killed {moment}: woken late"


def test_an_idempotency_key_holds_across_daemons(clients):
    first = clients[0].schedule("once", headers={KEY: "across"})
    for client in clients[1:]:
        assert client.schedule("once", headers={KEY: "across"}).body == first.body
        assert client.post("/schedule", {"seed": {}}, headers={KEY: "across"}).code == "idempotency-mismatch"
    assert clients[3].collect(first.json["job_id"]).status == 200
    assert clients[2].schedule("once", headers={KEY: "across"}).body == first.body


def test_an_idempotency_key_at_the_same_moment_on_all_makes_one_job(clients, pool):
    for turn in range(8):
        barrier = threading.Barrier(12)

        def go(client, barrier=barrier, key=f"moment-{turn}"):
            barrier.wait()
            return client.post("/schedule", {"seed": {}}, headers={KEY: key})

        answers = [w.result() for w in [pool.submit(go, client) for client in clients * 3]]
        assert len({a.json["job_id"] for a in answers if a.status == 202}) == 1
        assert all(a.status == 202 or a.code == "idempotency-in-flight" for a in answers), answers


def test_collects_at_the_same_moment_on_all_write_once(fleet, clients, pool):
    for _ in range(15):
        job = clients[0].schedule().json
        barrier = threading.Barrier(8)

        def go(client, barrier=barrier, job_id=job["job_id"]):
            barrier.wait()
            return client.collect(job_id)

        answers = [w.result() for w in [pool.submit(go, client) for client in clients * 2]]
        assert {a.status for a in answers} == {200} and len({a.body for a in answers}) == 1, answers
        document = fleet[0].document(job["trace_id"])
        assert document["shards"] == answers[0].json["shards"] and len(document["shards"]) == 1
        assert answers[0].json["inbox"]["shards_written"] == 1


def test_collect_and_cancel_at_once_on_two_daemons_agree(fleet, clients, pool):
    seen = set()
    for turn in range(30):
        job = clients[0].schedule().json
        barrier = threading.Barrier(2)

        def go(call, delay, barrier=barrier, job_id=job["job_id"]):
            barrier.wait()
            time.sleep(delay)
            return call(job_id)

        collecting = pool.submit(go, clients[2].collect, 0.0002 * (turn % 6))
        cancelling = pool.submit(go, clients[3].cancel, 0.0002 * (turn // 6))
        collected, cancelled = collecting.result(), cancelling.result()
        written = f"{job['trace_id']}.json" in fleet[0].files()
        assert cancelled.status == 200
        seen.add(cancelled.json["status"])
        if cancelled.json["status"] == "complete":
            assert collected.status == 200 and written
        else:
            assert cancelled.json["status"] == "cancelled"
            assert collected.code == "job-cancelled" and not written
    assert seen <= {"complete", "cancelled"}


def test_the_depth_and_the_limit_are_of_all_together(
    fleet, clients, redis, mint, build, contract, keyring_text, tmp_path
):
    shared = {
        "SIM_JOB_STORE": "redis",
        "REDIS_URL": redis.url,
        "SIM_REDIS_PREFIX": "{limits}:",
        "DREAM_INBOX_DIR": fleet[0].inbox,
        "SIM_MAX_JOBS": 20,
    }
    made = [lanes.make(build, tmp_path / str(n), contract, keyring_text, shared).start() for n in range(2)]
    try:
        pair = [lane.client(mint()) for lane in made]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: pair[n % 2].post("/schedule", {"seed": {}}), range(60)))
        assert sum(a.status == 202 for a in answers) == 20
        assert all(a.status == 202 or a.code == "store-full" for a in answers)
        for client in pair:
            lanes.wait_until(lambda c=client: c.depth() == 20, 2, "the depth is 20 on both")
    finally:
        for lane in made:
            lane.stop()


def test_a_trace_of_a_live_job_is_taken_on_every_daemon(clients):
    job = clients[0].schedule().json
    write = {"seed": {}, "result": {"trace_id": job["trace_id"], "shards": [{"index": 7}]}}
    for client in clients:
        assert client.post("/inbox", write).code == "trace-taken"


def test_a_thousand_jobs_through_all_of_them_are_collected_once(fleet, mint):
    with loads.Load(fleet, mint(), limit=400 if lanes.SANITIZE else 1000) as load:
        load.wait(load.limit, 60)
    assert not [n for n in load.noted if n.status != 202]
    found, running = loads.collect_all(fleet[::-1], mint(), load.acknowledged)
    assert len(found) == len(load.acknowledged) and not running
    for job in load.acknowledged:
        document = fleet[0].document(job["trace_id"])
        assert document["shards"] == found[job["job_id"]] and len(document["shards"]) == 1
