"""Load through a fault, and what must be true of it afterwards.

Clients schedule all the time, each job with an Idempotency-Key of its own; one
that gets 503, or loses its connection, repeats with its key until it has a
202. Whatever was answered is noted with the time it took.
"""
import concurrent.futures
import itertools
import threading
import time

import lane as lanes
import wire

SLACK_S = 1.0  # of a request's own time-out
AWAY_S = 1.3  # within which a daemon whose engine is away says so: a second, and room for a busy machine
GONE = (OSError, EOFError, wire.http.client.HTTPException)


class Noted:
    """One request: what it was, when it began, how long it took, what came (status None: the connection was lost)."""

    def __init__(self, what, begun, status, code, retry_after):
        self.what, self.begun, self.took = what, begun, time.monotonic() - begun
        self.status, self.code, self.retry_after = status, code, retry_after

    def __repr__(self):
        return f"{self.what}: {self.status} {self.code} after {self.took:.2f} s"


class Caller:
    """A client with a kept connection to one of several daemons; moves to the next when it loses one."""

    def __init__(self, load, number):
        self.load, self.number = load, number
        self.conn = None

    def ask(self, what, path, body, headers=()):
        lane = self.load.lanes[self.number % len(self.load.lanes)]
        client = lane.client(self.load.token, timeout=60)
        self.conn = self.conn or client.connection()
        begun = time.monotonic()
        try:
            answer = client.post(path, body, headers=headers, conn=self.conn)
        except GONE:
            answer = None
            self.leave()
        noted = Noted(what, begun, *((answer.status, None, None) if answer else (None, None, None)))
        if answer and answer.status >= 400:
            noted.code, noted.retry_after = answer.code, answer.header("Retry-After")
        self.load.noted.append(noted)
        return answer

    def leave(self):
        if self.conn is not None:
            self.conn.close()
        self.conn = None
        self.number += 1


class Load:
    """with Load(lanes, mint()) as load: ...; the with block ends when every key in use has its 202."""

    serial = itertools.count(1)

    def __init__(self, daemons, token, callers=6, collecting=0, limit=4000, patience_s=20):
        self.lanes, self.token = daemons, token
        self.callers, self.collecting, self.limit = callers, collecting, limit
        self.patience_s = patience_s
        self.noted, self.acknowledged, self.collected, self.faults = [], [], {}, []
        self.ended = threading.Event()
        self.threads = []

    def __enter__(self):
        for number in range(self.callers + self.collecting):
            work = self.schedule if number < self.callers else self.collect
            self.threads.append(threading.Thread(target=self.run, args=(work, number), daemon=True))
            self.threads[-1].start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join(self.patience_s * lanes.PATIENCE + 60)
            assert not thread.is_alive(), "a caller hangs"
        if kind is None:
            assert not self.faults, self.faults[0]

    def run(self, work, number):
        caller = Caller(self, number)
        try:
            work(caller)
        except Exception as fault:  # noqa: BLE001: told by the with block
            self.faults.append(f"a caller failed: {fault!r}")
        finally:
            caller.leave()

    def schedule(self, caller):
        while not self.ended.is_set() and len(self.acknowledged) < self.limit:
            key = f"load-{next(self.serial)}"
            body = {"seed": {"goal": f"Plan number {key}", "context": {"pad": "p" * 100}}}
            deadline = time.monotonic() + self.patience_s * lanes.PATIENCE
            while True:
                answer = caller.ask("schedule", "/schedule", body, {"Idempotency-Key": key})
                if answer is not None and answer.status == 202:
                    self.acknowledged.append(answer.json)
                    break
                assert answer is None or answer.code in (
                    "store-unavailable",
                    "store-full",
                    "idempotency-in-flight",
                ), f"an answer that no fault excuses: {answer}"
                assert time.monotonic() < deadline, f"no 202 for {key}; the last answer was {answer}"
                time.sleep(0.03)

    def collect(self, caller):
        """Collects some of what was acknowledged, while the fault lasts too."""
        place = 0
        while not self.ended.is_set():
            if place >= len(self.acknowledged):
                time.sleep(0.01)
                continue
            job = self.acknowledged[place]
            place += 10
            answer = caller.ask("collect", "/collect", {"job_id": job["job_id"]})
            if answer is not None and answer.status == 200:
                self.collected[job["job_id"]] = answer.json["shards"]
            else:
                assert answer is None or answer.status in (202, 503), f"an answer that no fault excuses: {answer}"
                time.sleep(0.05)

    # ---- while it runs

    def wait(self, count, seconds=20):
        """Until so many more are acknowledged: it works (again)."""
        wanted = len(self.acknowledged) + count
        lanes.wait_until(
            lambda: len(self.acknowledged) >= min(wanted, self.limit) or self.faults, seconds, f"{count} more jobs"
        )
        assert not self.faults, self.faults[0]

    # ---- afterwards

    def judge_times(self, timeout_ms, away=None):
        """No request took longer than its time-out; in away (begin, end) a refusal took no more than a second."""
        longest = max(self.noted, key=lambda n: n.took)
        assert longest.took <= (timeout_ms / 1000 + SLACK_S) * lanes.PATIENCE, f"too long: {longest}"
        refused = [n for n in self.noted if n.status == 503]
        for noted in refused:
            assert int(noted.retry_after) >= 1, noted
            assert noted.took <= AWAY_S * lanes.PATIENCE, f"a refusal that took too long: {noted}"
        if away is not None:
            begin, end = away
            inside = [n for n in refused if begin <= n.begun <= end]
            assert inside, "the fault was not felt"
        return refused

    def job_ids(self):
        return [job["job_id"] for job in self.acknowledged]


