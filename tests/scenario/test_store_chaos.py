"""Everything at once: schedules, collects and cancels on three daemons, while whatever can fail fails at random.

SIMLANE_CHAOS_S says for how long (8 s), SIMLANE_CHAOS_SEED repeats a run.
"""
import os
import random
import threading
import time

import lane as lanes
import load as loads

SECONDS = float(os.environ.get("SIMLANE_CHAOS_S", "8"))
SEED = int(os.environ.get("SIMLANE_CHAOS_SEED", str(random.randrange(10**6))))


class Story:
    """What a client was told of each of its jobs; a job is one client's alone until the end."""

    def __init__(self):
        self.jobs, self.told, self.shards, self.faults = {}, {}, {}, []


def live(story, *args):
    try:
        go(story, *args)
    except Exception as fault:  # noqa: BLE001: told by the test
        story.faults.append(f"a client failed: {fault!r}")


def go(story, daemons, token, rng, ended):
    """Schedules, and then collects or cancels, here or elsewhere; notes what was certainly said."""
    number = rng.randrange(10**9)
    while not ended.is_set():
        number += 1
        key = f"chaos-{number}"
        answer = ask(rng.choice(daemons), token, "/schedule", {"seed": {"goal": key}}, {"Idempotency-Key": key})
        if answer is None or answer.status != 202:
            time.sleep(0.02)
            continue
        job = answer.json
        story.jobs[job["job_id"]] = job
        for _ in range(rng.randrange(4)):
            path = rng.choice(["/collect", "/collect", "/cancel"])
            answer = ask(rng.choice(daemons), token, path, {"job_id": job["job_id"]}, {"Prefer": "wait=0"})
            note(story, job["job_id"], path, answer)


def ask(lane, token, path, body, headers):
    client = lane.client(token, timeout=30)
    if path != "/collect":
        headers = {name: value for name, value in headers.items() if name != "Prefer"}
    try:
        return client.post(path, body, headers=headers)
    except loads.GONE:
        return None


def note(story, job_id, path, answer):
    if answer is None or answer.status in (202, 503):
        return
    end = None
    if answer.status == 200:
        end = "complete" if path == "/collect" else answer.json["status"]
    elif answer.status == 409 and answer.code == "job-cancelled":
        end = "cancelled"
    if end not in ("complete", "cancelled"):
        story.faults.append(f"{path} of {job_id}: {answer}")
    elif story.told.setdefault(job_id, end) != end:
        story.faults.append(f"{job_id} was {story.told[job_id]} and is {end}")
    elif path == "/collect" and answer.status == 200:
        if story.shards.setdefault(job_id, answer.json["shards"]) != answer.json["shards"]:
            story.faults.append(f"{job_id} has other shards than before")


def kill_and_start(thing, rest):
    thing.kill()
    time.sleep(rest)
    thing.start()


def pause_and_resume(redis, rest):
    redis.pause()
    time.sleep(rest)
    redis.resume()


def misfortune(rng, redis, daemons):
    """One of the things that happen."""
    what = rng.randrange(6)
    if what == 0:
        kill_and_start(redis, rng.uniform(0, 0.6))
    elif what == 1:
        pause_and_resume(redis, rng.uniform(0.2, 1.5))
    elif what == 2:
        redis("CLIENT", "KILL", "TYPE", rng.choice(["normal", "pubsub"]))
    elif what == 3:
        redis("SCRIPT", "FLUSH")
    else:
        kill_and_start(rng.choice(daemons), rng.uniform(0, 0.3))


def test_whatever_happens_what_was_said_stays_true(engines, new_lane, mint, tmp_path):
    print(f"SIMLANE_CHAOS_SEED={SEED}")
    rng = random.Random(SEED)
    redis = engines.durable()
    shared = {
        "SIM_JOB_STORE": "redis",
        "REDIS_URL": redis.url,
        "DREAM_INBOX_DIR": tmp_path / "inbox",
        "SIM_REQUEST_TIMEOUT_MS": 3000,
    }
    daemons = [new_lane(at=f"lane{n}", **shared) for n in range(3)]
    story, ended, token = Story(), threading.Event(), mint()
    threads = [
        threading.Thread(target=live, args=(story, daemons, token, random.Random(rng.random()), ended))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(rng.uniform(0.1, 0.6))
            misfortune(rng, redis, daemons)
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)
    assert not story.faults, f"seed {SEED}: {story.faults[:5]}"
    assert len(story.jobs) > 100 and len(story.told) > 50, "hardly anything happened"
    for lane in daemons:
        loads.back(lane, token)
    settle(story, daemons, token)


def settle(story, daemons, token):
    """All claims of the dead run out; then each job is as it was told, and the inbox says the same."""
    client = daemons[0].client(token, timeout=90)
    end = time.monotonic() + 40 * lanes.PATIENCE
    documents = set(daemons[0].files())
    for job_id, job in story.jobs.items():
        answer = client.get(f"/jobs/{job_id}")
        assert answer.status == 200, f"seed {SEED}: {job_id} was acknowledged and is lost"
        while answer.json["status"] == "running":
            client.collect(job_id, headers={"Prefer": "wait=5"})
            answer = client.get(f"/jobs/{job_id}")
            documents = set(daemons[0].files())
            assert time.monotonic() < end, f"{job_id} is still running"
        status = answer.json["status"]
        assert status == story.told.get(job_id, status), f"seed {SEED}: {job_id} was {story.told[job_id]}, is {status}"
        name = f"{job['trace_id']}.json"
        assert (name in documents) == (status == "complete"), f"seed {SEED}: {job_id} is {status}, but its document..."
        if status == "complete":
            shards = daemons[0].document(job["trace_id"])["shards"]
            assert len(shards) == 1 and shards == client.collect(job_id).json["shards"]
            assert story.shards.get(job_id, shards) == shards, f"seed {SEED}: {job_id} has other shards"
