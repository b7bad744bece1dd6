"""Collect, cancel and time: waits, races, times to live."""
import concurrent.futures
import os
import threading
import time

import pytest

import lane as lanes

PATIENCE = lanes.PATIENCE


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(16) as executor:
        yield executor


# ---- Prefer: wait


@pytest.mark.parametrize(
    "preference, applied",
    [
        ("wait=0", {None, "wait=0"}),
        ("wait=5", {None, "wait=5"}),
        ("wait=60", {None, "wait=60"}),
        ("wait=61", {"wait=60"}),
        ("wait=100000", {"wait=60"}),
        ("wait=99999999999999999999", {"wait=60"}),
        ("WAIT=61", {"wait=60"}),
        ("respond-async, wait=61", {"wait=60"}),
        ("wait = 61; foo=bar", {"wait=60"}),
        ('wait="61"', {"wait=60"}),
    ],
)
def test_a_wait_is_granted_up_to_60_seconds(client, preference, applied):
    begun = time.monotonic()
    answer = client.collect(client.job(), headers={"Prefer": preference})
    assert answer.status == 200
    assert time.monotonic() - begun < 5 * PATIENCE, "a job that is done is answered at once"
    assert answer.header("Preference-Applied") in applied


@pytest.mark.parametrize(
    "preference", ["", "wait", "wait=", "wait=x", "wait=-1", "wait=1.5", "return=minimal", "xwait=5"]
)
def test_other_preferences_are_ignored(client, preference):
    answer = client.collect(client.job(), headers={"Prefer": preference})
    assert answer.status == 200 and answer.header("Preference-Applied") is None


# ---- two collects at once


def test_two_collects_at_once_write_once(lane, client, pool):
    for _ in range(10):
        job_id = client.job()
        answers = list(pool.map(lambda _: client.collect(job_id), range(6)))
        assert {a.status for a in answers} == {200}
        assert len({a.body for a in answers}) == 1
        document = lane.document(answers[0].json["trace_id"])
        assert len(document["shards"]) == 1


def test_collects_that_meet_one_under_way_wait_for_it(lane, client, pool):
    job_id = client.job()
    with lane.inbox_held() as let_go:
        waiting = [pool.submit(client.collect, job_id) for _ in range(4)]
        lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        assert not any(w.done() for w in waiting)
        let_go()
    bodies = {w.result().body for w in waiting}
    assert {w.result().status for w in waiting} == {200} and len(bodies) == 1


def test_a_job_that_is_not_finished_in_time_is_202(lane, client, pool):
    job_id = client.job()
    with lane.inbox_held() as let_go:
        first = pool.submit(client.collect, job_id)
        lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        for wait, least in ((0, 0), (1, 0.9)):
            begun = time.monotonic()
            answer = client.collect(job_id, headers={"Prefer": f"wait={wait}"})
            assert (answer.status, answer.json["status"]) == (202, "running")
            assert answer.header("X-Trace-Id") == answer.json["trace_id"]
            assert answer.header("Preference-Applied") in (None, f"wait={wait}")
            assert least <= time.monotonic() - begun < 2 * PATIENCE
        let_go()
        assert client.collect(job_id, headers={"Prefer": "wait=30"}).status == 200
    assert first.result().status == 200


def test_a_wait_ends_as_soon_as_the_job_is_done(lane, client, pool):
    job_id = client.job()
    with lane.inbox_held() as let_go:
        waiting = [pool.submit(client.collect, job_id, headers={"Prefer": "wait=60"}) for _ in range(5)]
        lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        let_go()
        begun = time.monotonic()
        assert {w.result().status for w in waiting} == {200}
        assert time.monotonic() - begun < 2 * PATIENCE


def test_one_trace_that_is_held_delays_no_other(lane, client, pool):
    """One slot of the inbox's locks is held as if another daemon hung; other traces go on."""
    jobs = [client.job() for _ in range(24)]
    client.collect(client.job())
    slot = next(name for name in sorted(os.listdir(lane.inbox)) if lanes.SLOT.match(name))
    held = os.open(lane.inbox / slot, os.O_RDWR)
    lanes.lock_whole_file(held)
    try:
        waiting = [pool.submit(client.collect, job) for job in jobs]
        lanes.wait_until(lambda: sum(w.done() and w.result().status == 200 for w in waiting) >= 12, 10, "most are done")
    finally:
        os.close(held)
    for job, w in zip(jobs, waiting):
        answer = w.result()
        if answer.status != 200:
            assert (answer.status, answer.code) == (503, "inbox-unavailable")
            assert client.collect(job).status == 200


# ---- cancel against collect


def test_a_cancel_waits_for_a_collect_and_reports_its_outcome(lane, client, pool):
    job_id = client.job()
    with lane.inbox_held() as let_go:
        collecting = pool.submit(client.collect, job_id)
        lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        cancelling = pool.submit(client.cancel, job_id)
        time.sleep(0.1)
        assert not cancelling.done()
        let_go()
    assert collecting.result().status == 200
    assert cancelling.result().status == 200 and cancelling.result().json["status"] == "complete"


