"""What an operator sees: probes, drain, metrics, the served document, routes, logs."""
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import contract as contracts
import lane as lanes
import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]


# ---- drain


def test_sigterm_and_sigint_end_with_0(new_lane):
    for number in (signal.SIGTERM, signal.SIGINT):
        lane = new_lane(at=str(number))
        lane.signal(number)
        assert lane.end() == 0


def test_an_idle_daemon_ends_at_once_also_with_idle_connections(new_lane, mint):
    lane = new_lane(SIM_DRAIN_MS=10000)
    client = lane.client(mint())
    conn = client.connection()
    client.get("/livez", conn=conn)
    idle = lane.raw()
    begun = time.monotonic()
    lane.signal(signal.SIGTERM)
    assert lane.end() == 0
    assert time.monotonic() - begun < 3 * lanes.PATIENCE
    conn.close()
    idle.close()


def test_what_was_accepted_is_answered_during_the_drain(new_lane, mint):
    lane = new_lane()
    client = lane.client(mint())
    client.collect(client.job())
    job_id = client.job()
    kept = client.connection()
    client.get("/livez", conn=kept)
    late_body = b'{"seed":{}}'
    upload = lane.raw()
    upload.send(
        wire.raw_request(
            "POST",
            "/schedule",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(late_body))),
                ("Authorization", "Bearer " + mint()),
            ],
            late_body[:4],
        )
    )
    with concurrent.futures.ThreadPoolExecutor(2) as pool, lane.inbox_held() as let_go:
        waiting = pool.submit(client.collect, job_id)
        lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        lane.signal(signal.SIGTERM)

        def readyz_fails():
            try:
                answer = client.get("/readyz", conn=kept)
            except (OSError, EOFError, wire.http.client.HTTPException):
                return "closed"
            return answer.status == 503 and answer.json["check"]

        seen = lanes.wait_until(readyz_fails, 5, "readyz fails during the drain")
        assert seen in ("closed", "draining")

        def refused():
            try:
                wire.connect(lane.address, 1).close()
            except OSError:
                return True
            return False

        lanes.wait_until(refused, 5, "no new connection")
        assert lane.process.poll() is None and not waiting.done()
        upload.send(late_body[4:])
        answer = upload.answer(check=True)
        assert answer.status == 202 or answer.code == "shutting-down"
        let_go()
        collected = waiting.result()
    assert collected.status == 200
    upload.close()
    kept.close()
    assert lane.end() == 0
    assert lane.document(collected.json["trace_id"])["shards"] == collected.json["shards"]


