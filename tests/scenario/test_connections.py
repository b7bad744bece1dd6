"""Connections: keep-alive, HTTP/1.0, HEAD, pipelines, Expect, slow clients, sockets of every kind."""
import os
import re
import socket
import sys
import threading
import time

import pytest

import lane as lanes
import wire

JSON = ("Content-Type", "application/json")
BODY = b'{"seed":{}}'
LENGTH = ("Content-Length", str(len(BODY)))


def test_a_connection_serves_many_requests(lane, client):
    conn = client.connection()
    for _ in range(20):
        job_id = client.job(conn=conn)
        sock = conn.sock
        assert client.get(f"/jobs/{job_id}", conn=conn).status == 200
        assert client.post("/schedule", {"seed": 5}, conn=conn).status == 422
        assert client.get("/nothing", conn=conn).status == 404
        assert client.request("POST", "/schedule", b"{", conn=conn).status == 400, "a bad body keeps the connection"
        assert client.post("/schedule", {"seed": {}}, token=None, conn=conn).status == 401
        assert conn.sock is sock, "the connection was closed in between"
    conn.close()


def test_connection_close_is_obeyed(lane):
    with lane.raw() as raw:
        raw.send(wire.raw_request("GET", "/livez", [("Connection", "close")]))
        answer = raw.answer("GET", "/livez")
        assert answer.status == 200 and answer.header("Connection").lower() == "close"
        assert raw.closed()


def test_http_1_0_is_answered_and_closed(lane, mint):
    with lane.raw() as raw:
        raw.send(
            wire.raw_request(
                "POST",
                "/schedule",
                [JSON, LENGTH, ("Authorization", "Bearer " + mint())],
                BODY,
                version="HTTP/1.0",
                host=None,
            )
        )
        assert raw.answer().status == 202
        assert raw.closed()


def test_http_1_0_with_keep_alive(lane):
    with lane.raw() as raw:
        for _ in range(2):
            raw.send(wire.raw_request("GET", "/livez", [("Connection", "Keep-Alive")], version="HTTP/1.0"))
            answer = raw.answer("GET", "/livez")
            assert answer.status == 200
            if (answer.header("Connection") or "close").lower() != "keep-alive":
                assert raw.closed()
                return


@pytest.mark.parametrize("target", ["/health", "/livez", "/readyz", "/metrics", "/openapi.json", "/nothing"])
def test_head_answers_as_get_does_but_without_the_body(lane, client, target):
    got, head = client.get(target), client.head(target)
    assert head.status == got.status
    assert head.header("Content-Type") == got.header("Content-Type")
    assert head.header("Content-Length") is not None
    if target in ("/openapi.json", "/livez", "/readyz"):
        assert head.header("Content-Length") == got.header("Content-Length") == str(len(got.body))


def test_head_of_a_job(client):
    job_id = client.job()
    head, got = client.head(f"/jobs/{job_id}"), client.get(f"/jobs/{job_id}")
    assert head.status == 200 and head.header("Content-Length") == str(len(got.body))
    assert client.head("/jobs/JOB-0123456789ab").status == 404
    assert client.head(f"/jobs/{job_id}", token=None).status == 401


def test_the_connection_is_in_step_after_a_head(lane):
    with lane.raw() as raw:
        raw.send(wire.raw_request("HEAD", "/openapi.json") + wire.raw_request("GET", "/livez"))
        assert raw.answer("HEAD", "/openapi.json").status == 200
        assert raw.answer("GET", "/livez").json["status"] == "pass"


def test_pipelined_requests_are_answered_in_their_order(lane, mint):
    token = mint()
    post = wire.raw_request("POST", "/schedule", [JSON, LENGTH, ("Authorization", "Bearer " + token)], BODY)
    wrong = wire.raw_request("POST", "/schedule", [JSON, LENGTH], BODY)
    with lane.raw() as raw:
        raw.send((post + wire.raw_request("GET", "/livez") + wrong + wire.raw_request("GET", "/nothing")) * 10)
        for _ in range(10):
            assert raw.answer().status == 202
            assert raw.answer("GET", "/livez").status == 200
            assert raw.answer().status == 401
            assert raw.answer("GET", "/nothing").status == 404


