"""POST /inbox: the inbox writer as a service of its own."""
import concurrent.futures
import itertools

import pytest

serial = itertools.count()


def fresh():
    return f"foreign.trace_{next(serial)}-x"


def shard(index, timestamp=1000, **more):
    return {"index": index, "timestamp": timestamp, **more}


def write(client, trace_id, shards, seed=None, **kw):
    body = {"seed": {"goal": "g"} if seed is None else seed, "result": {"trace_id": trace_id, "shards": shards}}
    return client.post("/inbox", body, **kw)


def test_shards_made_elsewhere_are_written(lane, client):
    trace_id = fresh()
    shards = [shard(0, proposal={"x": [1, 2.5, None]}), shard(1)]
    answer = write(
        client,
        trace_id,
        shards,
        {"goal": "g", "ul_tags": ["a"], "constraints": {"flags": {"f": True}}, "context": {"c": 1}},
    )
    assert answer.status == 200
    assert (answer.json["trace_id"], answer.json["file"], answer.json["shards_written"]) == (
        trace_id,
        f"{trace_id}.json",
        2,
    )
    document = lane.document(trace_id)
    assert document["shards"] == shards and document["tenant"] == "default" and document["version"] == 1
    assert document["seed"] == {"goal": "g", "ul_tags": ["a"], "constraints": {"flags": {"f": True}}}
    assert "matada_nodes" not in document
    assert answer.json["bytes"] == (lane.inbox / f"{trace_id}.json").stat().st_size


def test_writing_again_merges(lane, client):
    trace_id = fresh()
    assert write(client, trace_id, [shard(0), shard(1)]).json["shards_written"] == 2
    first = lane.document(trace_id)
    answer = write(client, trace_id, [shard(1, note="again"), shard(2), shard(1, 2000)], {"goal": "another"})
    assert answer.json["shards_written"] == 2
    document = lane.document(trace_id)
    assert document["shards"] == [shard(0), shard(1), shard(2), shard(1, 2000)]
    assert document["seed"] == first["seed"], "an existing snapshot stays"
    assert document["saved_ts"] >= first["saved_ts"]


def test_the_same_shard_twice_in_the_first_write_is_one(lane, client):
    trace_id = fresh()
    assert write(client, trace_id, [shard(0), shard(0), shard(0, 5)]).json["shards_written"] == 2
    assert lane.document(trace_id)["shards"] == [shard(0), shard(0, 5)]


def test_members_that_we_do_not_know_stay(lane, client):
    import json

    trace_id = fresh()
    write(client, trace_id, [shard(0)])
    path = lane.inbox / f"{trace_id}.json"
    document = lane.document(trace_id)
    document["reviewed_by"] = {"who": "ops", "when": 5}
    path.write_text(json.dumps(document))
    assert write(client, trace_id, [shard(1)]).status == 200
    assert lane.document(trace_id)["reviewed_by"] == {"who": "ops", "when": 5}


@pytest.mark.parametrize(
    "trace_id", ["a", "0", "x" * 128, "A.b_c-d", "LT-1767323045678-0a1b2c3d", "con", "a..b", "a.json", "9-"]
)
def test_foreign_traces_of_the_right_form_are_taken(lane, client, trace_id):
    assert write(client, trace_id, [shard(0)]).status == 200
    assert lane.document(trace_id)["trace_id"] == trace_id


@pytest.mark.parametrize(
    "trace_id",
    [
        "",
        ".",
        "..",
        ".hidden",
        "-x",
        "_x",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "a b",
        "é",
        "a\n",
        "x" * 129,
        "a%2fb",
        ".lock",
        "..%2f",
        "a:b",
        "~",
        "a\u202eb",
        "a*",
        "./a",
    ],
)
def test_foreign_traces_of_another_form_are_422_and_no_file(lane, client, trace_id):
    before = lane.files()
    answer = write(client, trace_id, [shard(0)])
    assert (answer.status, answer.code, answer.json["pointer"]) == (422, "invalid-request", "/result/trace_id")
    assert lane.files() == before


def test_a_trace_of_another_tenant_is_409(lane, client, mint):
    trace_id = fresh()
    assert write(client, trace_id, [shard(0)], token=mint(tenant="blue")).status == 200
    answer = write(client, trace_id, [shard(1)], token=mint(tenant="green"))
    assert (answer.status, answer.code) == (409, "trace-taken")
    assert "blue" not in answer.body.decode()
    assert len(lane.document(trace_id)["shards"]) == 1
    assert write(client, trace_id, [shard(1)], token=mint(tenant="blue")).status == 200


def test_a_trace_of_a_live_job_is_409_also_for_its_owner(lane, client, mint):
    job = client.schedule().json
    for token in (mint(), mint(tenant="blue")):
        answer = write(client, job["trace_id"], [shard(7)], token=token)
        assert (answer.status, answer.code) == (409, "trace-taken")
    assert f"{job['trace_id']}.json" not in lane.files()
    collected = client.collect(job["job_id"])
    assert collected.status == 200 and collected.json["inbox"]["shards_written"] == 1