def test_a_new_request_on_an_old_connection_is_told_or_closed_during_the_drain(new_lane, mint):
    lane = new_lane()
    client = lane.client(mint())
    client.collect(client.job())
    job_id = client.job()
    kept = client.connection()
    client.get("/livez", conn=kept)
    with concurrent.futures.ThreadPoolExecutor(1) as pool, lane.inbox_held() as let_go:
        waiting = pool.submit(client.collect, job_id)
        lanes.wait_until(lambda: client.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        lane.signal(signal.SIGTERM)
        time.sleep(0.1)
        try:
            answer = client.post("/schedule", {"seed": {}}, conn=kept)
            assert answer.status == 202 or answer.code == "shutting-down"
            assert answer.header("Connection").lower() == "close", "it would keep coming"
        except (OSError, EOFError, wire.http.client.HTTPException):
            pass
        let_go()
        assert waiting.result().status == 200
    kept.close()
    assert lane.end() == 0


def test_the_drain_has_an_end(new_lane, mint):
    lane = new_lane(SIM_DRAIN_MS=300)
    client = lane.client(mint())
    client.collect(client.job())
    with lane.inbox_held():
        with lane.raw() as raw:
            body = b'{"job_id":"%s"}' % client.job().encode()
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
            time.sleep(0.1)
            begun = time.monotonic()
            lane.signal(signal.SIGTERM)
            lane.end(20)
            assert time.monotonic() - begun < 8 * lanes.PATIENCE
    lane.process = None


def test_a_second_signal_does_not_hang(new_lane):
    lane = new_lane()
    for _ in range(3):
        lane.signal(signal.SIGTERM)
    assert lane.end() == 0


# ---- metrics

SAMPLE = re.compile(
    r"^([a-zA-Z_:][a-zA-Z0-9_:]*)"
    r'(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)*)\})? (\S+)(?: [0-9.]+)?$'
)


def parse_metrics(text):
    """Samples by (name, labels); asserts that the text is well-formed."""
    assert text.endswith("\n")
    types, samples = {}, {}
    for line in text[:-1].split("\n"):
        if line == "# EOF":
            continue
        if line.startswith("#"):
            word, kind, name, rest = line.split(" ", 3)
            assert (word, kind in ("HELP", "TYPE", "UNIT")) == ("#", True), line
            if kind == "TYPE":
                assert name not in types, f"TYPE of {name} twice"
                assert rest in ("counter", "gauge", "histogram", "summary", "untyped", "info", "unknown"), line
                types[name] = rest
            continue
        match = SAMPLE.match(line)
        assert match, f"not a sample: {line!r}"
        name, labels, value = match[1], match[2] or "", float(match[3])
        family = next(
            (f for f in (name, re.sub(r"_(total|bucket|sum|count|info|created)$", "", name)) if f in types), None
        )
        assert family, f"{name} has no TYPE before it"
        assert (name, labels) not in samples, f"{name}{{{labels}}} twice"
        samples[name, labels] = value
        if types[family] == "counter":
            assert value >= 0
    buckets = {}
    for (name, labels), value in samples.items():
        if name.endswith("_bucket"):
            rest = re.sub(r'le="[^"]*",?', "", labels).rstrip(",")
            le = re.search(r'le="([^"]*)"', labels)[1]
            buckets.setdefault((name, rest), []).append((float(le), value))
    for found in buckets.values():
        found.sort()
        assert found[-1][0] == float("inf"), "no +Inf bucket"
        assert [v for _, v in found] == sorted(v for _, v in found), "buckets are cumulative"
    return samples


def test_metrics_are_well_formed_and_count(new_lane, mint):
    lane = new_lane()
    client = lane.client(mint())
    before = parse_metrics(client.get("/metrics").body.decode())
    for _ in range(3):
        client.collect(client.job())
    client.post("/schedule", {"seed": {"goal": "delete all"}})
    client.post("/schedule", {"seed": {"goal": "g"}}, token="nonsense")
    client.get("/nothing/with/a/strange%22name")
    answer = client.get("/metrics")
    after = parse_metrics(answer.body.decode())
    grown = {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}
    assert any("/schedule" in labels and delta == 3 and "202" in labels for (_, labels), delta in grown.items()), grown
    assert any("bulk-destruction" in labels for _, labels in grown), "denials are counted by rule"
    assert "strange" not in answer.body.decode()


def test_metrics_have_a_bounded_number_of_series(lane, client, mint):
    for i in range(30):
        client.get(f"/x{i}")
        client.schedule(token=mint(sub=f"subject{i}", tenant=f"tenant{i}"))
    text = client.get("/metrics").body.decode()
    parse_metrics(text)
    for word in ("subject7", "tenant7", "/x7"):
        assert word not in text


def test_metrics_are_on_the_admin_listener_only_when_there_is_one(new_lane, mint):
    lane = new_lane(SIM_ADMIN_LISTEN="127.0.0.1:0")
    client = lane.client(mint())
    assert client.get("/metrics").status == 404
    if lane.admin is None:
        pytest.skip("the ready line does not tell the admin listener")
    admin = lane.admin_view()
    parse_metrics(admin.get("/metrics").body.decode())
    assert client.head("/metrics").status == 404


def test_metrics_are_not_shown_to_the_world(new_lane):
    lane = new_lane(SIM_LISTEN="0.0.0.0:0")
    lane.address = ("127.0.0.1", lane.address[1])
    client = lane.client()
    assert client.get("/livez").status == 200
    assert client.get("/metrics").status == 404


# ---- probes


def test_probes_cost_no_token_and_say_pass(lane, client):
    for target in ("/livez", "/readyz"):
        answer = client.get(target, token=None)
        assert answer.status == 200 and answer.json == {"status": "pass"}


def test_a_bad_token_does_not_close_open_doors(client):
    for target in ("/health", "/livez", "/readyz", "/metrics", "/openapi.json"):
        assert client.get(target, token="nonsense").status == 200


# ---- the served document and the routes


def test_the_served_document_is_the_one_in_the_repository(lane, client):
    served = client.get("/openapi.json")
    version = client.get("/health").json["version"]
    assert served.json["info"]["version"] == version
    assert served.json == contracts.load(ROOT / "openapi" / "simlane.json", version)
    assert "@VERSION@" not in served.body.decode()


def test_the_routes_table_is_the_documents_paths(build, contract):
    done = subprocess.run(
        [str(build / "simlaned"), "--routes"], text=True, stdout=subprocess.PIPE, check=True, env=lanes.environment({})
    )
    routes = {tuple(line.split()[:2]) for line in done.stdout.strip().split("\n")}
    routes = {
        (method, re.sub(r"\{[^}]*\}|:[a-z_]+|\*$", "{job_id}", path)) for method, path in routes if method != "HEAD"
    }
    declared = {
        (method.upper(), path) for path, operations in contract.document["paths"].items() for method in operations
    }
    assert routes == declared


# ---- what is never in a log


def test_no_token_goal_or_secret_is_ever_logged(new_lane, mint):
    for form in ("json", "text"):
        lane = new_lane(at=form, SIM_LOG_FORMAT=form, SIM_LOG_LEVEL="debug")
        client = lane.client(mint())
        marks = {
            name: f"qx{name}mark"
            for name in ("goal", "tag", "flag", "value", "context", "member", "header", "key", "shard", "query")
        }
        seed = {
            "goal": marks["goal"],
            "ul_tags": [marks["tag"]],
            "constraints": {"flags": {marks["flag"]: marks["value"]}},
            "context": {"secret": marks["context"]},
            marks["member"]: 1,
        }
        client.collect(client.job(seed=seed, headers={"Idempotency-Key": marks["key"], "X-Secret": marks["header"]}))
        for goal in ("delete all ", "rotate keys ", "dump secrets "):
            client.post("/schedule", {"seed": {**seed, "goal": goal + marks["goal"]}})
        client.post("/schedule", {"seed": {**seed, "goal": 5}})
        client.post("/schedule", {"seed": {**seed, "ul_tags": 5}})
        client.request("POST", "/schedule", b'{"seed":{"goal":"' + marks["goal"].encode() + b'"')
        client.post("/schedule", {"seed": seed}, token=mint()[:-3] + "abc")
        client.post("/schedule", {"seed": seed}, token=mint(exp=time.time() - 5000))
        client.post("/schedule", {"seed": seed}, token=None, headers={"Authorization": "Basic " + marks["header"]})
        client.get("/jobs/JOB-0123456789ab?token=" + marks["query"])
        client.post("/inbox", {"seed": seed, "result": {"trace_id": "logs", "shards": [{"x": marks["shard"]}]}})
        lane.stop()
        log = lane.log(whole=True)
        for name, mark in marks.items():
            assert mark not in log, f"the {name} is in the log"


def test_nothing_from_outside_begins_a_new_line_or_member(new_lane, mint):
    for form in ("json", "text"):
        lane = new_lane(at=form, SIM_LOG_FORMAT=form)
        client = lane.client()
        nasty = 'a" level=error event=fake \\ é Ж {"x":1}'
        answer = client.schedule(token=mint(sub=nasty, iss=nasty))
        event = lane.request_logged(answer.header("X-Trace-Id"))
        assert event["subject"] == nasty and event["level"] == "info"
        with lane.raw() as raw:
            raw.send(b"GET /x\x1b[31m\xff HTTP/1.1\r\nHost: a\r\ntraceparent: \x1b[31mx\r\nConnection: close\r\n\r\n")
            while raw.more():
                pass
        lane.stop()
        for line in lane.log(whole=True).strip("\n").split("\n"):
            assert lanes.parse_line(line), f"not one event: {line!r}"
            assert "\x1b" not in line


def test_the_ready_line_and_the_end_are_logged(new_lane):
    lane = new_lane()
    assert lane.events("ready")
    lane.stop()
    assert lane.events()[-1]["level"] == "info"


def test_it_runs_without_a_standard_input_and_in_any_directory(build, tmp_path, contract, keyring_text):
    lane = lanes.make(build, tmp_path / "lane", contract, keyring_text, {"DREAM_INBOX_DIR": str(tmp_path / "abs")})
    lane.start(preexec=lambda: os.close(0))
    assert lane.client().get("/livez").status == 200
    lane.stop()


def test_many_jobs_come_and_go_without_a_trace(new_lane, mint):
    """After all jobs are over the depth is 0 and descriptors are as they were."""
    lane = new_lane()
    client = lane.client(mint())
    client.collect(client.job())
    descriptors = len(os.listdir(f"/proc/{lane.process.pid}/fd"))
    conn = client.connection()
    for turn in range(100):
        job = client.job(conn=conn)
        (client.cancel if turn % 3 else client.collect)(job, conn=conn)
    conn.close()
    assert client.depth() == 0
    lanes.wait_until(lambda: len(os.listdir(f"/proc/{lane.process.pid}/fd")) <= descriptors + 1, 5, "descriptors leak")
    assert json.loads(client.get("/health").body)["status"] == "pass"
