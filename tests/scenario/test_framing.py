"""The framing guard, over raw sockets: 400, a closed connection, never two answers.

A hidden second request asks for /livez or schedules; whenever one of these is
answered, somebody has smuggled.
"""
import pytest

import lane as lanes
import wire

HIDDEN = b"GET /livez HTTP/1.1\r\nHost: simlane\r\n\r\n"
BODY = b'{"seed":{}}'
LENGTH = ("Content-Length", str(len(BODY)))
JSON = ("Content-Type", "application/json")


def refused(lane, data, method="POST", target="/schedule", own=True):
    """Sends the bytes; expects one 400 and the end. own: the daemon's answer, not the library's."""
    with lane.raw() as raw:
        raw.send(data)
        answer = raw.answer(method, target, check=own)
        assert answer.status == 400, answer
        if own:
            assert answer.code == "bad-request"
            assert (answer.header("Connection") or "").lower() == "close"
        assert raw.closed(), f"more than one answer: {raw.rest!r}"
    with lane.raw() as raw:
        raw.send(wire.raw_request("GET", "/livez"))
        assert raw.answer("GET", "/livez").status == 200
    return answer


def post(*headers, body=BODY, **kw):
    return wire.raw_request("POST", "/schedule", [JSON, *headers], body, **kw)


# ---- two lengths, two encodings, both at once


@pytest.mark.parametrize("lengths", [("0", "60"), ("60", "0"), ("11", "11"), ("11", "12"), ("11", "011"), ("0", "0")])
def test_more_than_one_content_length(lane, lengths):
    refused(lane, post(*[("Content-Length", n) for n in lengths]) + HIDDEN)


def test_two_lengths_that_hide_a_request(lane, mint):
    """The first says 0, the second covers a whole request that schedules."""
    inner = wire.raw_request("POST", "/schedule", [JSON, LENGTH, ("Authorization", "Bearer " + mint())], BODY)
    refused(
        lane,
        wire.raw_request(
            "POST", "/schedule", [JSON, ("Content-Length", "0"), ("Content-Length", str(len(inner)))], inner
        ),
    )
    refused(
        lane,
        wire.raw_request(
            "POST", "/schedule", [JSON, ("Content-Length", str(len(inner))), ("Content-Length", "0")], inner
        ),
    )
    refused(
        lane,
        wire.raw_request("GET", "/health", [("Content-Length", "0"), ("content-length", str(len(inner)))], inner),
        "GET",
        "/health",
    )


def test_transfer_encoding_with_content_length(lane):
    chunks = b"0\r\n\r\n"
    refused(lane, post(("Transfer-Encoding", "chunked"), ("Content-Length", "5"), body=chunks) + HIDDEN)
    refused(lane, post(("Content-Length", "5"), ("Transfer-Encoding", "chunked"), body=chunks) + HIDDEN)
    refused(lane, post(("Content-Length", "48"), ("Transfer-Encoding", "chunked"), body=chunks) + HIDDEN)
    refused(lane, post(("transfer-encoding", "CHUNKED"), ("CONTENT-LENGTH", "5"), body=chunks) + HIDDEN)


@pytest.mark.parametrize(
    "coding",
    [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "deflate",
        "xchunked",
        "chunked;q=1",
        "chunkedd",
        '"chunked"',
        "",
        ",chunked",
        "chunked,",
        "\x0bchunked",
    ],
)
def test_a_transfer_encoding_that_is_not_chunked(lane, coding):
    refused(lane, post(("Transfer-Encoding", coding), body=b"0\r\n\r\n") + HIDDEN)


def test_two_transfer_encodings(lane):
    refused(lane, post(("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked"), body=b"0\r\n\r\n") + HIDDEN)
    refused(lane, post(("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity"), body=b"0\r\n\r\n") + HIDDEN)
    refused(lane, post(("Transfer-Encoding", "gzip"), ("Transfer-Encoding", "chunked"), body=b"0\r\n\r\n") + HIDDEN)


# ---- Host


def test_no_host_in_http_1_1(lane):
    for method, target in (("GET", "/health"), ("POST", "/schedule"), ("GET", "/nothing")):
        refused(lane, wire.raw_request(method, target, host=None) + HIDDEN, method, target)


def test_two_hosts(lane):
    refused(lane, post(LENGTH, ("Host", "simlane")) + HIDDEN)
    refused(lane, post(LENGTH, ("host", "elsewhere")) + HIDDEN)
    refused(lane, wire.raw_request("GET", "/livez", [("Host", "b")], version="HTTP/1.0"), "GET", "/livez")


def test_http_1_0_needs_no_host(lane):
    with lane.raw() as raw:
        raw.send(wire.raw_request("GET", "/livez", version="HTTP/1.0", host=None))
        assert raw.answer("GET", "/livez").status == 200
        assert raw.closed()


