"""Every row of the error table, and the order in which things are checked."""
import json

import pytest

import tokens
import wire

POSTS = ("/schedule", "/collect", "/cancel", "/inbox")
GETS = ("/health", "/livez", "/readyz", "/metrics", "/openapi.json")
GOOD = {
    "/schedule": {"seed": {"goal": "g"}},
    "/collect": {"job_id": "JOB-000000000000"},
    "/cancel": {"job_id": "JOB-000000000000"},
    "/inbox": {"seed": {}, "result": {"trace_id": "errors", "shards": [{"index": 0}]}},
}


# ---- 404, 405


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/nothing",
        "/schedule/",
        "/Schedule",
        "//schedule",
        "/jobs",
        "/jobs/",
        "/jobs/JOB-0123456789ab/x",
        "/openapi",
        "/health/",
        "/.",
        "/..",
        "/%2e%2e/etc/passwd",
        "/schedule%00",
        "/lease",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_404_without_a_token(client, method, target):
    answer = client.request(method, target, token=None)
    assert (answer.status, answer.code) == (404, "not-found")


@pytest.mark.parametrize("target", POSTS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_on_a_post_path_is_405(client, method, target):
    answer = client.request(method, target, token=None)
    assert answer.status == 405 and answer.header("Allow") == "POST"


@pytest.mark.parametrize("target", GETS + ("/jobs/JOB-0123456789ab",))
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_on_a_get_path_is_405(client, method, target):
    answer = client.request(method, target, token=None)
    assert answer.status == 405 and answer.header("Allow").replace(" ", "") == "GET,HEAD"


def test_an_unknown_method_is_405_or_400(lane):
    for method in ("BREW", "TRACE", "CONNECT", "get"):
        with lane.raw() as raw:
            raw.send(wire.raw_request(method, "/health", [("Connection", "close")]))
            answer = raw.answer(method, "/health")
            assert answer.status == 405


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        "x",
        "JOB-",
        "JOB-0123456789a",
        "JOB-0123456789abc",
        "JOB-0123456789AB",
        "job-0123456789ab",
        "JOB-0123456789ag",
        "JOB-0123456789ab\n",
        " JOB-0123456789ab",
        "../../etc/passwd",
        "JOB-0123456789ab",
    ],
)
def test_a_job_that_is_not_there_is_404(client, job_id):
    for answer in (client.collect(job_id), client.cancel(job_id)):
        assert (answer.status, answer.code) == (404, "not-found")


@pytest.mark.parametrize(
    "job_id", ["x", "JOB-0123456789abc", "JOB-0123456789AB", "JOB-%30123456789ab?", "JOB-0123456789ab"]
)
def test_reading_a_job_that_is_not_there_is_404(client, job_id):
    answer = client.get(f"/jobs/{job_id}")
    assert (answer.status, answer.code) == (404, "not-found")


# ---- 401, 403


@pytest.mark.parametrize("target", POSTS)
def test_no_token_is_a_bare_challenge(client, target):
    answer = client.post(target, GOOD[target], token=None)
    assert (answer.status, answer.code) == (401, "missing-token")
    assert answer.header("WWW-Authenticate") == 'Bearer realm="simlane"'


def test_reading_a_job_needs_a_token(client):
    for job_id in (client.job(), "JOB-0123456789ab", "x"):
        answer = client.get(f"/jobs/{job_id}", token=None)
        assert (answer.status, answer.code) == (401, "missing-token")


@pytest.mark.parametrize(
    "target, missing, scopes",
    [
        ("/schedule", ["schedule"], ["collect", "inbox"]),
        ("/collect", ["collect"], ["schedule", "inbox"]),
        ("/collect", ["inbox"], ["schedule", "collect"]),
        ("/collect", ["collect", "inbox"], ["schedule"]),
        ("/cancel", ["schedule"], ["collect", "inbox"]),
        ("/inbox", ["inbox"], ["schedule", "collect"]),
        ("/schedule", ["schedule"], ["nothing.we.know"]),
    ],
)
def test_a_missing_scope_is_named(client, mint, target, missing, scopes):
    answer = client.post(target, GOOD[target], token=mint(*scopes))
    names = [tokens.SCOPES[m] for m in missing]
    assert (answer.status, answer.code) == (403, "insufficient-scope")
    assert sorted(answer.json["missing_scopes"]) == sorted(names)
    challenge = answer.header("WWW-Authenticate")
    assert challenge.startswith('Bearer realm="simlane", error="insufficient_scope", scope="')
    scope = challenge.split('scope="')[1].split('"')[0]
    assert set(names) <= set(scope.split(" "))


