"""Limits of a body: bytes, depth, names, characters, numbers, tags."""
import json

import pytest

import wire

LIMIT = 262_144


def padded(total):
    head, tail = b'{"seed":{"context":{"pad":"', b'"}}}'
    return head + b"p" * (total - len(head) - len(tail)) + tail


def test_a_body_exactly_at_the_limit_is_read(client):
    body = padded(LIMIT)
    assert len(body) == LIMIT
    assert client.request("POST", "/schedule", body).status == 202


def test_a_body_one_byte_over_is_413(client):
    answer = client.request("POST", "/schedule", padded(LIMIT + 1))
    assert (answer.status, answer.code) == (413, "body-too-large")


@pytest.mark.parametrize(
    "method, target",
    [
        ("POST", "/schedule"),
        ("POST", "/collect"),
        ("POST", "/cancel"),
        ("POST", "/inbox"),
        ("GET", "/jobs/JOB-0123456789ab"),
        ("GET", "/health"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ],
)
def test_no_path_takes_a_body_over_the_limit(client, method, target):
    answer = client.request(method, target, b"x" * (LIMIT + 1), token=None)
    assert (answer.status, answer.code) == (413, "body-too-large")


def test_a_body_is_refused_by_its_declared_length_already(lane, mint):
    with lane.raw() as raw:
        raw.send(
            wire.raw_request(
                "POST",
                "/schedule",
                [
                    ("Authorization", "Bearer " + mint()),
                    ("Content-Type", "application/json"),
                    ("Content-Length", "99999999999"),
                ],
            )
        )
        answer = raw.answer()
        assert (answer.status, answer.code) == (413, "body-too-large")
        assert raw.closed()


@pytest.mark.parametrize(
    "length", ["18446744073709551616", "9" * 23, "-1", "+5", "0x10", "5 5", "5,5", "", "5;a", "1e3", "٣"]
)
def test_a_length_that_is_none_is_refused(lane, length):
    """By the library itself, in a text of its own; nothing behind it is served."""
    head = b"POST /schedule HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    with lane.raw() as raw:
        raw.send(head + length.encode() + b"\r\n\r\n" + wire.raw_request("GET", "/livez"))
        while raw.more():
            pass
        assert raw.rest.split(b" ")[1] in (b"400", b"413")
        assert b'"pass"' not in raw.rest and b" 200 " not in raw.rest


def chunked(data, size):
    out = b""
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        out += b"%x\r\n" % len(piece) + piece + b"\r\n"
    return out + b"0\r\n\r\n"


def send_chunked(lane, mint, body, size=60_000):
    with lane.raw() as raw:
        raw.send(
            wire.raw_request(
                "POST",
                "/schedule",
                [
                    ("Authorization", "Bearer " + mint()),
                    ("Content-Type", "application/json"),
                    ("Transfer-Encoding", "chunked"),
                ],
            )
            + chunked(body, size)
        )
        return raw.answer()


def test_a_chunked_body_has_the_same_limit(lane, mint):
    assert send_chunked(lane, mint, padded(LIMIT)).status == 202
    assert send_chunked(lane, mint, padded(LIMIT + 1)).code == "body-too-large"
    assert send_chunked(lane, mint, padded(LIMIT * 4)).code == "body-too-large"


def test_a_chunked_body_in_small_pieces_is_one_body(lane, mint):
    assert send_chunked(lane, mint, b'{"seed":{"goal":"in small pieces"}}', 1).status == 202


def test_the_limit_is_a_setting(new_lane, mint):
    client = new_lane(SIM_MAX_BODY_BYTES=1024).client(mint())
    assert client.request("POST", "/schedule", padded(1024)).status == 202
    assert client.request("POST", "/schedule", padded(1025)).code == "body-too-large"


def nested(levels, opening=b'{"a":', closing=b"}", middle=b"1"):
    """A body of that many levels in all: the body itself, seed and context are three."""
    return b'{"seed":{"context":{"a":' + opening * (levels - 3) + middle + closing * (levels - 3) + b"}}}"


def test_32_levels_are_read_and_33_are_not(client):
    assert client.request("POST", "/schedule", nested(32)).status == 202
    assert client.request("POST", "/schedule", nested(32, b"[", b"]")).status == 202
    for body in (nested(33), nested(33, b"[", b"]"), nested(100_000, b"[", b"]"), b"[" * 200_000, b'{"a":' * 40_000):
        answer = client.request("POST", "/schedule", body)
        assert (answer.status, answer.code) == (400, "invalid-json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"seed":{},"seed":{}}',
        b'{"seed":{"goal":"a","goal":"a"}}',
        b'{"seed":{"goal":"a","g\\u006fal":"b"}}',
        b'{"seed":{"context":{"x":{"y":1,"z":2,"y":1}}}}',
        b'{"seed":{"context":{"x":[{"k":1,"k":1}]}}}',
        '{"seed":{"context":{"é":1,"\\u00e9":2}}}'.encode(),
        b'{"seed":{"context":{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}}}',
        b'{"seed":{"context":{"":1,"":2}}}',
    ],
)
def test_duplicate_names_are_refused_however_they_are_spelt(client, body):
    answer = client.request("POST", "/schedule", body)
    assert (answer.status, answer.code) == (400, "invalid-json")


def test_a_thousand_names_and_one_twice(client):
    names = [f"n{i}" for i in range(1000)]
    body = '{"seed":{"context":{' + ",".join(f'"{n}":1' for n in names) + "}}}"
    assert client.request("POST", "/schedule", body).status == 202
    body = '{"seed":{"context":{' + ",".join(f'"{n}":1' for n in names + ["n17"]) + "}}}"
    assert client.request("POST", "/schedule", body).code == "invalid-json"


