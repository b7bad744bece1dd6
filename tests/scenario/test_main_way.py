"""The main way: schedule, read, collect, find the document, cancel."""
import re
import stat
import time

import tokens

PLAN = {"goal": "Plan a calm evening", "ul_tags": ["ΛPLAN", "ΛHOME"], "constraints": {"flags": {"tier": "demo"}}}


def test_a_seed_is_scheduled_collected_and_found_in_the_inbox(lane, client):
    before = client.depth()

    scheduled = client.schedule(seed=PLAN)
    job_id, trace_id = scheduled.json["job_id"], scheduled.json["trace_id"]
    assert scheduled.json == {"trace_id": trace_id, "job_id": job_id, "accepted": True}
    assert scheduled.header("Location") == f"/jobs/{job_id}"
    assert client.depth() == before + 1

    now = time.time() * 1000
    job = client.get(scheduled.header("Location"))
    assert job.status == 200 and job.json["status"] == "scheduled"
    assert abs(job.json["created_ms"] - now) < 60_000
    assert job.json["expires_ms"] - job.json["created_ms"] == 86_400_000

    collected = client.collect(job_id)
    assert collected.status == 200
    answer = collected.json
    assert (answer["trace_id"], answer["job_id"], answer["status"]) == (trace_id, job_id, "complete")
    assert answer["inbox"]["file"] == f"{trace_id}.json" and answer["inbox"]["shards_written"] == 1
    (shard,) = answer["shards"]
    assert shard["trace_id"] == trace_id and shard["index"] == 0
    assert shard["proposal"] == {
        "summary": "Simulated plan for goal: Plan a calm evening",
        "ul_tags": ["ΛPLAN", "ΛHOME"],
    }
    assert shard["risks"] == [] and shard["scores"] == {"coherence": 0.92, "safety": 0.99}
    assert shard["seed_meta"] == {"goal": "Plan a calm evening", "flags": {"tier": "demo"}}

    document = lane.document(trace_id)
    assert document == {
        "trace_id": trace_id,
        "tenant": "default",
        "saved_ts": document["saved_ts"],
        "seed": {
            "goal": "Plan a calm evening",
            "ul_tags": ["ΛPLAN", "ΛHOME"],
            "constraints": {"flags": {"tier": "demo"}},
        },
        "shards": [shard],
        "version": 1,
        "schema_ref": "lukhas://schemas/matada_node_v1.json",
    }
    assert abs(document["saved_ts"] - time.time() * 1000) < 60_000
    assert (lane.inbox / f"{trace_id}.json").stat().st_size == answer["inbox"]["bytes"]

    assert client.depth() == before
    assert client.get(f"/jobs/{job_id}").json["status"] == "complete"


def test_a_second_collect_returns_the_same_and_writes_nothing(lane, client):
    job_id = client.job()
    first = client.collect(job_id)
    file = lane.inbox / first.json["inbox"]["file"]
    before = (file.stat().st_ino, file.stat().st_mtime_ns, file.read_bytes())
    second = client.collect(job_id)
    assert second.status == 200 and second.json == first.json
    assert (file.stat().st_ino, file.stat().st_mtime_ns, file.read_bytes()) == before


def test_an_empty_seed_will_do(client):
    for seed in (
        {},
        {"goal": None, "ul_tags": None, "constraints": None, "context": None},
        {"constraints": {"flags": None, "consent": None, "budgets": None}},
    ):
        collected = client.collect(client.job(seed=seed))
        (shard,) = collected.json["shards"]
        assert shard["proposal"] == {"summary": "Simulated plan for goal: (no goal)", "ul_tags": ["ΛSIM"]}


def test_a_long_goal_is_stored_as_600_characters_and_an_ellipsis(lane, client):
    goal = "ö" * 599 + "x" + "tail" * 50
    collected = client.collect(client.job(goal)).json
    (shard,) = collected["shards"]
    kept = "ö" * 599 + "x…"
    assert shard["proposal"]["summary"] == "Simulated plan for goal: " + kept
    assert shard["scores"]["coherence"] == round(0.92 * 600 / 800, 4)
    assert lane.document(collected["trace_id"])["seed"]["goal"] == kept

    whole = "y" * 600
    (shard,) = client.collect(client.job(whole)).json["shards"]
    assert shard["proposal"]["summary"] == "Simulated plan for goal: " + whole and shard["scores"]["coherence"] == 0.92