# ---- 400 and 422


@pytest.mark.parametrize("target", POSTS)
@pytest.mark.parametrize(
    "body, line",
    [
        (b"", 1),
        (b"{", 1),
        (b"{}x", 1),
        (b'{"a":1,}', 1),
        (b"{'a':1}", 1),
        (b'{"seed":\n{]', 2),
        (b"nul", 1),
        (b'"text"', 1),
        (b"12", 1),
        (b"null", 1),
        (b"true", 1),
        (b"\xff", 1),
        (b'{"a":NaN}', 1),
        (b'{"a":1e999}', 1),
        (b'{"a":01}', 1),
        (b'{"a":"\x01"}', 1),
        (b'{"a":1,"a":1}', 1),
        (b'{"a":"\\u0000"}', 1),
    ],
)
def test_what_is_not_json_is_400_with_line_and_column(client, target, body, line):
    answer = client.request("POST", target, body)
    assert (answer.status, answer.code) == (400, "invalid-json")
    assert answer.json["line"] == line


def test_line_and_column_point_at_the_fault(client):
    answer = client.request("POST", "/schedule", b'{\n "seed": {\n  "goal": oops\n }\n}')
    assert (answer.json["line"], answer.json["column"]) == (3, 11)


@pytest.mark.parametrize("target", POSTS)
def test_an_array_is_not_a_request(client, target):
    answer = client.request("POST", target, b"[]")
    assert (answer.status, answer.code, answer.json["pointer"]) == (422, "invalid-request", "")


@pytest.mark.parametrize(
    "target, body, pointer",
    [
        ("/schedule", {}, "/seed"),
        ("/schedule", {"seed": {}, "sead": {}}, "/sead"),
        ("/schedule", {"seed": {}, "a/b~c": 1}, "/a~1b~0c"),
        ("/schedule", {"seed": {}, "ttl_ms": "1000"}, "/ttl_ms"),
        ("/schedule", {"seed": {}, "ttl_ms": 1000.5}, "/ttl_ms"),
        ("/schedule", {"seed": {}, "ttl_ms": 999}, "/ttl_ms"),
        ("/schedule", {"seed": {}, "ttl_ms": 0}, "/ttl_ms"),
        ("/schedule", {"seed": {}, "ttl_ms": -1}, "/ttl_ms"),
        ("/schedule", {"seed": {}, "ttl_ms": True}, "/ttl_ms"),
        ("/schedule", {"seed": {}, "ttl_ms": 86400001}, "/ttl_ms"),
        ("/collect", {}, "/job_id"),
        ("/collect", {"job_id": 5}, "/job_id"),
        ("/collect", {"job_id": None}, "/job_id"),
        ("/collect", {"job_id": ["JOB-000000000000"]}, "/job_id"),
        ("/collect", {"job_id": "JOB-000000000000", "wait": 5}, "/wait"),
        ("/cancel", {}, "/job_id"),
        ("/cancel", {"job_id": {}}, "/job_id"),
        ("/cancel", {"job_id": "JOB-000000000000", "force": True}, "/force"),
        ("/inbox", {"result": {"trace_id": "t", "shards": [{}]}}, "/seed"),
        ("/inbox", {"seed": {}}, "/result"),
        ("/inbox", {"seed": {}, "result": {"shards": [{}]}}, "/result/trace_id"),
        ("/inbox", {"seed": {}, "result": {"trace_id": 7, "shards": [{}]}}, "/result/trace_id"),
        ("/inbox", {"seed": {}, "result": {"trace_id": "t"}}, "/result/shards"),
        ("/inbox", {"seed": {}, "result": {"trace_id": "t", "shards": []}}, "/result/shards"),
        ("/inbox", {"seed": {}, "result": {"trace_id": "t", "shards": {}}}, "/result/shards"),
        ("/inbox", {"seed": {}, "result": {"trace_id": "t", "shards": [{}, 1]}}, "/result/shards/1"),
        (
            "/inbox",
            {"seed": {}, "result": {"trace_id": "t", "shards": [{}], "matada_nodes": []}},
            "/result/matada_nodes",
        ),
        ("/inbox", {"seed": {}, "result": {"trace_id": "t", "shards": [{}], "x": 1}}, "/result/x"),
        ("/inbox", {"seed": {}, "result": {"trace_id": "t", "shards": [{}]}, "x": 1}, "/x"),
    ],
)
def test_a_wrong_request_is_422_with_a_pointer(client, target, body, pointer):
    answer = client.post(target, body)
    assert (answer.status, answer.code, answer.json["pointer"]) == (422, "invalid-request", pointer)