def test_pipelined_collects_are_answered_in_their_order(lane, client, mint):
    jobs = [client.job() for _ in range(10)]
    with lane.raw() as raw:
        for job in jobs:
            body = b'{"job_id":"%s"}' % job.encode()
            raw.send(
                wire.raw_request(
                    "POST",
                    "/collect",
                    [JSON, ("Content-Length", str(len(body))), ("Authorization", "Bearer " + mint())],
                    body,
                )
            )
        for job in jobs:
            answer = raw.answer("POST", "/collect")
            assert answer.status == 200 and answer.json["job_id"] == job


def test_expect_100_continue_is_answered(lane, mint):
    with lane.raw() as raw:
        raw.send(
            wire.raw_request(
                "POST", "/schedule", [JSON, LENGTH, ("Authorization", "Bearer " + mint()), ("Expect", "100-continue")]
            )
        )
        assert raw.answer().status == 100
        raw.send(BODY)
        assert raw.answer().status == 202


def test_who_expects_100_continue_is_not_asked_for_a_body_that_is_too_large(lane):
    with lane.raw() as raw:
        raw.send(
            wire.raw_request("POST", "/schedule", [JSON, ("Content-Length", "999999999"), ("Expect", "100-continue")])
        )
        assert raw.answer().status == 413


def test_who_expects_100_continue_gets_one_answer_in_any_case(lane):
    for headers, status in (([LENGTH], 415), ([JSON, LENGTH], 401)):
        with lane.raw() as raw:
            raw.send(wire.raw_request("POST", "/schedule", [*headers, ("Expect", "100-continue")]))
            answer = raw.answer()
            if answer.status == 100:
                raw.send(BODY)
                answer = raw.answer()
            assert answer.status == status


def test_a_large_upload_that_is_refused_still_reads_its_answer(lane, client):
    for _ in range(20):
        answer = client.request("POST", "/schedule", b"x" * 2_000_000)
        assert answer.code == "body-too-large"


def test_a_slow_client_within_the_time_out_is_served(new_lane, mint):
    lane = new_lane(SIM_REQUEST_TIMEOUT_MS=4000 * lanes.PATIENCE)
    data = wire.raw_request("POST", "/schedule", [JSON, LENGTH, ("Authorization", "Bearer " + mint())], BODY)
    with lane.raw() as raw:
        for at in range(0, len(data), 7):
            raw.send(data[at : at + 7])
            time.sleep(0.005)
        assert raw.answer().status == 202


def test_a_client_that_stops_is_let_go(new_lane):
    lane = new_lane(SIM_REQUEST_TIMEOUT_MS=1000)
    begun = time.monotonic()
    for data in (
        b"",
        b"GET /livez HT",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n",
        wire.raw_request("POST", "/schedule", [JSON, LENGTH], BODY[:5]),
    ):
        with lane.raw(timeout=20) as raw:
            raw.send(data)
            while raw.more():
                pass
    assert time.monotonic() - begun < 4 * 4 * lanes.PATIENCE
    assert lane.client().get("/livez").status == 200


def test_one_slow_client_delays_nobody(lane):
    held = [lane.raw() for _ in range(50)]
    for raw in held:
        raw.send(b"POST /schedule HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n")
    begun = time.monotonic()
    assert lane.client().get("/livez").status == 200
    assert time.monotonic() - begun < 2 * lanes.PATIENCE
    for raw in held:
        raw.close()


def test_more_connections_than_allowed_harm_nobody_for_long(new_lane):
    lane = new_lane(SIM_MAX_CONNECTIONS=16)
    held = []
    for _ in range(30):
        try:
            held.append(lane.raw(timeout=2))
        except OSError:
            break
    for raw in held:
        raw.close()

    def served():
        try:
            return lane.client(timeout=2).get("/livez").status == 200
        except OSError:
            return False

    lanes.wait_until(served, 10, "no answer after the crowd has gone")


def test_who_comes_at_the_limit_waits_until_somebody_leaves(new_lane):
    lane = new_lane(SIM_MAX_CONNECTIONS=16)
    inside = [lane.client().connection() for _ in range(16)]
    for conn in inside:
        assert lane.client().get("/livez", conn=conn).status == 200
    with lane.raw() as late:
        late.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        late.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.more()
        late.sock.settimeout(20 * lanes.PATIENCE)
        inside.pop().close()
        assert late.take_line().split()[1] == "200"
    for conn in inside:
        conn.close()


