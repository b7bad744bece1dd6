"""Reload of keyring, policy and revocations: on SIGHUP, and by themselves when the files change."""
import json
import os
import signal
import threading

import pytest

import lane as lanes
import tokens

SEED = {"seed": {"goal": "sing a song"}}
WITHIN = 10  # "within seconds of the file changing"


@pytest.fixture
def files(tmp_path, key, default_policy):
    """The three files of a daemon, and how an operator changes them."""

    class Files:
        keyring, policy, revoked = tmp_path / "ring.json", tmp_path / "policy.json", tmp_path / "revoked"

        @staticmethod
        def put(path, text, by_rename=True):
            if by_rename:
                new = path.with_suffix(".new")
                new.write_text(text)
                os.replace(new, path)
            else:
                path.write_text(text)

        def forbid(self, word, version):
            text = (
                json.dumps(default_policy)
                .replace("dataset|pii|secrets?", f"dataset|pii|secrets?|{word}")
                .replace("(exfiltrate|dump)", "(exfiltrate|dump|sing)")
            )
            policy = json.loads(text)
            policy["version"] = version
            return json.dumps(policy)

    made = Files()
    made.put(made.keyring, tokens.keyring(key.jwk(simlane_tenants=["*"])))
    made.put(made.policy, json.dumps(default_policy))
    made.put(made.revoked, "")
    made.settings = {"SIM_KEYRING_FILE": made.keyring, "SIM_POLICY_FILE": made.policy, "SIM_REVOKED_FILE": made.revoked}
    return made


def status(client, token):
    return client.post("/schedule", SEED, token=token).status


@pytest.mark.parametrize("hup", [True, False])
@pytest.mark.parametrize("by_rename", [True, False])
def test_new_files_are_read(new_lane, mint, key, files, hup, by_rename):
    lane = new_lane(**files.settings)
    client = lane.client()
    seen = mint(sub="seen")
    assert status(client, seen) == 202

    def changed(what):
        if hup:
            lane.signal(signal.SIGHUP)
        lanes.wait_until(what, WITHIN, "the new file is in force")

    files.put(files.revoked, "sub:seen\n", by_rename)
    changed(lambda: status(client, seen) == 401)
    assert status(client, mint()) == 202

    newcomer = tokens.Key("newcomer")
    assert status(client, tokens.Minter(newcomer)()) == 401
    files.put(files.keyring, tokens.keyring(key.jwk(), newcomer.jwk()), by_rename)
    changed(lambda: status(client, tokens.Minter(newcomer)()) == 202)

    kept = mint()
    assert status(client, kept) == 202
    files.put(files.keyring, tokens.keyring(newcomer.jwk()), by_rename)
    changed(lambda: status(client, kept) == 401)
    assert status(client, mint()) == 401

    token = tokens.Minter(newcomer)()
    files.put(files.policy, files.forbid("song", "2"), by_rename)
    changed(lambda: status(client, token) == 403)
    assert status(client, token) == 403


def test_a_reload_holds_at_once_for_tokens_that_were_seen_before_it(new_lane, mint, files):
    """Once one request has seen the new file, none sees the old one."""
    lane = new_lane(**files.settings)
    client = lane.client()
    token, probe = mint(sub="seen"), mint(sub="seen")
    for _ in range(50):
        assert status(client, token) == 202
    files.put(files.revoked, "sub:seen\n")
    lane.signal(signal.SIGHUP)
    lanes.wait_until(lambda: status(client, probe) == 401, WITHIN, "revoked")
    for _ in range(50):
        assert status(client, token) == 401


@pytest.mark.parametrize("hup", [True, False])
def test_a_broken_new_file_leaves_the_old_one_in_force(new_lane, mint, key, files, hup):
    lane = new_lane(**files.settings)
    client = lane.client()
    token = mint()
    files.put(files.revoked, "sub:bad\n")
    lane.signal(signal.SIGHUP)
    lanes.wait_until(lambda: status(client, mint(sub="bad")) == 401, WITHIN, "revoked")

    failures = metric_failures(client)
    files.put(files.keyring, "{broken")
    files.put(files.policy, '{"version":"x","surprise":1}')
    if hup:
        lane.signal(signal.SIGHUP)
    told = lanes.wait_until(
        lambda: [e for e in lane.events() if e["level"] in ("warn", "error") and "reload" in e["event"]],
        WITHIN,
        "it is logged",
    )
    assert told
    lanes.wait_until(lambda: metric_failures(client) > failures, WITHIN, "it is counted")
    for _ in range(3):
        assert status(client, token) == 202
        assert status(client, mint()) == 202
        assert status(client, mint(sub="bad")) == 401
    assert client.get("/readyz").status == 200

    files.put(files.keyring, tokens.keyring(key.jwk(d=tokens.b64(key.private_bytes()))))
    lane.signal(signal.SIGHUP)
    assert status(client, token) == 202

    newcomer = tokens.Key("newcomer")
    files.put(files.keyring, tokens.keyring(newcomer.jwk()))
    lane.signal(signal.SIGHUP)
    lanes.wait_until(lambda: status(client, tokens.Minter(newcomer)()) == 202, WITHIN, "a good file is taken again")


def metric_failures(client):
    """The sum of whatever counts failed reloads."""
    total = 0.0
    for line in client.get("/metrics").body.decode().split("\n"):
        if "reload" in line and not line.startswith("#") and ("fail" in line or "error" in line or "refused" in line):
            total += float(line.rsplit(" ", 1)[1])
    return total


@pytest.mark.parametrize("name", ["keyring", "policy", "revoked"])
def test_a_file_that_vanished_leaves_the_old_one_in_force(new_lane, mint, files, name):
    files.put(files.revoked, "sub:bad\n")
    lane = new_lane(**files.settings)
    client = lane.client()
    getattr(files, name).unlink()
    lane.signal(signal.SIGHUP)
    lanes.wait_until(lambda: [e for e in lane.events() if e["level"] in ("warn", "error")], WITHIN, "it is logged")
    assert status(client, mint()) == 202 and status(client, mint(sub="bad")) == 401


def test_the_policys_version_shows_up(new_lane, mint, files):
    lane = new_lane(**files.settings)
    client = lane.client(mint())
    files.put(files.policy, files.forbid("song", "my-policy-7"))
    lane.signal(signal.SIGHUP)
    lanes.wait_until(lambda: client.post("/schedule", SEED).status == 403, WITHIN, "the new policy is in force")
    lanes.wait_until(lambda: "my-policy-7" in lane.log(), 5, "its version in the log")
    assert 'my-policy-7"' in client.get("/metrics").body.decode()


def test_reloads_under_load_harm_no_request(new_lane, mint, key, files):
    lane = new_lane(**files.settings)
    token, ended, faults = mint(), threading.Event(), []

    def work():
        client = lane.client(token)
        conn = client.connection()
        while not ended.is_set():
            answer = client.collect(client.job(conn=conn), conn=conn)
            if answer.status != 200:
                faults.append(answer)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        files.put(files.revoked, f"sub:nobody{turn}\n")
        files.put(files.keyring, tokens.keyring(key.jwk(simlane_tenants=["*"]), tokens.Key(f"k{turn}").jwk()))
        files.put(files.policy, files.forbid("nothing", str(turn)))
        for _ in range(3):
            lane.signal(signal.SIGHUP)
        lanes.wait_until(lambda: lane.process.poll() is None, 1, "alive")
        ended.wait(0.02)
    ended.set()
    for thread in threads:
        thread.join()
    assert not faults