WRONG_SEEDS = [
    ([], ""),
    ("text", ""),
    (5, ""),
    (True, ""),
    ({"goal": 5}, "/goal"),
    ({"goal": []}, "/goal"),
    ({"goal": {}}, "/goal"),
    ({"goal": False}, "/goal"),
    ({"ul_tags": "x"}, "/ul_tags"),
    ({"ul_tags": {}}, "/ul_tags"),
    ({"ul_tags": ["a", 2]}, "/ul_tags/1"),
    ({"ul_tags": [None]}, "/ul_tags/0"),
    ({"constraints": []}, "/constraints"),
    ({"constraints": "x"}, "/constraints"),
    ({"constraints": {"flags": []}}, "/constraints/flags"),
    ({"constraints": {"flags": 1}}, "/constraints/flags"),
    ({"constraints": {"consent": "x"}}, "/constraints/consent"),
    ({"constraints": {"consent": {"scopes": "x"}}}, "/constraints/consent/scopes"),
    ({"constraints": {"consent": {"scopes": [1]}}}, "/constraints/consent/scopes/0"),
    ({"constraints": {"budgets": 5}}, "/constraints/budgets"),
    ({"context": "x"}, "/context"),
    ({"context": [1]}, "/context"),
]


@pytest.mark.parametrize("seed, pointer", WRONG_SEEDS)
def test_a_wrong_seed_is_422_with_a_pointer(client, seed, pointer):
    answer = client.post("/schedule", {"seed": seed})
    assert (answer.status, answer.code, answer.json["pointer"]) == (422, "invalid-seed", "/seed" + pointer)
    answer = client.post("/inbox", {"seed": seed, "result": {"trace_id": "wrong-seed", "shards": [{}]}})
    assert (answer.status, answer.code, answer.json["pointer"]) == (422, "invalid-seed", "/seed" + pointer)


# ---- 415, 413


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/problem+json",
        "json",
        "",
        "application/json/x",
        "text/json",
    ],
)
def test_another_media_type_is_415(client, content_type):
    for target in POSTS:
        answer = client.request("POST", target, json.dumps(GOOD[target]), content_type=content_type)
        assert (answer.status, answer.code) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json ; charset="utf-8"',
    ],
)
def test_json_in_utf8_is_accepted_however_it_is_spelt(client, content_type):
    answer = client.request("POST", "/schedule", b'{"seed":{}}', content_type=content_type)
    assert answer.status == 202