# ---- header names


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length ",
        b"Content-Length\t",
        b"Content Length",
        b"Content-Length\x00",
        b"Content\xc3\xa9",
        b"Content[Length]",
        b'Content"Length',
        b"X(Y)",
        b"X@Y",
        b"X/Y",
        b"X\x7fY",
        b"X\x01Y",
        b"X,Y",
        b"X=Y",
        b"X;Y",
    ],
)
def test_a_header_name_that_is_not_a_token(lane, name):
    head = b"POST /schedule HTTP/1.1\r\nHost: simlane\r\n" + name + b": 60\r\n\r\n"
    refused(lane, head + HIDDEN + b"x" * 60, own=False)


def test_white_space_before_the_colon_hides_no_request(lane, mint):
    inner = wire.raw_request("POST", "/schedule", [JSON, LENGTH, ("Authorization", "Bearer " + mint())], BODY)
    head = b"POST /schedule HTTP/1.1\r\nHost: simlane\r\nContent-Length : %d\r\n\r\n" % len(inner)
    refused(lane, head + inner)


def test_a_header_without_a_colon_or_with_a_blank_name(lane):
    for line in (b"NoColonHere", b"Content-Length", b" : x", b"\t: x"):
        refused(lane, b"POST /schedule HTTP/1.1\r\nHost: simlane\r\n" + line + b"\r\n\r\n" + HIDDEN, own=False)


@pytest.mark.parametrize("line", [b": x", b":", b":x", b": x: y"])
def test_a_header_with_an_empty_name_hides_no_request(lane, line):
    """libmicrohttpd takes such a line for the end of the head, and what follows for the next request."""
    refused(lane, b"GET /health HTTP/1.1\r\nHost: simlane\r\n" + line + b"\r\n" + HIDDEN, "GET", "/health", own=False)


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
def test_the_guard_is_on_every_path(lane, method, target):
    refused(
        lane,
        wire.raw_request(method, target, [("Content-Length", "0"), ("Content-Length", "60")]) + HIDDEN,
        method,
        target,
    )


# ---- lines


def one_outcome(lane, data, allowed, seconds=None):
    """Sends bytes that leave room for interpretation; whatever happens, at most one answer, and of these."""
    with lane.raw(timeout=seconds) as raw:
        raw.send(data)
        raw.sock.shutdown(1)
        statuses = []
        try:
            while True:
                statuses.append(raw.answer(check=False).status)
        except (EOFError, TimeoutError):
            pass
        assert len(statuses) <= 1, f"{statuses} for one request"
        assert set(statuses) <= set(allowed), statuses
    with lane.raw() as raw:
        raw.send(wire.raw_request("GET", "/livez"))
        assert raw.answer("GET", "/livez").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        b"X-A: b\r\n Content-Length: 60",
        b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nTransfer-Encoding:\r\n\tchunked",
        b"Transfer-Encoding: x\r\n\tchunked",
        b"Transfer-Encoding:\r\n chunked",
        b"transfer-encoding: \r\n chunked",
        b"Content-Length:\r\n 5",
        b"Content-Length: 5\r\n 0",
        b"Content-Length: 5\r\n ",
    ],
)
def test_a_folded_header_line_hides_no_framing(lane, headers):
    """obs-fold, by which one party sees a length or an encoding that another does not: 400 and the end."""
    one_outcome(lane, b"POST /schedule HTTP/1.1\r\nHost: simlane\r\n" + headers + b"\r\n\r\n0\r\n\r\n" + HIDDEN, [400])


def test_a_header_that_begins_folded_is_refused(lane):
    one_outcome(lane, b"POST /schedule HTTP/1.1\r\n Host: simlane\r\n\r\n" + HIDDEN, [400])


def test_a_bare_line_feed_or_carriage_return_splits_nothing(lane):
    one_outcome(lane, b"GET /livez HTTP/1.1\nHost: simlane\nConnection: close\n\n", [200, 400])
    one_outcome(
        lane,
        b"GET /livez HTTP/1.1\r\nHost: simlane\r\nX: a\rContent-Length: 60\r\nConnection: close\r\n\r\n",
        [200, 400],
    )
    one_outcome(lane, b"GET /livez HTTP/1.1\rHost: simlane\r\r", [400])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /livez FTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1 x\r\nHost: x\r\n\r\n",
        b"GET  /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\x00\x00\x00\x00\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://other/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_a_strange_request_line_gets_at_most_one_answer(lane, line):
    one_outcome(lane, line, [200, 400, 404, 405, 501, 505], 3)


# ---- chunks


@pytest.fixture(scope="module")
def impatient_lane(build, tmp_path_factory, contract, keyring_text):
    """One that waits a second for the rest of a request."""
    made = lanes.make(build, tmp_path_factory.mktemp("lane"), contract, keyring_text, {"SIM_REQUEST_TIMEOUT_MS": 1000})
    yield made.start()
    made.stop()


