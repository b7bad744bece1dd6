"""Faults with real processes under load: a daemon killed, Redis killed, Redis that stops answering.

In all of them: what was acknowledged is there afterwards and collects exactly
once, a key makes one job, nobody waits longer than the time-out, and nothing
needs a restart. What a fault leaves running is collected when its claim has
run out (30 s); the last scenario of this file waits for all of that at once.
"""
import concurrent.futures
import time

import pytest

import lane as lanes
import load as loads

TIMEOUT_MS = 3000
JOBS = 500 if lanes.SANITIZE else 3000


class Fleet:
    """Two daemons on one Redis whose every answer is on the disk, and one inbox."""

    def __init__(self, redis, pair, token):
        self.redis, self.lanes, self.token = redis, pair, token
        self.jobs, self.found, self.running = [], {}, []

    def settle(self, load):
        """Collects what the load has made; what is still running is left for the end."""
        found, running = loads.collect_all(self.lanes, self.token, load.acknowledged, load.collected)
        self.jobs += load.acknowledged
        self.found.update(found)
        self.running += running
        assert len(running) <= loads.in_doubt(load, None), f"{len(running)} jobs are running and nobody knows why"


@pytest.fixture(scope="module")
def fleet(file_engines, build, tmp_path_factory, contract, keyring_text, mint):
    redis = file_engines.durable()
    directory = tmp_path_factory.mktemp("faults")
    shared = {
        "SIM_JOB_STORE": "redis",
        "REDIS_URL": redis.url,
        "DREAM_INBOX_DIR": directory / "inbox",
        "SIM_REQUEST_TIMEOUT_MS": TIMEOUT_MS,
    }
    made = []
    try:
        for name in ("first", "second"):
            made.append(lanes.make(build, directory / name, contract, keyring_text, shared))
            made[-1].start()
        yield Fleet(redis, made, mint())
    finally:
        for lane in made:
            lane.stop()


@pytest.fixture(scope="module")
def orphan(file_engines, build, tmp_path_factory, contract, keyring_text, mint):
    """A job whose collector was killed with the claim in its hand, and a collect of it that waits on another daemon."""
    directory = tmp_path_factory.mktemp("orphan")
    shared = {
        "SIM_JOB_STORE": "redis",
        "REDIS_URL": file_engines.redis(unix=True).url,
        "DREAM_INBOX_DIR": directory / "inbox",
        "SIM_REQUEST_TIMEOUT_MS": TIMEOUT_MS,
    }
    first, second = (lanes.make(build, directory / n, contract, keyring_text, shared).start() for n in ("one", "two"))
    try:
        client, other = first.client(mint()), second.client(mint(), timeout=120)
        client.collect(client.job())
        job = client.schedule().json
        with first.inbox_held(), concurrent.futures.ThreadPoolExecutor(1) as pool:
            dying = pool.submit(client.collect, job["job_id"])
            lanes.wait_until(lambda: other.get(f"/jobs/{job['job_id']}").json["status"] == "running", 5, "it is begun")
            first.kill()
            assert isinstance(dying.exception(), loads.GONE)
        begun = time.monotonic()

        def wait():
            answer = other.collect(job["job_id"], headers={"Prefer": "wait=60"})
            return answer, time.monotonic() - begun

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            yield second, job, pool.submit(wait)
    finally:
        first.stop()
        second.stop()


def test_a_collect_that_dies_with_its_daemon_is_another_ones_when_its_claim_has_run_out(orphan):
    """Begun here, so that its 30 s pass during the other scenarios; its end is looked at in the last one."""
    second, job, waiting = orphan
    client = second.client()
    assert not waiting.done() and client.get("/readyz").status == 200