@pytest.mark.parametrize(
    "body",
    [b'{"seed":{"goal":"a\\u0000b"}}', b'{"seed":{"a\\u0000b":1}}', b'{"seed":{"goal":"a\x00b"}}', b'{"seed":{}}\x00'],
)
def test_nul_is_refused(client, body):
    assert client.request("POST", "/schedule", body).code == "invalid-json"


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\x80",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xfe",
        b"\xc3\x28",
    ],
)
def test_invalid_utf8_is_refused(client, text):
    for body in (b'{"seed":{"goal":"' + text + b'"}}', b'{"seed":{"' + text + b'":1}}', b'{"seed":{}}' + text):
        assert client.request("POST", "/schedule", body).code == "invalid-json"


@pytest.mark.parametrize(
    "text", [b"\\ud800", b"\\udfff", b"\\ud83dx", b"\\ud83d\\u0041", b"\\ude00\\ud83d", b"\\uD83D\\n"]
)
def test_a_lone_surrogate_is_refused(client, text):
    assert client.request("POST", "/schedule", b'{"seed":{"goal":"' + text + b'"}}').code == "invalid-json"


def test_a_pair_of_surrogates_is_a_character(client):
    job_id = client.request("POST", "/schedule", b'{"seed":{"goal":"\\ud83d\\ude00"}}').json["job_id"]
    assert client.get(f"/jobs/{job_id}").json["seed"]["goal"] == "😀"


def test_a_byte_order_mark_is_refused(client):
    assert client.request("POST", "/schedule", b'\xef\xbb\xbf{"seed":{}}').code == "invalid-json"
    assert client.request("POST", "/schedule", '{"seed":{}}'.encode("utf-16")).code == "invalid-json"


@pytest.mark.parametrize(
    "number",
    [b"9223372036854775808", b"-9223372036854775809", b"1e400", b"-1e400", b"1" * 400, b"1e99999999999999999999"],
)
def test_a_number_too_large_is_refused(client, number):
    assert client.request("POST", "/schedule", b'{"seed":{"context":{"n":' + number + b"}}}").code == "invalid-json"


@pytest.mark.parametrize(
    "number",
    [b"+1", b".5", b"1.", b"00", b"-", b"1e", b"1e+", b"0x1", b"Infinity", b"-Infinity", b"NaN", b"1_000", b"--1"],
)
def test_what_is_not_a_number_is_refused(client, number):
    assert client.request("POST", "/schedule", b'{"seed":{"context":{"n":' + number + b"}}}").code == "invalid-json"


def test_the_largest_numbers_come_back_as_they_went(client):
    context = {"a": 9223372036854775807, "b": -9223372036854775808, "c": 1.7976931348623157e308, "d": 5e-324, "e": 0.1}
    job_id = client.job(seed={"context": context})
    assert client.get(f"/jobs/{job_id}").json["seed"]["context"] == context


def test_256_tags_are_accepted_and_257_are_not(client):
    tags = [f"t{i}" for i in range(256)]
    collected = client.collect(client.job(seed={"ul_tags": tags}))
    assert collected.json["shards"][0]["proposal"]["ul_tags"] == tags
    answer = client.post("/schedule", {"seed": {"ul_tags": tags + ["t256"]}})
    assert (answer.status, answer.code) == (422, "invalid-seed")
    assert answer.json["pointer"] in ("/seed/ul_tags", "/seed/ul_tags/256")


def test_every_character_that_json_allows_comes_back(lane, client):
    goal = '\t\n\r\b\f"\\/\u007f\u0080\u2028\u2029\ufeff\ufffe\uffff\U0010ffff é €'
    job_id = client.job(goal)
    assert client.get(f"/jobs/{job_id}").json["seed"]["goal"] == goal
    collected = client.collect(job_id).json
    assert collected["shards"][0]["seed_meta"]["goal"] == goal
    assert lane.document(collected["trace_id"])["shards"] == collected["shards"]


def test_control_characters_by_escape_are_allowed(client):
    goal = "".join(chr(c) for c in range(1, 32))
    body = json.dumps({"seed": {"goal": goal}})
    job_id = client.request("POST", "/schedule", body).json["job_id"]
    assert client.get(f"/jobs/{job_id}").json["seed"]["goal"] == goal


def test_white_space_around_and_inside_is_fine(client):
    assert client.request("POST", "/schedule", b' \t\r\n{ \n"seed"\t:\r{ } }\n\n').status == 202


def test_a_get_with_a_body_is_answered_and_the_connection_stays_in_step(lane):
    with lane.raw() as raw:
        raw.send(wire.raw_request("GET", "/livez", [("Content-Length", "5")], b"hello"))
        assert raw.answer("GET", "/livez").status in (200, 400, 413)
        raw.send(wire.raw_request("GET", "/health"))
        try:
            answer = raw.answer("GET", "/health")
        except EOFError:
            return  # closed: nothing can be misread
        assert answer.status == 200


def test_flags_that_use_all_32_levels_are_collected(client):
    """What was accepted can be collected: the document is one level deeper than the body."""
    body = b'{"seed":{"goal":"deep","constraints":{"flags":{"a":' + b"[" * 28 + b"]" * 28 + b"}}}}"
    assert client.request("POST", "/schedule", body.replace(b"[]", b"[[]]")).code == "invalid-json", "33 levels"
    job = client.request("POST", "/schedule", body).json["job_id"]
    first = client.collect(job)
    assert first.status == 200, first
    assert client.collect(job).json == first.json