def test_connections_are_spread_over_all_http_threads(new_lane):
    """One thread that has them all would do all of the work while the others sleep."""
    lane = new_lane(SIM_HTTP_THREADS=2)
    conns = [lane.client().connection() for _ in range(32)]
    for _ in range(40):
        for conn in conns:
            assert lane.client().get("/livez", conn=conn).status == 200
    rounds, tasks = [], f"/proc/{lane.process.pid}/task"
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/comm") as comm, open(f"{tasks}/{task}/status") as status:
            if comm.read().startswith("MHD"):
                rounds.append(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M).group(1)))
    assert len(rounds) == 2 and min(rounds) > max(rounds) / 3, rounds
    for conn in conns:
        conn.close()


def test_a_client_that_leaves_in_the_middle_leaves_no_harm(lane, client, mint):
    job = client.job()
    body = b'{"job_id":"%s"}' % job.encode()
    request = wire.raw_request(
        "POST", "/collect", [JSON, ("Content-Length", str(len(body))), ("Authorization", "Bearer " + mint())], body
    )
    for cut in (1, 20, len(request) - 5, len(request)):
        with lane.raw() as raw:
            raw.send(request[:cut])
    collected = client.collect(job)
    assert collected.status == 200 and collected.json["inbox"]["shards_written"] == 1


def test_parallel_clients_get_their_own_answers(lane, mint):
    faults = []

    def work(number):
        try:
            client = lane.client(mint(sub=f"p{number}"))
            conn = client.connection()
            for i in range(30):
                goal = f"goal {number}.{i}"
                job = client.job(goal, conn=conn)
                (shard,) = client.collect(job, conn=conn).json["shards"]
                assert shard["seed_meta"]["goal"] == goal
            conn.close()
        except Exception as fault:  # every thread's fault is the test's
            faults.append(repr(fault))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


# ---- where it listens


def test_it_listens_on_a_unix_socket(new_lane, mint, tmp_path):
    path = tmp_path / "s"
    lane = new_lane(SIM_LISTEN=f"unix:{path}")
    client = lane.client(mint())
    assert client.collect(client.job()).status == 200
    assert client.get("/metrics").status == 200
    lane.stop()
    assert not path.exists(), "the socket's file was left behind"


def test_a_socket_file_left_by_a_crash_does_not_stop_the_start(new_lane, tmp_path):
    path = tmp_path / "s"
    lane = new_lane(SIM_LISTEN=f"unix:{path}")
    lane.kill()
    lane.start()
    assert lane.client().get("/livez").status == 200


def test_it_listens_on_ipv6(new_lane):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    lane = new_lane(SIM_LISTEN="[::1]:0")
    assert lane.address[0] == "::1" and lane.client().get("/metrics").status == 200


# What systemd does between fork and exec.
ACTIVATE = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])"""


def test_a_systemd_socket_wins(build, tmp_path, contract, keyring_text):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        lane = lanes.make(
            build,
            tmp_path / "activated",
            contract,
            keyring_text,
            {"LISTEN_FDS": "1", "SIM_LISTEN": "127.0.0.1:1"},
            wrap=[sys.executable, "-c", ACTIVATE, str(listener.fileno())],
        )
        lane.start(pass_fds=(listener.fileno(),))
        assert lane.address[1] == listener.getsockname()[1]
        assert lane.client().get("/livez").status == 200
        lane.stop()


def test_a_port_in_use_is_told_and_stops_the_start(build, tmp_path, keyring_text):
    (tmp_path / "k.json").write_text(keyring_text)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        code, said = lanes.refused(
            build,
            tmp_path,
            {"SIM_LISTEN": address, "SIM_KEYRING_FILE": tmp_path / "k.json", "DREAM_INBOX_DIR": tmp_path / "inbox"},
        )
    assert code in (1, 2) and address in said


def test_a_head_that_never_ends_does_not_hold_its_connection(new_lane):
    """A byte now and then is not enough to stay: the whole request has twice SIM_REQUEST_TIMEOUT_MS."""
    lane = new_lane(SIM_REQUEST_TIMEOUT_MS=1000)
    with lane.raw() as raw:
        raw.send(b"GET /livez HTTP/1.1\r\nHost: simlane\r\n")
        raw.sock.setblocking(False)
        begun = time.monotonic()
        while time.monotonic() - begun < 15:
            raw.send(b"X: y\r\n")
            time.sleep(0.3)
            try:
                if not raw.more():
                    break
            except BlockingIOError:
                continue
        assert 1 < time.monotonic() - begun < 10 and raw.rest == b""