def one_job_a_key(load, client):
    """A key whose 503 hid a job has found it again: there is one job a 202, and none besides."""
    ids = load.job_ids()
    assert len(set(ids)) == len(ids), "two keys got one job"
    unfinished = len(set(ids)) - len(load.collected)
    lanes.wait_until(
        lambda: client.depth() is not None and abs(client.depth() - unfinished) <= in_doubt(load, client),
        4,
        f"the depth is {unfinished}, not {client.depth()}",
    )


def in_doubt(load, client):
    """Collects that were cut off: their jobs may have been completed all the same."""
    return len({n for n in load.noted if n.what == "collect" and n.status != 200})


def collect_all(daemons, token, jobs, known=None):
    """Collects each job, every fourth twice and elsewhere: (job id -> shards, ids still running)."""
    known = dict(known or {})
    clients = [lane.client(token, timeout=60) for lane in daemons]
    local = threading.local()

    def conn_of(client):
        conns = local.__dict__.setdefault("conns", {})
        if client not in conns:
            conns[client] = client.connection()
        return conns[client]

    def collect(client, job_id):
        end = time.monotonic() + 10 * lanes.PATIENCE
        while True:
            answer = client.collect(job_id, headers={"Prefer": "wait=0"}, conn=conn_of(client))
            if answer.status != 503 or time.monotonic() > end:
                return answer
            time.sleep(0.2)  # an engine that has just come back may go once more

    def one(place):
        job = jobs[place]
        answer = collect(clients[place % len(clients)], job["job_id"])
        if answer.status == 202:
            return job["job_id"], None
        assert answer.status == 200, f"an acknowledged job is lost: {job} {answer}"
        if place % 4 == 0:
            again = collect(clients[(place + 1) % len(clients)], job["job_id"])
            assert again.body == answer.body, f"a second collect tells something else: {again}, first {answer}"
        return job["job_id"], answer.json["shards"]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        found = dict(pool.map(one, range(len(jobs))))
    running = [job_id for job_id, shards in found.items() if shards is None]
    for job_id, shards in known.items():
        assert found[job_id] in (None, shards), "an earlier answer had other shards"
    return {job_id: shards for job_id, shards in found.items() if shards is not None}, running


def written_once(lane, jobs, found, strangers=False):
    """One document a collected job, one shard a document, and the shard that was answered; strangers: others are fine."""
    for job in jobs:
        if job["job_id"] in found:
            document = lane.document(job["trace_id"])
            assert len(document["shards"]) == 1 and document["shards"] == found[job["job_id"]], document
    if strangers:
        return
    traces = {f"{job['trace_id']}.json" for job in jobs}
    strange = [name for name in lane.files() if name not in traces]
    assert not strange, f"documents of nobody's: {strange[:5]}"


def away(lane, token, seconds):
    """While its engine is away: 503 within a second, not ready, alive. Looks for that long."""
    client = lane.client(token)
    end = time.monotonic() + seconds
    looks = 0
    while time.monotonic() < end or looks < 2:
        begun = time.monotonic()
        # one whose fate is unknown may be there after the fault, but not for long
        answer = client.post("/schedule", {"seed": {}, "ttl_ms": 1000})
        took = time.monotonic() - begun
        assert (answer.status, answer.code) == (503, "store-unavailable"), answer
        assert int(answer.header("Retry-After")) >= 1
        assert took <= AWAY_S * lanes.PATIENCE, f"the refusal took {took:.2f} s"
        begun = time.monotonic()
        assert client.get("/livez").status == 200
        assert time.monotonic() - begun < 0.5 * lanes.PATIENCE, "livez waited for the engine"
        if looks > 0:
            answer = client.get("/readyz")
            assert answer.status == 503 and answer.json["check"] == "store", answer
        looks += 1
        time.sleep(0.05)
    lanes.wait_until(lambda: client.get("/health").status == 503, 2, "health fails, a second later at most")


def ready(lane, token, seconds=5):
    client = lane.client(token)
    lanes.wait_until(lambda: client.get("/readyz").status == 200, seconds, "ready again")
    lanes.wait_until(lambda: client.get("/health").status == 200, 3, "healthy again")


def back(lane, token, seconds=5):
    """Without a restart: ready, and a job goes all its way."""
    ready(lane, token, seconds)
    client = lane.client(token)
    job_id = client.job()
    assert client.collect(job_id).status == 200
    assert client.get(f"/jobs/{job_id}").json["status"] == "complete"