def test_cancel_and_collect_at_once_agree(lane, client, pool):
    outcomes = set()
    for turn in range(40):
        job = client.schedule().json
        barrier = threading.Barrier(2)

        def go(call, delay):
            barrier.wait()
            time.sleep(delay)
            return call(job["job_id"])

        collecting = pool.submit(go, client.collect, 0.0001 * (turn % 5))
        cancelling = pool.submit(go, client.cancel, 0.0001 * (turn // 8))
        collected, cancelled = collecting.result(), cancelling.result()
        assert cancelled.status == 200
        written = f"{job['trace_id']}.json" in lane.files()
        if cancelled.json["status"] == "complete":
            assert collected.status == 200 and written
        else:
            assert cancelled.json["status"] == "cancelled"
            assert (collected.status, collected.code) == (409, "job-cancelled") and not written
        outcomes.add(cancelled.json["status"])
    assert outcomes <= {"complete", "cancelled"}


# ---- the caller that was good when it came


def test_a_token_that_expires_while_its_request_waits_gets_401_and_frees_the_job(new_lane, mint, pool):
    lane = new_lane(SIM_CLOCK_SKEW_S=0)
    client = lane.client(mint())
    job_id = client.job()
    client.collect(client.job())  # so that the locks' files are there
    with lane.inbox_held() as let_go:
        expiry = int(time.time()) + 2
        waiting = pool.submit(client.collect, job_id, token=mint(exp=expiry))
        lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        time.sleep(max(0, expiry - time.time()) + 0.1)
        let_go()
    answer = waiting.result()
    assert (answer.status, answer.code) == (401, "invalid-token")
    assert len(lane.files()) == 1, "it was written all the same"
    collected = client.collect(job_id)
    assert collected.status == 200 and collected.json["inbox"]["shards_written"] == 1


def test_a_token_that_is_revoked_while_its_request_waits_gets_401(new_lane, mint, pool, tmp_path):
    revoked = tmp_path / "revoked"
    revoked.write_text("")
    lane = new_lane(SIM_REVOKED_FILE=revoked)
    client = lane.client(mint())
    job_id = client.job()
    client.collect(client.job())
    with lane.inbox_held() as let_go:
        waiting = pool.submit(client.collect, job_id, token=mint(sub="traitor"))
        lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        revoked.write_text("sub:traitor\n")
        lane.signal(1)
        lanes.wait_until(
            lambda: client.get("/jobs/JOB-0123456789ab", token=mint(sub="traitor")).status == 401, 5, "reload"
        )
        let_go()
    answer = waiting.result()
    assert (answer.status, answer.code) == (401, "invalid-token")
    assert client.collect(job_id).status == 200


def test_a_client_that_leaves_while_its_collect_waits_harms_nobody(lane, client, mint, pool):
    import wire

    job_id = client.job()
    body = b'{"job_id":"%s"}' % job_id.encode()
    with lane.inbox_held() as let_go:
        with lane.raw() as raw:
            raw.send(
                wire.raw_request(
                    "POST",
                    "/collect",
                    [
                        ("Content-Type", "application/json"),
                        ("Content-Length", str(len(body))),
                        ("Authorization", "Bearer " + mint()),
                    ],
                    body,
                )
            )
            lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        let_go()
    collected = client.collect(job_id)
    assert collected.status == 200 and collected.json["inbox"]["shards_written"] == 1


# ---- time to live


def test_a_job_lives_its_ttl_and_is_then_404(client):
    job_id = client.job(ttl_ms=1000)
    done = client.job(ttl_ms=1000)
    gone = client.job(ttl_ms=1000)
    assert client.collect(done).status == 200
    assert client.cancel(gone).status == 200
    assert client.collect(done).status == 200
    job = client.get(f"/jobs/{job_id}").json
    assert job["expires_ms"] - job["created_ms"] == 1000
    time.sleep(1.05)
    for job in (job_id, done, gone):
        assert client.get(f"/jobs/{job}").status == 404
        assert client.collect(job).status == 404
        assert client.cancel(job).status == 404


def test_the_inbox_outlives_the_job(lane, client):
    job_id = client.job(ttl_ms=1000)
    collected = client.collect(job_id).json
    time.sleep(1.05)
    assert client.collect(job_id).status == 404
    assert lane.document(collected["trace_id"])["shards"] == collected["shards"]


def test_the_longest_ttl_is_a_setting(new_lane, mint):
    client = new_lane(SIM_JOB_TTL_MS=5000).client(mint())
    job = client.get(f"/jobs/{client.job()}").json
    assert job["expires_ms"] - job["created_ms"] == 5000
    assert client.schedule(ttl_ms=5000).status == 202
    answer = client.post("/schedule", {"seed": {}, "ttl_ms": 5001})
    assert (answer.status, answer.code, answer.json["pointer"]) == (422, "invalid-request", "/ttl_ms")