def test_unknown_members_of_a_seed_are_kept(client):
    seed = {"goal": "g", "mood": {"a": [1, 2.5, None, True, "x"]}, "constraints": {"flags": {"n": 0}, "own": "o"}}
    job_id = client.job(seed=seed)
    assert client.get(f"/jobs/{job_id}").json["seed"] == seed


def test_the_inbox_keeps_the_snapshot_and_no_more(lane, client):
    seed = {
        "goal": "g",
        "ul_tags": [f"t{i}" for i in range(30)],
        "context": {"private": "c"},
        "mood": "m",
        "constraints": {"flags": {"f": 1}, "consent": {"scopes": ["a"]}, "budgets": {"tokens": 5}},
    }
    trace_id = client.collect(client.job(seed=seed)).json["trace_id"]
    assert lane.document(trace_id)["seed"] == {
        "goal": "g",
        "ul_tags": [f"t{i}" for i in range(20)],
        "constraints": {"flags": {"f": 1}},
    }


def test_files_are_0640_and_the_directory_0750(lane, client):
    trace_id = client.collect(client.job()).json["trace_id"]
    assert stat.S_IMODE((lane.inbox / f"{trace_id}.json").stat().st_mode) == 0o640
    assert stat.S_IMODE(lane.inbox.stat().st_mode) == 0o750


def test_a_cancelled_job_is_never_collected(lane, client):
    scheduled = client.schedule()
    job_id = scheduled.json["job_id"]
    depth = client.depth()
    cancelled = client.cancel(job_id)
    assert cancelled.status == 200
    assert cancelled.json == {"trace_id": scheduled.json["trace_id"], "job_id": job_id, "status": "cancelled"}
    assert client.depth() == depth - 1

    again = client.cancel(job_id)
    assert again.status == 200 and again.json["status"] == "cancelled"
    collected = client.collect(job_id)
    assert (collected.status, collected.code) == (409, "job-cancelled")
    assert client.get(f"/jobs/{job_id}").json["status"] == "cancelled"
    assert f"{scheduled.json['trace_id']}.json" not in lane.files()


def test_cancelling_a_complete_job_changes_nothing(lane, client):
    job_id = client.job()
    first = client.collect(job_id)
    cancelled = client.cancel(job_id)
    assert cancelled.status == 200 and cancelled.json["status"] == "complete"
    assert client.collect(job_id).json == first.json


def test_ids_are_of_their_form_and_differ(client):
    seen = [client.schedule().json for _ in range(50)]
    assert len({s["job_id"] for s in seen}) == len({s["trace_id"] for s in seen}) == 50
    for s in seen:
        assert re.fullmatch(r"JOB-[0-9a-f]{12}", s["job_id"])
        ms = int(re.fullmatch(r"LT-([0-9]+)-[0-9a-f]{8}", s["trace_id"])[1])
        assert abs(ms - time.time() * 1000) < 60_000


def test_advisory_rules_cost_safety_and_name_their_risks(client, default_policy):
    """Each advice of the built-in policy that matches becomes a risk, and its weight is taken off."""
    advice = {r["id"]: r for r in default_policy["rules"] if r["effect"] == "advise"}
    assert len(advice) >= 3
    cases = [
        ("Permanently archive the medical records", {"irreversible-change", "personal-data"}),
        ("Bypass the safety checks and print the API keys", {"safeguard-bypass", "credential-handling"}),
        ("Permanently bypass the audit of medical records and passwords", set(advice)),
        ("Plan a calm evening", set()),
    ]
    for goal, expected in cases:
        (shard,) = client.collect(client.job(goal)).json["shards"]
        assert {risk["rule"] for risk in shard["risks"]} == expected
        for risk in shard["risks"]:
            rule = advice[risk["rule"]]
            assert risk == {"rule": rule["id"], **{n: rule[n] for n in ("title", "weight", "mitigation")}}
        cost = sum(advice[rule]["weight"] for rule in expected)
        assert shard["scores"]["safety"] == max(0, round(0.99 - cost, 4))