@pytest.mark.parametrize(
    "chunks",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"10000000000000000\r\n",
        b"8000000000000000\r\nx",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b";a=b\r\nhello\r\n0\r\n\r\n",
        b"g\r\n",
    ],
)
def test_a_chunk_size_that_is_none(impatient_lane, mint, chunks):
    with impatient_lane.raw() as raw:
        raw.send(post(("Authorization", "Bearer " + mint()), ("Transfer-Encoding", "chunked"), body=chunks) + HIDDEN)
        statuses = []
        try:
            while True:
                statuses.append(raw.answer(check=False).status)
        except (EOFError, TimeoutError):
            pass
        assert statuses in ([400], [413], []), f"{statuses} for one broken body"


def test_trailers_change_nothing(lane, mint):
    """What comes after the last chunk is never taken as a header of the request."""
    with lane.raw() as raw:
        raw.send(
            post(
                ("Transfer-Encoding", "chunked"),
                body=b"b\r\n" + BODY + b"\r\n0\r\nAuthorization: Bearer " + mint().encode() + b"\r\n\r\n",
            )
        )
        assert raw.answer().code == "missing-token"


def test_a_second_content_length_in_trailers_is_harmless(lane, mint):
    with lane.raw() as raw:
        raw.send(
            post(
                ("Authorization", "Bearer " + mint()),
                ("Transfer-Encoding", "chunked"),
                body=b"b\r\n" + BODY + b"\r\n0\r\nContent-Length: 60\r\n\r\n",
            )
            + HIDDEN
        )
        assert raw.answer(check=False).status in (202, 400)
        assert raw.closed()


@pytest.mark.parametrize(
    "body",
    [
        b"b\r\n%s\r\n0\r\n\r\n",
        b"b;a=b\r\n%s\r\n0\r\n\r\n",
        b"b;a=b\n%s\r\n0\r\n\r\n",
        b"b;a\rb\r\n%s\r\n0\r\n\r\n",
        b"b\n%s\n0\n\n",
        b"b\r\n%s\r\n0;a\nX: y\r\n\r\n",
    ],
    ids=range(6),
)
def test_nothing_behind_a_chunked_body_is_served(lane, mint, body):
    """Parties disagree about where chunks end in more ways than can be seen: the connection ends with it."""
    with lane.raw() as raw:
        raw.send(
            post(("Authorization", "Bearer " + mint()), ("Transfer-Encoding", "chunked"), body=body % BODY) + HIDDEN
        )
        assert raw.answer(check=False).status in (202, 400)
        assert raw.closed()


# ---- other malformed headers


def test_two_authorization_headers(lane, mint):
    """Not a framing fault: 400, and which of them is meant stays unknown."""
    for second in ("Bearer " + mint(), "Basic eDp5", ""):
        with lane.raw() as raw:
            raw.send(post(LENGTH, ("Authorization", "Bearer " + mint()), ("authorization", second)))
            assert raw.answer().code == "bad-request"


def test_the_guard_comes_before_everything(lane, mint):
    """A path that does not exist, a method, a size: framing is told first."""
    two = [("Content-Length", "0"), ("Content-Length", "60")]
    refused(lane, wire.raw_request("POST", "/nothing", two) + HIDDEN, "POST", "/nothing")
    refused(lane, wire.raw_request("DELETE", "/schedule", two) + HIDDEN, "DELETE", "/schedule")
    refused(lane, wire.raw_request("POST", "/schedule", [("Content-Length", "1"), ("Content-Length", "99999999")]))
    refused(lane, wire.raw_request("POST", "/schedule", two + [("Authorization", "Bearer " + mint())]))


def test_head_is_guarded_too(lane):
    with lane.raw() as raw:
        raw.send(wire.raw_request("HEAD", "/health", [("Content-Length", "0"), ("Content-Length", "38")]) + HIDDEN)
        assert raw.answer("HEAD", "/health").status == 400
        assert raw.closed()


def test_many_headers_and_large_ones_are_refused_or_served_once(lane):
    many = [(f"X-{i}", "v") for i in range(5000)]
    with lane.raw() as raw:
        raw.send(wire.raw_request("GET", "/livez", many))
        assert raw.answer("GET", "/livez", check=False).status in (200, 400, 431)
    with lane.raw() as raw:
        raw.send(wire.raw_request("GET", "/livez", [("X-Large", "v" * 200_000)]))
        answer = raw.answer("GET", "/livez", check=False)
        assert answer.status in (400, 413, 431)
        assert raw.closed()
    with lane.raw() as raw:
        raw.send(wire.raw_request("GET", "/" + "a" * 200_000))
        assert raw.answer("GET", "/", check=False).status in (400, 404, 414, 431)