def test_a_content_encoding_is_415(client):
    answer = client.post("/schedule", GOOD["/schedule"], headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (415, "unsupported-media-type")


# ---- the order of checks


def test_a_wrong_path_is_told_before_a_missing_token(client):
    assert client.post("/nothing", GOOD["/schedule"], token=None).status == 404


def test_a_wrong_method_is_told_before_size_and_token(client):
    answer = client.request("PUT", "/schedule", b"x" * 300_000, token=None)
    assert answer.status == 405


def test_a_large_body_is_told_before_a_missing_token(client):
    answer = client.request("POST", "/schedule", b"x" * 262_145, token=None)
    assert (answer.status, answer.code) == (413, "body-too-large")


def test_a_wrong_type_is_told_before_a_missing_token(client):
    assert client.request("POST", "/schedule", b"{", token=None, content_type="text/plain").status == 415


def test_a_missing_token_is_told_before_broken_json(client):
    for target in POSTS:
        assert client.request("POST", target, b"{", token=None).code == "missing-token"
        assert client.request("POST", target, b"{", token="nonsense").code == "invalid-token"


def test_a_missing_scope_is_told_before_broken_json(client, mint):
    assert client.request("POST", "/schedule", b"{", token=mint("collect")).code == "insufficient-scope"


def test_broken_json_is_told_before_a_forbidden_goal(client):
    assert client.request("POST", "/schedule", b'{"seed":{"goal":"delete all"},').code == "invalid-json"


def test_a_wrong_shape_is_told_before_a_forbidden_goal(client):
    answer = client.post("/schedule", {"seed": {"goal": "delete all", "ul_tags": 5}})
    assert answer.code == "invalid-seed"
    answer = client.post("/schedule", {"seed": {"goal": "delete all"}, "ttl_ms": 1})
    assert answer.code == "invalid-request"


def test_the_policy_is_asked_before_the_store(new_lane, mint):
    client = new_lane(SIM_JOB_STORE="failing", SIMLANE_TEST=1).client(mint())
    assert client.post("/schedule", {"seed": {"goal": "delete everything"}}).code == "policy-violation"


# ---- 503


def test_a_failing_store_is_503_on_every_operation_on_jobs(new_lane, mint):
    lane = new_lane(SIM_JOB_STORE="failing", SIMLANE_TEST=1)
    client = lane.client(mint())
    for answer in (
        client.post("/schedule", GOOD["/schedule"]),
        client.collect("JOB-000000000000"),
        client.cancel("JOB-000000000000"),
        client.get("/jobs/JOB-000000000000"),
    ):
        assert (answer.status, answer.code) == (503, "store-unavailable")
        assert answer.header("Retry-After")
    assert client.get("/readyz").json["check"] == "store"
    assert client.get("/health").status == 503
    assert client.get("/livez").status == 200


def test_a_full_store_is_503_and_says_when_to_come_back(new_lane, mint):
    client = new_lane(SIM_MAX_JOBS=3).client(mint())
    jobs = [client.job() for _ in range(3)]
    for _ in range(3):
        answer = client.post("/schedule", GOOD["/schedule"])
        assert (answer.status, answer.code) == (503, "store-full")
        assert int(answer.header("Retry-After")) >= 1
    assert [client.get(f"/jobs/{job}").json["status"] for job in jobs] == ["scheduled"] * 3, "something was evicted"
    assert client.collect(jobs[0]).status == 200
    jobs.append(client.job())
    assert client.post("/schedule", GOOD["/schedule"]).code == "store-full"
    assert client.cancel(jobs[1]).status == 200
    client.job(ttl_ms=1000)
    assert client.post("/schedule", GOOD["/schedule"]).code == "store-full"


def test_a_store_over_its_memory_is_full_and_loses_nothing(new_lane, mint):
    client = new_lane(SIM_MEMORY_MAX_BYTES=1_048_576).client(mint())
    jobs = []
    for _ in range(40):
        answer = client.post("/schedule", {"seed": {"context": {"pad": "p" * 100_000}}})
        if answer.status != 202:
            assert (answer.status, answer.code) == (503, "store-full")
            break
        jobs.append(answer.json["job_id"])
    else:
        raise AssertionError("40 jobs of 100 kB fitted into 1 MiB")
    assert 1 <= len(jobs) <= 10
    for job in jobs:
        assert client.get(f"/jobs/{job}").json["status"] == "scheduled"


# ---- what every answer has


@pytest.mark.parametrize("target", GETS)
def test_every_answer_has_a_trace_of_its_own(client, target):
    traces = {client.get(target, token=None).header("X-Trace-Id") for _ in range(3)}
    assert len(traces) == 3


def test_a_denial_can_be_found_in_the_log_by_its_trace(lane, client, mint):
    cases = [
        (client.post("/schedule", GOOD["/schedule"], token=None), "missing-token", None),
        (client.post("/schedule", GOOD["/schedule"], token="bad"), "invalid-token", None),
        (client.post("/schedule", GOOD["/schedule"], token=mint("inbox")), "insufficient-scope", None),
        (client.post("/schedule", {"seed": {"goal": "wipe everything"}}), "policy-violation", "bulk-destruction"),
        (client.request("POST", "/schedule", b"{"), "invalid-json", None),
        (client.get("/nothing"), "not-found", None),
        (client.request("PUT", "/schedule"), "method-not-allowed", None),
    ]
    for answer, code, rule in cases:
        event = lane.request_logged(answer.header("X-Trace-Id"))
        assert event["code"] == code and int(event["status"]) == answer.status and event.get("rule") == rule


# ---- 431


@pytest.mark.parametrize("headers", [{"X-Long": "x" * 8200}, {f"X-{i}": "y" for i in range(80)}], ids=["long", "many"])
def test_a_head_that_leaves_no_room_for_an_answer_is_431(client, headers):
    """Better than a job that is made and never answered for."""
    before = client.depth()
    answer = client.post("/schedule", GOOD["/schedule"], headers=headers)
    assert (answer.status, answer.code) == (431, "headers-too-large")
    assert client.depth() == before