def test_kill_9_of_one_daemon_of_two(fleet):
    first, second = fleet.lanes
    with loads.Load(fleet.lanes, fleet.token, collecting=2, limit=JOBS) as load:
        for lane in (first, second, first):
            load.wait(JOBS // 6)
            lane.kill()
            load.wait(JOBS // 8)
            lane.start()
        load.wait(20)
    refused = load.judge_times(TIMEOUT_MS)
    assert not [n for n in refused if n.code != "store-unavailable"]
    assert any(n.status is None for n in load.noted), "the kill was not felt"
    loads.one_job_a_key(load, first.client(fleet.token))
    fleet.settle(load)


def test_kill_9_of_redis_that_writes_always(fleet):
    lane = fleet.lanes[0]
    time.sleep(1.1)  # a depth may be a second old
    before = lane.client(fleet.token).depth()
    with loads.Load(fleet.lanes, fleet.token, collecting=1, limit=JOBS) as load:
        for rest in (0, 1.5):
            load.wait(JOBS // 5)
            fleet.redis.kill()
            begun = time.monotonic()
            if rest:
                time.sleep(0.3)
                loads.away(lane, fleet.token, rest)
            fleet.redis.start()
            load.wait(JOBS // 5)
    load.judge_times(TIMEOUT_MS, (begun, begun + 1.5))
    for lane in fleet.lanes:
        loads.back(lane, fleet.token)
    unfinished = len(load.acknowledged) - len(load.collected)
    lanes.wait_until(
        lambda: abs(lane.client(fleet.token).depth() - before - unfinished) <= loads.in_doubt(load, None),
        5,
        f"one job a key: {before} before, {unfinished} more, {loads.in_doubt(load, None)} in doubt",
    )
    fleet.settle(load)


def test_a_redis_that_stops_answering_for_five_seconds(fleet):
    """SIGSTOP: connections stay, even new ones are accepted, and nothing comes."""
    lane = fleet.lanes[0]
    with loads.Load(fleet.lanes, fleet.token, collecting=1, limit=JOBS) as load:
        load.wait(JOBS // 4)
        fleet.redis.pause()
        begun = time.monotonic()
        time.sleep(1.5)
        loads.away(lane, fleet.token, 3)
        time.sleep(max(0, begun + 5 - time.monotonic()))
        end = time.monotonic()
        fleet.redis.resume()
        load.wait(JOBS // 4)
    load.judge_times(TIMEOUT_MS, (begun, end))
    for lane in fleet.lanes:
        loads.back(lane, fleet.token)
    fleet.settle(load)


def test_a_daemon_that_ends_while_redis_is_away_ends_in_time(fleet, build, tmp_path, contract, keyring_text):
    shared = {"SIM_JOB_STORE": "redis", "REDIS_URL": fleet.redis.url, "SIM_DRAIN_MS": 3000}
    lane = lanes.make(build, tmp_path, contract, keyring_text, shared).start()
    lane.client(fleet.token).job()
    fleet.redis.pause()
    try:
        begun = time.monotonic()
        lane.stop()
        assert time.monotonic() - begun < 5 * lanes.PATIENCE
    finally:
        fleet.redis.resume()
    for other in fleet.lanes:
        loads.back(other, fleet.token)


def test_a_wait_that_a_fault_interrupts_has_an_end(fleet):
    """Prefer: wait while Redis dies and comes back: the answer comes, true and not late."""
    first, second = (lane.client(fleet.token) for lane in fleet.lanes)
    first.collect(first.job())
    job_id = first.job()
    with fleet.lanes[0].inbox_held() as let_go, concurrent.futures.ThreadPoolExecutor(4) as pool:
        collecting = pool.submit(first.collect, job_id)
        lanes.wait_until(lambda: first.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        waiting = pool.submit(second.collect, job_id, headers={"Prefer": "wait=20"})
        time.sleep(0.2)
        fleet.redis.kill()
        time.sleep(0.3)
        fleet.redis.start()
        for lane in fleet.lanes:
            loads.ready(lane, fleet.token)
        let_go()
        answer = collecting.result()
        begun = time.monotonic()
        assert waiting.result().status in (200, 202)
        if answer.status == 200:
            assert waiting.result().body == answer.body
            assert time.monotonic() - begun < 3 * lanes.PATIENCE, "woken late"
        else:
            assert (answer.status, answer.code) in ((503, "store-unavailable"), (503, "inbox-unavailable")), answer
            fleet.running.append(job_id)


def test_what_the_faults_left_running_is_collected_when_its_claims_have_run_out(fleet):
    client = fleet.lanes[0].client(fleet.token, timeout=90)
    end = time.monotonic() + 40 * lanes.PATIENCE
    traces = {job["job_id"]: job["trace_id"] for job in fleet.jobs}
    for job_id in fleet.running:
        while True:
            answer = client.collect(job_id, headers={"Prefer": "wait=1"})
            if answer.status == 200:
                break
            assert answer.status == 202, answer
            assert time.monotonic() < end, f"{job_id} is still running"
        fleet.found[job_id] = answer.json["shards"]
    lane = fleet.lanes[0]
    lost = [job_id for job_id in traces if job_id not in fleet.found]
    assert not lost, f"{len(lost)} acknowledged jobs were never collected"
    loads.written_once(lane, fleet.jobs, fleet.found, strangers=True)


def test_who_waited_for_the_orphan_has_its_shards_as_soon_as_the_claim_had_run_out(orphan):
    second, job, waiting = orphan
    answer, took = waiting.result()
    assert answer.status == 200, f"{answer} after {took:.0f} s"
    assert took < 30 + 4 * lanes.PATIENCE, f"the claim was over after 30 s, the answer came after {took:.0f} s"
    assert second.document(job["trace_id"])["shards"] == answer.json["shards"]
