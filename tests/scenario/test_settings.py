"""Settings: everything bad stops the start with exit code 2 and a line that names it."""
import re
import subprocess

import pytest

import lane as lanes
import tokens


@pytest.fixture
def base(tmp_path, keyring_text):
    (tmp_path / "k.json").write_text(keyring_text)
    return {"SIM_LISTEN": "127.0.0.1:0", "SIM_KEYRING_FILE": tmp_path / "k.json", "DREAM_INBOX_DIR": tmp_path / "inbox"}


BAD = {
    "SIMULATION_ENABLED": ["", "maybe", "2", "tru", "enabled", " true"],
    "SIM_LISTEN": [
        "",
        "8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:70000",
        "127.0.0.1:-1",
        "unix:",
        "[::1]",
        "::1:8080",
        "[::1:8080",
        "unix:" + "p" * 200,
        "127.0.0.1:80 80",
    ],
    "SIM_ADMIN_LISTEN": ["x", "127.0.0.1", "unix:"],
    "SIM_HTTP_THREADS": ["-1", "x", "1.5", "100000", "1 ", "0x2", "+2", ""],
    "SIM_MAX_CONNECTIONS": ["0", "-1", "x", "99999999999999999999"],
    "SIM_MAX_BODY_BYTES": ["0", "-5", "x", "1k", "99999999999999999999"],
    "SIM_REQUEST_TIMEOUT_MS": ["0", "-1", "x", "99999999999999999999"],
    "SIM_JOB_STORE": ["", "mongo", "Memory", "memory ", "failing"],
    "SIM_JOB_TTL_MS": ["0", "999", "-1", "x", "99999999999999999999"],
    "SIM_MAX_JOBS": ["0", "-1", "x", "1000000001"],
    "SIM_MEMORY_MAX_BYTES": ["0", "-1", "x", "1GiB", "99999999999999999999"],
    "SIM_POLICY_FILE": ["/nonexistent/policy.json", "/"],
    "SIM_KEYRING_FILE": ["/nonexistent/keyring.json", "/"],
    "SIM_REVOKED_FILE": ["/nonexistent/revoked", "/"],
    "SIM_CLOCK_SKEW_S": ["-1", "x", "1.5", "99999999999999999999"],
    "DREAM_INBOX_REDACT": ["2", "yes please", "TRUE!"],
    "DREAM_INBOX_VALIDATE": ["0", "1", "true"],
    "SIM_LOG_LEVEL": ["", "verbose", "INFO!", "3"],
    "SIM_LOG_FORMAT": ["", "xml", "jsonl"],
    "SIM_DRAIN_MS": ["-1", "x", "99999999999999999999"],
}


@pytest.mark.parametrize("name, value", [(n, v) for n, values in BAD.items() for v in values])
def test_a_bad_value_stops_the_start_and_is_named(build, tmp_path, base, name, value):
    code, said = lanes.refused(build, tmp_path, {**base, name: value})
    assert code == 2, said
    assert name in said, said
    assert len(said.strip().split("\n")) <= 2, "one line that names it"
    assert not (tmp_path / "inbox").exists() or name == "SIM_LISTEN" or not list((tmp_path / "inbox").glob("*.json"))


@pytest.mark.parametrize(
    "name",
    [
        "SIM_LISTENS",
        "SIM_",
        "SIM_job_store",
        "SIMULATION_ENABLE",
        "SIMULATION_",
        "DREAM_INBOX_DIRECTORY",
        "DREAM_INBOX_",
        "SIM_LEASE_MS_X",
    ],
)
def test_an_unknown_name_stops_the_start_and_is_named(build, tmp_path, base, name):
    code, said = lanes.refused(build, tmp_path, {**base, name: "1"})
    assert code == 2 and name in said, said


def test_names_of_others_are_left_alone(new_lane):
    lane = new_lane(SIMPLE="1", SIMULATIONS="x", DREAM="y", LANE_SIM_X="z", sim_listen="w")
    assert lane.client().get("/livez").status == 200


def test_a_keyring_is_required(build, tmp_path, base):
    code, said = lanes.refused(build, tmp_path, {**base, "SIM_KEYRING_FILE": None})
    assert code == 2 and "SIM_KEYRING_FILE" in said


