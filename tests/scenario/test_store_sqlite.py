"""SQLite: jobs outlive the daemon, whatever ends it, whatever fails below it, whoever looks at the file."""
import concurrent.futures
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import threading
import time

import pytest

import engines as all_engines
import lane as lanes
import load as loads
import test_faults as faults
from test_inbox_files import fill, small_disk, try_mount

KEY = "Idempotency-Key"
KILLS = 6


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


def integrity(path):
    """What SQLite itself thinks of the file, once the daemon is gone."""
    with sqlite3.connect(path) as db:
        return db.execute("PRAGMA integrity_check").fetchone()[0]


def status_of(client, job_id):
    return client.get(f"/jobs/{job_id}").json["status"]


# ---- a restart


def test_a_restart_keeps_jobs_keys_and_results(new_sqlite, mint):
    lane = new_sqlite()
    client = lane.client(mint())
    scheduled = client.schedule("kept", headers={KEY: "one"})
    waiting = client.get(scheduled.header("Location")).json
    collected = client.collect(client.job("done"))
    cancelled = client.job()
    client.cancel(cancelled)
    short = client.job(ttl_ms=1000)
    lane.stop()
    time.sleep(1.05)
    lane.start()
    client = lane.client(mint())
    assert client.depth() == 1, "the depth is there from the first answer on"
    assert client.get(scheduled.header("Location")).json == waiting
    assert client.schedule("kept", headers={KEY: "one"}).body == scheduled.body
    assert client.post("/schedule", {"seed": {"goal": "other"}}, headers={KEY: "one"}).code == "idempotency-mismatch"
    assert client.collect(collected.json["job_id"]).body == collected.body
    assert client.collect(cancelled).code == "job-cancelled"
    assert client.get(f"/jobs/{short}").status == 404, "its time ran while nobody was there"
    assert client.collect(scheduled.json["job_id"]).json["inbox"]["shards_written"] == 1


def test_the_limit_of_jobs_counts_those_of_before(new_sqlite, mint):
    lane = new_sqlite(SIM_MAX_JOBS=3)
    for _ in range(3):
        lane.client(mint()).job()
    lane.kill()
    lane.start()
    assert lane.client(mint()).post("/schedule", {"seed": {}}).code == "store-full"


def test_a_collect_that_died_with_its_daemon_is_done_by_the_next(new_sqlite, mint):
    """The claim of a daemon that is gone holds up nobody longer than need be, and nothing is written twice."""
    lane = new_sqlite()
    client = lane.client(mint())
    client.collect(client.job())
    job = client.schedule().json
    with lane.inbox_held(), concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.collect, job["job_id"])
        lanes.wait_until(lambda: status_of(client, job["job_id"]) == "running", 5, "the job is begun")
        lane.kill()
        assert isinstance(waiting.exception(), loads.GONE)
    lane.start()
    client = lane.client(mint(), timeout=90)
    begun = time.monotonic()
    answer = client.collect(job["job_id"], headers={"Prefer": "wait=60"})
    assert answer.status == 200, f"{answer} after {time.monotonic() - begun:.1f} s"
    assert time.monotonic() - begun < 45 * lanes.PATIENCE
    assert lane.document(job["trace_id"])["shards"] == answer.json["shards"]


def work(lane, token, promised, number):
    """Schedules, collects, cancels until the daemon is gone; notes what was promised."""
    client = lane.client(token, timeout=10)
    conn = client.connection()
    try:
        for turn in range(10_000):
            key = f"w{number}-{turn}-{time.monotonic_ns()}"
            answer = client.schedule(key, headers={KEY: key}, conn=conn)
            job = answer.json["job_id"]
            promised[job] = ("scheduled", key, answer.body)
            if turn % 3 == 1:
                promised[job] = ("maybe complete", key, answer.body)
                collected = client.collect(job, conn=conn)
                assert collected.status == 200
                promised[job] = ("complete", key, answer.body, collected.body)
            elif turn % 3 == 2:
                promised[job] = ("maybe cancelled", key, answer.body)
                assert client.cancel(job, conn=conn).status == 200
                promised[job] = ("cancelled", key, answer.body)
    except loads.GONE:
        pass
    finally:
        conn.close()


