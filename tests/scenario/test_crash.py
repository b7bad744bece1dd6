"""kill -9 in a loop under load: what was answered 200 is on the disk, and nothing torn survives."""
import random
import threading
import time

import wire

ROUNDS = 8


def load(lane, token, promised, seed):
    """Schedules and collects until the daemon is gone; notes what was promised."""
    client = lane.client(token, timeout=5)
    conn = client.connection()
    rng = random.Random(seed)
    try:
        while True:
            if rng.random() < 0.2:
                trace_id = f"foreign-{seed}-{rng.randrange(4)}"
                shard = {"index": rng.randrange(10**9), "timestamp": 1, "pad": "p" * rng.randrange(20_000)}
                answer = client.post(
                    "/inbox", {"seed": {}, "result": {"trace_id": trace_id, "shards": [shard]}}, conn=conn
                )
                if answer.status == 200:
                    promised.append((trace_id, [shard]))
                continue
            job = client.job("g" * rng.randrange(600), conn=conn)
            answer = client.collect(job, conn=conn)
            if answer.status == 200:
                promised.append((answer.json["trace_id"], answer.json["shards"]))
    except (OSError, EOFError, wire.http.client.HTTPException):
        pass
    finally:
        conn.close()


def test_kill_9_under_load_loses_nothing_that_was_promised(new_lane, mint):
    lane = new_lane()
    everything = []
    for turn in range(ROUNDS):
        promised = []
        threads = [threading.Thread(target=load, args=(lane, mint(), promised, turn * 10 + n)) for n in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.1, 0.4))
        lane.kill()
        for thread in threads:
            thread.join()
        everything += promised
        lane.start()
        names = lane.files()
        assert all(n.endswith(".json") for n in names), f"left behind: {[n for n in names if not n.endswith('.json')]}"
        for trace_id, shards in promised:
            kept = lane.document(trace_id)["shards"]
            assert all(shard in kept for shard in shards)
        for name in names:
            lane.document(name[:-5])  # every document is readable JSON
    assert len(everything) > ROUNDS, "hardly anything was collected"
    client = lane.client(mint())
    assert client.collect(client.job()).status == 200
