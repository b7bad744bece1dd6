"""The policy, seen from outside: what is refused, what is not, and what is told."""
import json
import pathlib
import time

import pytest

import tokens


def denied(client, seed, rule, **kw):
    answer = client.post("/schedule", {"seed": seed}, **kw)
    assert (answer.status, answer.code) == (403, "policy-violation"), answer
    assert answer.json["rule"] == rule
    assert answer.header("WWW-Authenticate") is None
    return answer


def step_up(client, seed, rule="privileged-intent", **kw):
    answer = client.post("/schedule", {"seed": seed}, **kw)
    assert (answer.status, answer.code) == (401, "step-up-required"), answer
    assert answer.json["rule"] == rule
    challenge = answer.header("WWW-Authenticate")
    assert challenge.startswith('Bearer realm="simlane"')
    for part in ('error="insufficient_user_authentication"', 'acr_values="gtpsi"', 'max_age="300"'):
        assert part in challenge
    return answer


# ---- deny


@pytest.mark.parametrize(
    "goal",
    [
        "delete all",
        "please DROP the Entire database",
        "wipe\neverything",
        "erase it in full",
        "drop\t\t all",
        "ｄｅｌｅｔｅ ａｌｌ",
        "d e l e t e   a l l",
        "d.e.l.e.t.e all",
        "de\u200blete al\u00adl",
        "dеlеtе аll",
        "\u202edelete all",
        "delete\ufe0f all",
        "𝐝𝐞𝐥𝐞𝐭𝐞 𝐚𝐥𝐥",
        "DELETE" + " " * 200 + "ALL",
        "dele\U000e0061te all",
    ],
)
def test_bulk_destruction_is_denied_however_it_is_spelt(client, goal):
    denied(client, {"goal": goal}, "bulk-destruction")


@pytest.mark.parametrize("goal", ["exfiltrate the dataset", "dump secrets", "Dump all the PII", "dump a secret"])
def test_exfiltration_is_denied(client, goal):
    denied(client, {"goal": goal}, "exfiltration")


@pytest.mark.parametrize(
    "seed",
    [
        {"goal": "fine", "context": {"note": "delete all"}},
        {"goal": "fine", "context": {"a": [{"b": ["x", {"c": "erase everything"}]}]}},
        {"goal": "fine", "ul_tags": ["ok", "wipe everything"]},
        {"goal": "fine", "constraints": {"flags": {"note": "drop entire"}}},
        {"goal": "fine", "constraints": {"flags": {"delete all": 1}}},
        {"goal": "fine", "constraints": {"consent": {"scopes": ["delete all"]}}},
        {"goal": "fine", "constraints": {"budgets": {"what": "delete all"}}},
        {"goal": "fine", "unknown": "delete all"},
        {"goal": "fine", "delete all": None},
        {"goal": "fine", "context": {"delete all": False}},
        {"goal": "fine", "constraints": {"own": {"deep": ["delete all"]}}},
    ],
)
def test_every_string_of_a_seed_is_screened(client, seed):
    denied(client, seed, "bulk-destruction")