def kept(lane, client, job, promise):
    """One job against what was promised of it."""
    state, key, answer = promise[:3]
    now = client.get(f"/jobs/{job}")
    assert now.status == 200, f"a job that was acknowledged is lost: {job} {state}"
    if state.startswith("maybe"):
        assert now.json["status"] in ("scheduled", "running", state.split()[1])
    else:
        assert now.json["status"] == state, f"{job} was {state} and is {now.json['status']}"
    assert client.schedule(key, headers={KEY: key}).body == answer, "the key is forgotten"
    if state == "complete":
        again = client.collect(job)
        assert again.body == promise[3]
        assert lane.document(again.json["trace_id"])["shards"] == again.json["shards"]


def test_kill_9_at_any_moment_loses_nothing_that_was_acknowledged(new_sqlite, mint, path):
    lane = new_sqlite()
    everything = {}
    for turn in range(KILLS):
        promised = {}
        threads = [threading.Thread(target=work, args=(lane, mint(), promised, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.15, 0.5))
        lane.kill()
        for thread in threads:
            thread.join()
        if turn % 2:
            assert integrity(path) == "ok"
        lane.start()
        client = lane.client(mint())
        sample = random.sample(sorted(promised), min(60, len(promised)))
        for job in sample:
            kept(lane, client, job, promised[job])
        everything.update(promised)
    assert len(everything) > 20 * KILLS, "hardly any load"
    gone = [job for job in everything if client.get(f"/jobs/{job}").status != 200]
    assert not gone, f"{len(gone)} of {len(everything)} acknowledged jobs are lost"
    unfinished = sum(p[0] == "scheduled" for p in everything.values())
    in_doubt = sum(p[0].startswith("maybe") for p in everything.values())
    assert unfinished <= client.depth() <= unfinished + in_doubt + 4 * KILLS
    lane.stop()
    assert integrity(path) == "ok"


def test_restarts_under_load_lose_nothing_and_make_no_job_twice(new_sqlite, mint):
    lane = new_sqlite()
    with loads.Load([lane], mint(), limit=1500) as load:
        for _ in range(3):
            load.wait(100)
            lane.stop()
            lane.start()
        load.wait(100)
    client = lane.client(mint())
    loads.one_job_a_key(load, client)
    found, running = loads.collect_all([lane], mint(), load.acknowledged)
    assert len(found) == len(load.acknowledged) and not running
    loads.written_once(lane, load.acknowledged, found)


# ---- system calls that fail

CALLS = ("pwrite64", "write", "pwritev", "fdatasync", "fsync", "ftruncate", "fallocate")


class Tracer(faults.Tracer):
    """strace on the store's own thread, for the time of a with block."""

    def __init__(self, lane, out, inject=None):
        tasks = pathlib.Path(f"/proc/{lane.process.pid}/task")
        threads = [task.name for task in tasks.iterdir() if "sqlite" in (task / "comm").read_text()]
        assert threads, "no thread of the store: its name does not say sqlite"
        self.count, self.out = len(threads), out
        self.command = ["strace", "-y", "-o", str(out), "-e", "trace=" + ",".join(CALLS)]
        self.command += ["-e", "inject=" + inject] if inject else []
        for thread in threads:
            self.command += ["-p", thread]


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
@pytest.mark.skipif(bool(lanes.SANITIZE), reason="a sanitizer's run is not traced")
def test_each_write_and_sync_may_fail_and_nothing_is_lost_or_made_twice(new_sqlite, mint, path, tmp_path):
    lane = new_sqlite()
    client = lane.client(mint())
    before = [client.schedule().json for _ in range(3)]
    with Tracer(lane, tmp_path / "clean"):
        client.job()
    made = faults.calls_of(tmp_path / "clean")
    assert {"fdatasync", "fsync"} & set(made) and {"pwrite64", "write", "pwritev"} & set(made), made
    jobs, refused = [], 0
    for call in sorted(made.keys() & set(CALLS)):
        for error in ("EIO", "ENOSPC"):
            for when in [str(n) for n in made[call]] + ["1+"]:
                key = f"{call}-{error}-{when}"
                with Tracer(lane, tmp_path / "faulty", f"{call}:error={error}:when={when}"):
                    answer = client.post("/schedule", {"seed": {}}, headers={KEY: key})
                if answer.status != 202:
                    assert answer.status == 503 and answer.code in (
                        "store-unavailable",
                        "store-full",
                    ), f"{key}: {answer}"
                    refused += 1
                again = lanes.wait_until(lambda k=key: retried(client, k), 5, f"{key}: works again without a restart")
                assert answer.status == 503 or answer.json["job_id"] == again, f"{key}: made twice"
                jobs.append(again)
    assert refused >= 4, "hardly any fault was felt"
    lanes.wait_until(lambda: client.depth() == len(set(jobs)) + len(before) + 1, 2, "one job a key")
    lane.kill()
    assert integrity(path) == "ok"
    lane.start()
    client = lane.client(mint())
    for job in (*jobs, *(b["job_id"] for b in before)):
        assert client.get(f"/jobs/{job}").status == 200, f"{job} is lost"


def retried(client, key):
    answer = client.post("/schedule", {"seed": {}}, headers={KEY: key})
    return answer.status == 202 and answer.json["job_id"]


# ---- an operator looks


def test_sqlite3_shows_the_jobs_while_the_daemon_runs(new_sqlite, mint, path):
    tool = all_engines.program("sqlite3")
    client = new_sqlite().client(mint())
    scheduled = client.schedule(seed={"goal": "read me aloud"}).json
    done = client.job()
    client.collect(done)
    gone = client.job()
    client.cancel(gone)
    shown = subprocess.run(
        [tool, "-readonly", str(path), "select * from jobs"], text=True, capture_output=True, timeout=10, check=False
    )
    assert shown.returncode == 0, shown.stderr
    lines = {re.search(r"JOB-[0-9a-f]{12}", line)[0]: line for line in shown.stdout.strip().split("\n")}
    assert set(lines) == {scheduled["job_id"], done, gone}
    assert "scheduled" in lines[scheduled["job_id"]] and scheduled["trace_id"] in lines[scheduled["job_id"]]
    assert "read me aloud" in lines[scheduled["job_id"]] or "default" in lines[scheduled["job_id"]]
    assert "complete" in lines[done] and "cancelled" in lines[gone]
    assert client.collect(scheduled["job_id"]).status == 200


def test_an_operators_open_transaction_is_503_for_its_time_and_no_longer(new_sqlite, mint, path):
    lane = new_sqlite()
    client = lane.client(mint())
    before = client.job(headers={KEY: "before"})
    operator = sqlite3.connect(path, isolation_level=None)
    operator.execute("BEGIN IMMEDIATE")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        end = time.monotonic() + 5

        def ask(number):
            looked = 0
            while time.monotonic() < end - 1.5:
                begun = time.monotonic()
                answer = client.post("/schedule", {"seed": {}}, headers={KEY: f"held-{number}"})
                assert (answer.status, answer.code) == (503, "store-unavailable"), answer
                assert int(answer.header("Retry-After")) >= 1
                took = time.monotonic() - begun
                assert took < loads.AWAY_S * lanes.PATIENCE, f"the refusal took {took:.2f} s"
                looked += 1
            return looked

        asking = [pool.submit(ask, n) for n in range(3)]
        lanes.wait_until(lambda: client.get("/readyz").status == 503, 3, "readyz fails while nothing can be written")
        assert client.get("/livez").status == 200
        assert client.get(f"/jobs/{before}").status in (200, 503)
        assert all(a.result() > 0 for a in asking)
    operator.execute("ROLLBACK")
    operator.close()
    loads.back(lane, mint(), 3)
    assert client.job(headers={KEY: "before"}) == before
    made = [client.job(headers={KEY: f"held-{n}"}) for n in range(3)]
    lanes.wait_until(lambda: client.depth() == 1 + len(set(made)), 2, "what was refused was not made in secret")


def test_an_operators_long_read_stops_nobody(new_sqlite, mint, path):
    lane = new_sqlite()
    client = lane.client(mint())
    client.job()
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    count = reader.execute("select count(*) from jobs").fetchone()[0]
    for _ in range(50):
        assert client.collect(client.job()).status == 200
    assert reader.execute("select count(*) from jobs").fetchone()[0] == count
    reader.execute("COMMIT")
    reader.close()
    assert client.get("/readyz").status == 200


@pytest.mark.parametrize("how", ["moved away", "another in its place", "its WAL removed"])
def test_a_file_that_is_taken_away_is_never_a_false_202(new_sqlite, mint, path, how):
    """What is written into a file that nobody will open again is lost: not acknowledged, told, not ready."""
    lane = new_sqlite()
    client = lane.client(mint())
    job = client.job()
    kept = path.with_name("kept.db")
    wal = path.with_name("jobs.db-wal")
    if how == "its WAL removed":
        wal.rename(kept)
    else:
        path.rename(kept)
    if how == "another in its place":
        path.write_bytes(b"")
    answers = [client.post("/schedule", {"seed": {}}) for _ in range(5)]
    acknowledged = [a.json["job_id"] for a in answers if a.status == 202]
    assert all(a.status in (202, 503) for a in answers)
    assert client.get("/livez").status == 200
    if acknowledged:  # then they must be in what the next daemon finds
        lane.kill()
        lane.start()
        client = lane.client(mint())
        lost = [j for j in acknowledged if client.get(f"/jobs/{j}").status != 200]
        assert not lost, f"{how}: {len(lost)} of {len(acknowledged)} were acknowledged into nowhere"
        return
    lanes.wait_until(lambda: client.get("/readyz").status == 503, 2, "readyz fails")
    if how == "another in its place":
        path.unlink()
    kept.rename(wal if how == "its WAL removed" else path)
    loads.back(lane, mint())
    assert status_of(client, job) == "scheduled"


# ---- a full disk


def test_a_full_disk_is_503_loses_nothing_and_is_over_when_there_is_room(new_sqlite, mint, tmp_path):
    all_engines.needs_root("mounting")
    if not try_mount(tmp_path / "probe"):
        pytest.skip("mounting is not allowed here")
    with small_disk(tmp_path / "disk", "2m") as disk:
        lane = new_sqlite(SIM_SQLITE_PATH=disk / "jobs.db")
        client = lane.client(mint())
        acknowledged = [client.schedule().json for _ in range(10)]
        done = client.collect(client.job())
        assert done.status == 200
        filler = fill(disk)
        seed = {"constraints": {"flags": {"pad": "p" * 20_000}}}
        refused = 0
        for turn in range(400):
            answer = client.post("/schedule", {"seed": seed}, headers={KEY: f"full-{turn}"})
            if answer.status == 202:
                acknowledged.append(answer.json)
                continue
            assert answer.status == 503 and answer.code in ("store-full", "store-unavailable"), answer
            refused += 1
            if refused == 5:
                break
        assert refused == 5, "the disk never was full"
        assert client.get("/livez").status == 200
        for job in acknowledged:
            assert client.get(f"/jobs/{job['job_id']}").status == 200, "an acknowledged job is lost"
        assert client.collect(done.json["job_id"]).body == done.body
        for call, job in ((client.collect, acknowledged[0]), (client.cancel, acknowledged[1])):
            answer = call(job["job_id"])
            assert answer.status == 200 or answer.code in ("store-full", "store-unavailable"), answer
        if answer.status == 200:
            del acknowledged[1]
        lane.kill()
        filler.unlink()
        lane.start()
        client = lane.client(mint())
        loads.back(lane, mint())
        found, running = loads.collect_all([lane], mint(), acknowledged)
        assert len(found) == len(acknowledged) and not running
        more = [client.schedule().json for _ in range(4)]
        filler = fill(disk)
        lanes.wait_until(lambda: client.post("/schedule", {"seed": seed}).status == 503, 10, "full again")
        for job in more[:2]:
            answer = client.collect(job["job_id"])
            assert answer.status == 200 or answer.code in ("store-full", "store-unavailable"), answer
        filler.unlink()
        loads.back(lane, mint())  # and without a restart
        found, running = loads.collect_all([lane], mint(), more)
        assert len(found) == len(more) and not running
        lane.stop()
        assert integrity(disk / "jobs.db") == "ok"


def test_jobs_past_their_time_leave_the_file(new_sqlite, mint, path):
    client = new_sqlite().client(mint())
    for _ in range(300):
        client.job(ttl_ms=1000)
    keep = client.job()

    def left():
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return db.execute("select count(*) from jobs").fetchone()[0]

    lanes.wait_until(lambda: left() == 1, 8, "the sweep has taken them")
    assert status_of(client, keep) == "scheduled"