def test_a_document_without_a_tenant_is_defaults(lane, client, mint):
    import json

    trace_id = fresh()
    (lane.inbox / f"{trace_id}.json").write_text(json.dumps({"trace_id": trace_id, "shards": [shard(0)], "version": 1}))
    assert write(client, trace_id, [shard(1)], token=mint(tenant="blue")).code == "trace-taken"
    assert write(client, trace_id, [shard(1)]).json["shards_written"] == 1


def test_a_document_of_an_unknown_version_is_left_alone(lane, client):
    trace_id = fresh()
    path = lane.inbox / f"{trace_id}.json"
    path.write_text('{"trace_id":"x","version":99,"future":true}')
    answer = write(client, trace_id, [shard(0)])
    assert answer.status >= 400
    assert path.read_text() == '{"trace_id":"x","version":99,"future":true}'
    assert not [n for n in lane.files() if n.startswith(f"{trace_id}.json.corrupt")]


def test_seed_and_shards_are_screened(lane, client, mint):
    trace_id = fresh()
    for seed, shards, rule in (
        ({"goal": "delete all"}, [shard(0)], "bulk-destruction"),
        ({}, [shard(0), shard(1, proposal={"summary": "wipe everything"})], "bulk-destruction"),
        ({}, [shard(0, **{"dump secrets": 1})], "exfiltration"),
        ({"ul_tags": ["x"] * 59 + ["ΛROOT"]}, [shard(0)], "deny-ul-tag"),
    ):
        answer = write(client, trace_id, shards, seed)
        assert (answer.status, answer.code, answer.json["rule"]) == (403, "policy-violation", rule)
    answer = write(client, trace_id, [shard(0)], {"goal": "rotate keys"})
    assert (answer.status, answer.code) == (401, "step-up-required")
    assert f"{trace_id}.json" not in lane.files()
    assert write(client, trace_id, [shard(0)], {"goal": "rotate keys"}, token=mint.stepped_up()).status == 200


def test_a_document_grows_to_4096_shards(lane, client):
    trace_id = fresh()
    for start in range(0, 4096, 1024):
        assert write(client, trace_id, [shard(i) for i in range(start, start + 1024)]).json["shards_written"] == 1024
    answer = write(client, trace_id, [shard(5000)])
    assert (answer.status, answer.code) == (413, "body-too-large")
    assert write(client, trace_id, [shard(7)]).json["shards_written"] == 0
    assert len(lane.document(trace_id)["shards"]) == 4096


def test_a_document_grows_to_8_mib(lane, client):
    trace_id = fresh()
    pad = "p" * 250_000
    written = 0
    for index in range(40):
        answer = write(client, trace_id, [shard(index, pad=pad)])
        if answer.status == 413:
            break
        written += 1
    assert answer.code == "body-too-large" and written == 33
    assert len(lane.document(trace_id)["shards"]) == written


def test_many_writers_of_one_trace_lose_nothing(lane, client):
    trace_id = fresh()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: write(client, trace_id, [shard(i)]), range(64)))
    assert [a.status for a in answers] == [200] * 64
    assert sum(a.json["shards_written"] for a in answers) == 64
    assert sorted(s["index"] for s in lane.document(trace_id)["shards"]) == list(range(64))


def test_two_daemons_share_one_directory_and_lose_nothing(new_lane, mint, tmp_path):
    shared = tmp_path / "shared"
    lanes_ = [new_lane(at=f"d{i}", DREAM_INBOX_DIR=shared) for i in range(2)]
    clients = [lane.client(mint()) for lane in lanes_]
    trace_ids = [fresh() for _ in range(4)]

    def work(i):
        return write(clients[i % 2], trace_ids[i % 4], [shard(i)])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(work, range(80)))
    assert [a.status for a in answers] == [200] * 80
    kept = [s["index"] for t in trace_ids for s in lanes_[0].document(t)["shards"]]
    assert sorted(kept) == list(range(80))
    assert lanes_[0].files() == sorted(f"{t}.json" for t in trace_ids)


def test_what_another_daemon_is_writing_is_not_purged(new_lane, mint, tmp_path):
    """One daemon writes without a pause while another starts and stops in the same directory."""
    import threading

    shared = tmp_path / "shared"
    writer = new_lane(at="writer", DREAM_INBOX_DIR=shared)
    client = writer.client(mint())
    ended, faults = threading.Event(), []

    def work():
        conn = client.connection()
        while not ended.is_set():
            answer = write(client, fresh(), [shard(0)], conn=conn)
            if answer.status != 200:
                faults.append(answer)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for i in range(5):
            other = new_lane(at=f"other{i}", DREAM_INBOX_DIR=shared)
            other.stop()
    finally:
        ended.set()
        thread.join()
    assert not faults
