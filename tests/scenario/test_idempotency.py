"""Idempotency-Key on /schedule."""
import concurrent.futures
import json
import time

import pytest

KEY = "Idempotency-Key"
BODY = {"seed": {"goal": "once"}}


def keyed(key):
    return {KEY: key}


def test_the_same_key_and_body_replay_the_202(lane, client):
    before = client.depth()
    first = client.schedule("once", headers=keyed("a"))
    for _ in range(3):
        again = client.schedule("once", headers=keyed("a"))
        assert again.status == 202 and again.body == first.body
        assert again.header("X-Trace-Id") == first.header("X-Trace-Id") == first.json["trace_id"]
        assert again.header("Location") == first.header("Location")
    assert client.depth() == before + 1


def test_without_a_key_nothing_is_replayed(client):
    assert client.job("once") != client.job("once")


def test_another_body_with_the_key_is_422(client):
    first = client.schedule("once", headers=keyed("b"))
    answer = client.post("/schedule", {"seed": {"goal": "twice"}}, headers=keyed("b"))
    assert (answer.status, answer.code) == (422, "idempotency-mismatch")
    assert first.json["job_id"] not in answer.body.decode()
    answer = client.request("POST", "/schedule", json.dumps({"seed": {"goal": "once"}}) + " ", headers=keyed("b"))
    assert answer.code == "idempotency-mismatch", "bytes are compared, not meanings"


@pytest.mark.parametrize("other", [{"sub": "somebody-else"}, {"iss": "elsewhere"}, {"tenant": "other"}])
def test_the_key_belongs_to_tenant_issuer_and_subject(client, mint, other):
    first = client.job("once", headers=keyed("c"))
    second = client.job("once", headers=keyed("c"), token=mint(**other))
    assert first != second
    assert client.job("once", headers=keyed("c"), token=mint()) == first, "another token of the same subject"


def test_parts_of_the_scope_do_not_run_into_each_other(client, mint):
    jobs = {
        client.job("once", headers=keyed(key), token=mint(iss=iss, sub=sub))
        for iss, sub, key in (
            ("ab", "c", "d"),
            ("a", "bc", "d"),
            ("a", "b", "cd"),
            ("abc", "d", "x"),
            ("a", "bcd", "x"),
        )
    }
    assert len(jobs) == 5


def test_only_a_202_is_remembered(client):
    answer = client.post("/schedule", {"seed": {"goal": "delete all"}}, headers=keyed("d"))
    assert answer.status == 403
    answer = client.request("POST", "/schedule", b"{", headers=keyed("d"))
    assert answer.code == "invalid-json"
    assert client.schedule("once", headers=keyed("d")).status == 202


def test_the_replay_lives_as_long_as_the_job_whatever_becomes_of_it(client):
    first = client.schedule("once", headers=keyed("e"))
    job_id = first.json["job_id"]
    assert client.collect(job_id).status == 200
    assert client.schedule("once", headers=keyed("e")).body == first.body
    other = client.schedule("once", headers=keyed("f"))
    client.cancel(other.json["job_id"])
    assert client.schedule("once", headers=keyed("f")).body == other.body


def test_the_key_is_free_again_when_the_job_is_gone(client):
    first = client.job("once", ttl_ms=1000, headers=keyed("g"))
    assert client.job("once", ttl_ms=1000, headers=keyed("g")) == first
    time.sleep(1.05)
    assert client.job("once", ttl_ms=1000, headers=keyed("g")) != first


def test_many_at_once_make_one_job(lane, client):
    before = client.depth()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/schedule", BODY, headers=keyed("h")), range(24)))
    made = {a.json["job_id"] for a in answers if a.status == 202}
    assert len(made) == 1
    for answer in answers:
        assert answer.status == 202 or answer.code == "idempotency-in-flight"
    assert client.depth() == before + 1


@pytest.mark.parametrize("word", ["k", 'a,b;c="d"', "x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_keys_of_many_forms_work(client, word):
    assert client.job("once", headers=keyed(word)) == client.job("once", headers=keyed(word))


def test_a_replay_is_screened_for_its_token_and_scope(client, mint):
    client.job("once", headers=keyed("i"))
    assert client.post("/schedule", BODY, headers=keyed("i"), token=None).status == 401
    assert client.post("/schedule", BODY, headers=keyed("i"), token=mint("collect")).status == 403


def test_two_keys_in_one_request_are_400(lane, client):
    answer = client.post("/schedule", BODY, headers=[(KEY, "one"), (KEY, "two")])
    assert (answer.status, answer.code) == (400, "bad-request")


def test_an_empty_or_endless_key_is_400(client):
    for key in ("", "x" * 256, "x" * 3000, "a b", "a\tb", "\xe9"):
        answer = client.post("/schedule", BODY, headers=keyed(key))
        assert (answer.status, answer.code) == (400, "bad-request")


def test_a_key_that_is_being_used_is_409_with_a_time_to_come_back(new_lane, mint):
    """The failing store calls about half of all keys in flight; none is ever a 202."""
    client = new_lane(SIM_JOB_STORE="failing", SIMLANE_TEST=1).client(mint())
    answers = [client.post("/schedule", BODY, headers=keyed(f"k{i}")) for i in range(16)]
    in_flight = [a for a in answers if a.status == 409]
    assert in_flight and all(a.code == "idempotency-in-flight" and a.header("Retry-After") for a in in_flight)
    assert {a.status for a in answers} == {409, 503}