@pytest.mark.parametrize(
    "store, names", [("sqlite", ("SIM_SQLITE_PATH", "SIM_JOB_STORE")), ("redis", ("REDIS_URL", "SIM_JOB_STORE"))]
)
def test_a_store_without_its_setting_or_not_built_in_is_refused_by_name(build, tmp_path, base, store, names):
    code, said = lanes.refused(build, tmp_path, {**base, "SIM_JOB_STORE": store})
    assert code == 2 and any(name in said for name in names), said


def test_several_faults_name_at_least_one(build, tmp_path, base):
    code, said = lanes.refused(build, tmp_path, {**base, "SIM_MAX_JOBS": "x", "SIM_LOG_LEVEL": "y"})
    assert code == 2 and ("SIM_MAX_JOBS" in said or "SIM_LOG_LEVEL" in said)


GOOD = tokens.Key("good")


@pytest.mark.parametrize(
    "what, text",
    [
        ("empty", ""),
        ("broken", "{"),
        ("no keys", "{}"),
        ("keys of another type", '{"keys":{}}'),
        ("a private key", tokens.keyring(GOOD.jwk(d=tokens.b64(GOOD.private_bytes())))),
        ("a kid twice", tokens.keyring(GOOD.jwk(), tokens.Key("good").jwk())),
        ("no kid", tokens.keyring({k: v for k, v in GOOD.jwk().items() if k != "kid"})),
        ("another type", tokens.keyring({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"})),
        ("another curve", tokens.keyring({**GOOD.jwk(), "crv": "X25519"})),
        ("a short key", tokens.keyring({**GOOD.jwk(), "x": "AAAA"})),
        ("loose base64", tokens.keyring({**GOOD.jwk(), "x": GOOD.jwk()["x"] + "="})),
        ("an unknown scope type", tokens.keyring(GOOD.jwk(simlane_scopes="all"))),
        ("tenants of another type", tokens.keyring(GOOD.jwk(simlane_tenants="*"))),
        ("a tenant of another form", tokens.keyring(GOOD.jwk(simlane_tenants=["a/b"]))),
        ("an issuer of another type", tokens.keyring(GOOD.jwk(simlane_iss=["x"]))),
        ("acr of another type", tokens.keyring(GOOD.jwk(simlane_acr="gtpsi"))),
        ("a duplicate member", '{"keys":[],"keys":[]}'),
    ],
)
def test_a_bad_keyring_stops_the_start(build, tmp_path, base, what, text):
    (tmp_path / "k.json").write_text(text)
    code, said = lanes.refused(build, tmp_path, base)
    assert code == 2 and ("SIM_KEYRING_FILE" in said or "k.json" in said), f"{what}: {said}"
    assert tokens.b64(GOOD.private_bytes()) not in said


def test_help_names_every_setting_with_its_default(build):
    done = subprocess.run(
        [str(build / "simlaned"), "--help"], text=True, stdout=subprocess.PIPE, check=True, env=lanes.environment({})
    )
    for name in BAD:
        assert name in done.stdout or name == "DREAM_INBOX_VALIDATE", name
    for default in ("127.0.0.1:8080", "4096", "262144", "10000", "86400000", "1000000", "memory/inbox/dreams"):
        assert default in done.stdout, default


def test_version_is_printed(build):
    done = subprocess.run(
        [str(build / "simlaned"), "--version"], text=True, stdout=subprocess.PIPE, check=True, env=lanes.environment({})
    )
    assert re.search(r"\d+\.\d+", done.stdout)


def test_an_unknown_option_is_2(build):
    for args in (["--nonsense"], ["extra"]):
        done = subprocess.run(
            [str(build / "simlaned"), *args],
            env=lanes.environment({}),
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
        )
        assert done.returncode == 2, done.stdout


def test_the_text_log_is_one_line_an_event(new_lane, mint):
    lane = new_lane(SIM_LOG_FORMAT="text")
    client = lane.client(mint(sub='a "quoted" sub=ject level=error'))
    answer = client.schedule()
    event = lane.request_logged(answer.header("X-Trace-Id"))
    assert event["level"] == "info" and event["subject"] == 'a "quoted" sub=ject level=error'
    lane.stop()
    for line in lane.log(whole=True).strip().split("\n"):
        assert lanes.parse_line(line), f"not a log line: {line!r}"


def test_the_log_level_is_obeyed(new_lane, mint):
    lane = new_lane(SIM_LOG_LEVEL="debug")
    lane.client(mint()).schedule()
    quiet = new_lane(at="quiet", SIM_LOG_LEVEL="info")
    quiet.client(mint()).schedule()
    quiet.stop()
    assert not [e for e in quiet.events() if e["level"] == "debug"]