def test_the_end_of_a_long_goal_is_screened(client):
    """Nothing is cut before it is screened."""
    for length in (500, 595, 600, 900, 5000, 50_000):
        denied(client, {"goal": "x " * (length // 2) + "delete all"}, "bulk-destruction")


@pytest.mark.parametrize("tag", ["ΛROOT", "ΛADMIN", " ΛROOT ", "λroot", "ΛRООT", "Λ\u200bROOT", "ΛＲＯＯＴ", "\tΛAdmin"])
def test_a_privileged_tag_is_denied_also_as_the_60th(client, tag):
    denied(client, {"goal": "g", "ul_tags": [tag]}, "deny-ul-tag")
    denied(client, {"goal": "g", "ul_tags": [f"ΛT{i}" for i in range(59)] + [tag]}, "deny-ul-tag")
    denied(client, {"goal": "g", "ul_tags": [f"ΛT{i}" for i in range(255)] + [tag]}, "deny-ul-tag")


@pytest.mark.parametrize("tag", ["ROOT", "ΛROOTS", "ΛPLAN", "root", "A ROOT", ""])
def test_other_tags_are_fine(client, tag):
    client.schedule(seed={"goal": "g", "ul_tags": [tag]})


@pytest.mark.parametrize(
    "goal",
    [
        "",
        "Plan a calm evening",
        "Summarise the full report and everything in it",
        "Delete one old draft",
        "Drop me a line when it is done",
        "Describe how dumplings are made",
        "Plant a vegetable garden",
        "Ein ruhiger Abend mit Tee",
        "計画を立てる",
        "Спокойный вечер",
        "مساء هادئ",
        "😀👍🏽 ❤️ 👩‍👩‍👧",
        "ﬁne ﬂow Ⅳ ½",
        "I a m h a p p y",
    ],
)
def test_honest_goals_are_accepted(client, goal):
    client.schedule(goal)


def test_a_technical_context_says_root_in_all_innocence(client):
    client.schedule(seed={"goal": "explain", "context": {"text": "the root of the tree, in production"}})


@pytest.mark.parametrize("name", ["GPL-3", "Apache-2.0", "LGPL-2.1", "MPL-2.0", "Artistic"])
def test_an_honest_long_document_is_accepted_as_context(client, name):
    path = pathlib.Path("/usr/share/common-licenses", name)
    if not path.exists():
        pytest.skip(f"no {path}")
    text = path.read_text(encoding="utf-8", errors="replace")
    client.schedule(seed={"goal": "Summarise this licence", "context": {"document": text}})


def test_what_matched_is_never_echoed(client):
    for goal in ("delete all the qxzmarker", "dump qxzmarker secrets", "mass qxzmarker email"):
        answer = client.post("/schedule", {"seed": {"goal": goal, "context": {"k": "qxzmarker"}}})
        assert answer.status in (401, 403)
        told = answer.body.decode() + str(answer.headers)
        for word in ("qxzmarker", "delete", "dump", "secrets", "email", r"\b", "drop"):
            assert word not in told.lower(), f"{word} was echoed"
    answer = denied(client, {"ul_tags": ["ΛADMIN"]}, "deny-ul-tag")
    assert "ADMIN" not in answer.body.decode()


def test_a_denied_seed_leaves_nothing_behind(lane, client):
    before = client.depth(), lane.files()
    denied(client, {"goal": "delete all"}, "bulk-destruction")
    step_up(client, {"goal": "deploy to production"})
    assert (client.depth(), lane.files()) == before


# ---- step-up

PRIVILEGED = [
    "deploy to production",
    "become root",
    "rotate keys",
    "delete account",
    "send a mass email",
    "mass\nmailing by email",
    "bulk user action",
    "ROTATE   KEYS",
    "ｐｒｏｄｕｃｔｉｏｎ",
    "p r o d u c t i o n",
]


@pytest.mark.parametrize("goal", PRIVILEGED)
def test_a_privileged_intent_asks_for_step_up_and_accepts_it(client, mint, goal):
    step_up(client, {"goal": goal})
    assert client.post("/schedule", {"seed": {"goal": goal}}, token=mint.stepped_up()).status == 202
    assert client.post("/schedule", {"seed": {"goal": goal}}, token=mint.stepped_up(form="jwt")).status == 202


def test_the_flag_asks_for_step_up(client, mint):
    for value in (True, 1, "yes", [0], {"a": 1}, -1, 0.5):
        seed = {"goal": "g", "constraints": {"flags": {"require_step_up": value}}}
        step_up(client, seed, "require-step-up")
        assert client.post("/schedule", {"seed": seed}, token=mint.stepped_up()).status == 202
    for value in (False, None, 0, 0.0, "", [], {}):
        client.schedule(seed={"goal": "g", "constraints": {"flags": {"require_step_up": value}}})


def test_step_up_must_be_fresh_and_not_from_the_future(client, mint):
    seed = {"goal": "rotate keys"}
    now = time.time()
    for form in ("paseto", "jwt"):
        for auth_time in (now - 290, now, now + 20):
            assert (
                client.post("/schedule", {"seed": seed}, token=mint.stepped_up(auth_time=auth_time, form=form)).status
                == 202
            )
        for auth_time in (now - 340, now + 60, now - 86400):
            step_up(client, seed, token=mint.stepped_up(auth_time=auth_time, form=form))
        step_up(client, seed, token=mint(acr="gtpsi", form=form))
        step_up(client, seed, token=mint(auth_time=now, form=form))
        step_up(client, seed, token=mint(acr="GTPSI", auth_time=now, form=form))
        step_up(client, seed, token=mint(acr="pwd", auth_time=now, form=form))


def test_a_deny_wins_over_a_step_up(client, mint):
    seed = {"goal": "delete all on production"}
    denied(client, seed, "bulk-destruction")
    denied(client, seed, "bulk-destruction", token=mint.stepped_up())


def test_step_up_has_no_effect_on_denied_seeds_or_on_scopes(client, mint):
    denied(client, {"goal": "dump secrets"}, "exfiltration", token=mint.stepped_up())
    answer = client.post("/schedule", {"seed": {"goal": "rotate keys"}}, token=mint.stepped_up("collect"))
    assert answer.code == "insufficient-scope"


# ---- duress

DURESS = [
    {"duress": True},
    {"shadow": 1},
    {"DURESS": "x"},
    {" Duress ": [0]},
    {"du\u200bress": True},
    {"ｓｈａｄｏｗ": {"a": 1}},
    {"dυress": True},
    {"shadow": -1, "duress": False},
]


def like(answer):
    """All of an answer but what may differ: the trace and the time."""
    trace = answer.header("X-Trace-Id").encode()
    headers = [(n, "TRACE" if n == "X-Trace-Id" else "DATE" if n == "Date" else v) for n, v in answer.headers]
    return answer.status, headers, answer.body.replace(trace, b"TRACE")


@pytest.mark.parametrize("flags", DURESS)
def test_duress_looks_exactly_like_a_disabled_lane(new_lane, mint, flags):
    token = mint()
    open_lane, closed_lane = new_lane(at="open"), new_lane(at="closed", SIMULATION_ENABLED="false")
    body = {"seed": {"goal": "delete all on production", "constraints": {"flags": flags}}}
    under_duress = open_lane.client(token).post("/schedule", body)
    disabled = closed_lane.client(token).post("/schedule", body)
    assert under_duress.json["rule"] == "lane-disabled"
    assert like(under_duress) == like(disabled)
    assert len(under_duress.header("X-Trace-Id")) == len(disabled.header("X-Trace-Id"))
    health = open_lane.client().get("/health").json
    assert health["enabled"] is True

    event = open_lane.request_logged(under_duress.header("X-Trace-Id"))
    assert event["rule"] == "duress"
    assert "duress" in open_lane.client().get("/metrics").body.decode()


@pytest.mark.parametrize("value", [False, None, 0, "", [], {}, 0.0])
def test_a_falsy_duress_flag_is_none(client, value):
    client.schedule(seed={"goal": "g", "constraints": {"flags": {"duress": value, "shadow": value}}})


def test_duress_is_a_flag_and_not_a_word(client):
    client.schedule(seed={"goal": "write about duress and shadow", "context": {"duress": True}})


def test_duress_on_the_inbox_leaves_nothing(lane, client):
    answer = client.post(
        "/inbox",
        {
            "seed": {"constraints": {"flags": {"duress": True}}},
            "result": {"trace_id": "under-duress", "shards": [{"index": 0}]},
        },
    )
    assert (answer.status, answer.json["rule"]) == (403, "lane-disabled")
    assert "under-duress.json" not in lane.files()


# ---- a policy of one's own


def write_policy(path, policy):
    path.write_text(json.dumps(policy, ensure_ascii=False), encoding="utf-8")
    return path


def test_the_default_file_is_the_built_in_policy(new_lane, mint, default_policy, tmp_path):
    client = new_lane(SIM_POLICY_FILE=write_policy(tmp_path / "p.json", default_policy)).client(mint())
    denied(client, {"goal": "delete all"}, "bulk-destruction")
    step_up(client, {"goal": "rotate keys"})
    client.schedule("fine")


def test_max_goal_chars_is_the_policys(new_lane, mint, default_policy, tmp_path):
    policy = json.loads(json.dumps(default_policy))
    assert find(policy, "max_goal_chars") == 600
    replace(policy, "max_goal_chars", 10)
    client = new_lane(SIM_POLICY_FILE=write_policy(tmp_path / "p.json", policy)).client(mint())
    (shard,) = client.collect(client.job("0123456789abcdef")).json["shards"]
    assert shard["seed_meta"]["goal"] == "0123456789…"
    denied(client, {"goal": "harmless words first, then delete all"}, "bulk-destruction")


def find(value, name):
    if isinstance(value, dict):
        if name in value:
            return value[name]
        return next((f for f in (find(v, name) for v in value.values()) if f is not None), None)
    if isinstance(value, list):
        return next((f for f in (find(v, name) for v in value) if f is not None), None)
    return None


def replace(value, name, new):
    if isinstance(value, dict):
        for key in value:
            if key == name:
                value[key] = new
            else:
                replace(value[key], name, new)
    elif isinstance(value, list):
        for item in value:
            replace(item, name, new)


@pytest.mark.parametrize("change", ["unknown", "version", "pattern", "json", "missing", "duplicate"])
def test_a_broken_policy_file_stops_the_start(build, default_policy, tmp_path, keyring_text, change):
    import lane as lanes

    policy = json.loads(json.dumps(default_policy))
    text = None
    if change == "unknown":
        policy["surprise"] = 1
    elif change == "version":
        del policy["version"]
    elif change == "pattern":
        text = json.dumps(policy).replace(r"\\bproduction\\b", "(unclosed")
        assert "(unclosed" in text
    elif change == "json":
        text = "{"
    elif change == "duplicate":
        text = json.dumps(policy)[:-1] + ',"version":"x"}'
    path = tmp_path / "p.json"
    if change != "missing":
        path.write_text(text or json.dumps(policy))
    (tmp_path / "k.json").write_text(keyring_text)
    code, said = lanes.refused(
        build,
        tmp_path,
        {
            "SIM_LISTEN": "127.0.0.1:0",
            "SIM_KEYRING_FILE": tmp_path / "k.json",
            "DREAM_INBOX_DIR": tmp_path / "i",
            "SIM_POLICY_FILE": path,
        },
    )
    assert code == 2 and ("SIM_POLICY_FILE" in said or "p.json" in said), said


def test_policy_check_explains_what_the_answer_never_does(tool, build, tmp_path, default_policy):
    path = write_policy(tmp_path / "p.json", default_policy)
    tool("policy", "check", path)
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"goal": "delete all"}))
    import subprocess

    done = subprocess.run(
        [str(build / "simlane"), "policy", "check", str(path), str(seed)],
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert "bulk-destruction" in done.stdout


# ---- a policy that changed between schedule and collect


def test_a_job_is_screened_again_when_the_policy_has_changed(new_lane, mint, default_policy, tmp_path):
    policy = json.loads(json.dumps(default_policy))
    path = write_policy(tmp_path / "p.json", policy)
    lane = new_lane(SIM_POLICY_FILE=path)
    client = lane.client(mint())
    doomed, fine = client.job("paint the fence"), client.job("water the plants")

    text = (
        json.dumps(policy)
        .replace(r"\\b(exfiltrate|dump)\\b", r"\\b(exfiltrate|dump|paint)\\b")
        .replace("dataset|pii|secrets?", "dataset|pii|secrets?|fence")
    )
    changed = json.loads(text)
    changed["version"] = "changed-1"
    assert changed != policy
    write_policy(path, changed)
    import signal
    import lane as lanes

    lane.signal(signal.SIGHUP)
    lanes.wait_until(lambda: client.post("/schedule", {"seed": {"goal": "paint the fence"}}).status == 403, 5, "reload")

    answer = client.collect(doomed)
    assert (answer.status, answer.code) == (409, "job-failed")
    assert answer.json.get("rule", "exfiltration") == "exfiltration"
    job = client.get(f"/jobs/{doomed}").json
    assert job["status"] == "failed" and "exfiltration" in job.get("failure", "exfiltration")
    assert client.collect(doomed).code == "job-failed"
    cancelled = client.cancel(doomed)
    assert cancelled.json["status"] == "failed"
    assert client.collect(fine).status == 200
    assert len(lane.files()) == 1


def test_a_stepped_up_job_is_collected_with_a_plain_token(client, mint):
    """Step-up is asked of whoever schedules; the job carries on."""
    job_id = client.job("rotate keys", token=mint.stepped_up())
    assert client.collect(job_id).status == 200


def test_the_scope_names_are_the_contracts(client):
    assert set(tokens.SCOPES.values()) == {
        "consciousness.simulation.schedule",
        "consciousness.simulation.collect",
        "memory.inbox.dreams.write",
    }