def test_the_seed_is_shown_only_with_the_collect_scope(lane, mint):
    owner = lane.client(mint())
    seed = {"goal": "a very private goal"}
    job_id = owner.job(seed=seed)
    assert owner.get(f"/jobs/{job_id}").json["seed"] == seed
    assert lane.client(mint("collect")).get(f"/jobs/{job_id}").json["seed"] == seed
    blind = lane.client(mint("schedule")).get(f"/jobs/{job_id}")
    assert blind.status == 200 and b"private" not in blind.body and "seed" not in blind.json
    closed = lane.client(mint("inbox")).get(f"/jobs/{job_id}")
    assert (closed.status, closed.code) == (403, "insufficient-scope")


def test_health_says_what_it_must(lane, client):
    health = client.get("/health", token=None)
    assert health.status == 200
    assert health.json["component"] == "consciousness.simulation"
    assert health.json["enabled"] is True and health.json["status"] == "pass" and health.json["store"] == "memory"
    assert abs(health.json["time"] - time.time() * 1000) < 60_000


def test_a_disabled_lane_stops_schedule_only(new_lane, mint):
    for word in ("off", "FALSE", "No", "0"):
        lane = new_lane(at=word, SIMULATION_ENABLED=word)
        client = lane.client(mint())
        refused = client.post("/schedule", {"seed": {"goal": "g"}})
        assert (refused.status, refused.code, refused.json["rule"]) == (403, "policy-violation", "lane-disabled")
        assert client.get("/health").json["enabled"] is False
        assert client.get("/readyz").status == 200
        assert client.collect("JOB-000000000000").status == 404
        assert client.cancel("JOB-000000000000").status == 404
        written = client.post("/inbox", {"seed": {}, "result": {"trace_id": "t", "shards": [{"index": 0}]}})
        assert written.status == 200


def test_a_disabled_lane_is_told_before_the_json_is_read_and_after_the_scope(new_lane, mint):
    client = new_lane(SIMULATION_ENABLED="false").client(mint())
    broken = client.post("/schedule", body="{")
    assert (broken.status, broken.json["rule"]) == (403, "lane-disabled")
    assert client.post("/schedule", body="{", token=mint("collect")).code == "insufficient-scope"


def test_queue_depth_is_exact(new_lane, mint):
    client = new_lane().client(mint())
    jobs = [client.job() for _ in range(7)]
    client.job(token=mint(tenant="other"))
    assert client.depth() == 8
    assert client.collect(jobs[0]).status == 200
    assert client.depth() == 7
    assert client.collect(jobs[0]).status == 200 and client.depth() == 7
    assert client.cancel(jobs[1]).json["status"] == "cancelled"
    assert client.depth() == 6
    assert client.cancel(jobs[1]).status == 200 and client.depth() == 6
    client.job(ttl_ms=1000)
    assert client.depth() == 7
    time.sleep(1.05)
    assert client.depth() == 6, "a job past its time still counts"


def test_a_traceparent_is_kept_in_the_log(lane, client):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = client.schedule(headers={"traceparent": parent})
    event = lane.request_logged(answer.header("X-Trace-Id"))
    assert parent in event.values() or "0af7651916cd43dd8448eb211c80319c" in str(event)


def test_a_malformed_traceparent_harms_nobody(lane, client):
    for parent in ("", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "a b=c\tlevel=error", "x" * 3000):
        answer = client.schedule(headers={"traceparent": parent})
        event = lane.request_logged(answer.header("X-Trace-Id"))
        assert event["level"] == "info"


def test_the_request_is_logged_with_its_members(lane, client, mint):
    answer = client.schedule(token=mint(sub="someone", tenant="blue"))
    event = lane.request_logged(answer.header("X-Trace-Id"))
    assert (event["subject"], event["tenant"], event["route"], event["method"], int(event["status"])) == (
        "someone",
        "blue",
        "/schedule",
        "POST",
        202,
    )
    assert int(event["duration_us"]) > 0
    assert tokens.SCOPES["schedule"] not in str(event)
