"""Capability tokens: what opens the door, and all that does not."""
import time

import pytest

import lane as lanes
import tokens

FORMS = ("paseto", "jwt")
SEED = {"seed": {"goal": "g"}}


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def make(key, form, payload, **kw):
    return key.jwt(payload, **kw) if form == "jwt" else key.paseto(payload, **kw)


def invalid(client, token, expired=False):
    answer = client.post("/schedule", SEED, token=token)
    assert (answer.status, answer.code) == (401, "invalid-token"), answer
    challenge = answer.header("WWW-Authenticate")
    assert challenge.startswith('Bearer realm="simlane", error="invalid_token"')
    told = (answer.body.decode() + challenge).lower()
    assert ("expired" in told) == expired
    for word in ("signature", "audience", "revoked", "not yet", "unknown key", "kid"):
        assert word not in told, f"the client is told about {word}"
    return answer


def test_both_forms_open_the_door(client, mint, form):
    assert client.post("/schedule", SEED, token=mint(form=form)).status == 202


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_compared_without_case(lane, mint, scheme):
    client = lane.client()
    answer = client.post("/schedule", SEED, token=None, headers={"Authorization": f"{scheme} {mint()}"})
    assert answer.status == 202


def test_scopes_come_as_a_string_or_as_an_array(client, key, form):
    scopes = [tokens.SCOPES["collect"], tokens.SCOPES["schedule"], "something.else"]
    for members in ({"scope": " ".join(scopes)}, {"scope": None, "scopes": scopes}):
        assert client.post("/schedule", SEED, token=make(key, form, tokens.claims(form, **members))).status == 202


def test_no_scopes_at_all_open_nothing(client, key, form):
    for members in (
        {"scope": None},
        {"scope": ""},
        {"scope": None, "scopes": []},
        {"scope": "Consciousness.Simulation.Schedule"},
    ):
        answer = client.post("/schedule", SEED, token=make(key, form, tokens.claims(form, **members)))
        assert answer.status in (401, 403) and answer.code in ("insufficient-scope", "invalid-token")


@pytest.mark.parametrize(
    "members",
    [
        {"scope": 5},
        {"scope": ["a"]},
        {"scope": None, "scopes": "consciousness.simulation.schedule"},
        {"scope": None, "scopes": [5]},
        {"scope": None, "scopes": {}},
    ],
)
def test_scopes_of_another_type_are_refused(client, key, form, members):
    invalid(client, make(key, form, tokens.claims(form, **members)))


@pytest.mark.parametrize("missing", ["iss", "sub", "jti", "exp"])
def test_the_required_claims_are_required(client, key, form, missing):
    invalid(client, make(key, form, tokens.claims(form, **{missing: None})))


@pytest.mark.parametrize("name", ["iss", "sub", "jti"])
@pytest.mark.parametrize("value", ["", "x" * 257, "a\nb", "a\tb", "a\x7fb", "a\u0085b", 5, ["a"], {}, True])
def test_names_are_1_to_256_printable_characters(client, key, form, name, value):
    invalid(client, make(key, form, tokens.claims(form, **{name: value})))


def test_the_longest_names_are_fine(client, key, form):
    payload = tokens.claims(form, iss="i" * 256, sub="s" * 256, jti="j" * 256, tenant="t" * 64)
    assert client.post("/schedule", SEED, token=make(key, form, payload)).status == 202


@pytest.mark.parametrize("tenant", ["", "t" * 65, "a b", "a/b", "é", "a\n", 5, []])
def test_a_tenant_of_another_form_is_refused(client, key, form, tenant):
    invalid(client, make(key, form, tokens.claims(form, tenant=tenant)))


# ---- times


def test_an_expired_token_is_told_so(client, mint, form):
    invalid(client, mint(form=form, exp=time.time() - 40), expired=True)
    invalid(client, mint(form=form, exp=time.time() - 10 * 365 * 86400), expired=True)


def test_the_skew_is_allowed_both_ways(client, mint, form):
    assert client.post("/schedule", SEED, token=mint(form=form, exp=time.time() - 20)).status == 202
    assert client.post("/schedule", SEED, token=mint(form=form, nbf=time.time() + 20)).status == 202


def test_not_yet_valid(client, mint, form):
    invalid(client, mint(form=form, nbf=time.time() + 60))


def test_the_skew_is_a_setting(new_lane, mint, form):
    client = new_lane(SIM_CLOCK_SKEW_S=0).client()
    invalid(client, mint(form=form, exp=time.time() - 2), expired=True)
    invalid(client, mint(form=form, nbf=time.time() + 30))


def test_a_token_expires_for_the_cache_as_well(new_lane, mint, form):
    client = new_lane(SIM_CLOCK_SKEW_S=0).client()
    token = mint(form=form, exp=int(time.time()) + 2)
    assert client.post("/schedule", SEED, token=token).status == 202
    end = time.time() + 5
    while client.post("/schedule", SEED, token=token).status == 202:
        assert time.time() < end, "an expired token still opens"
        time.sleep(0.05)
    invalid(client, token, expired=True)


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "2030-01-01",
        "2030-01-01T00:00:00",
        "2030-13-01T00:00:00Z",
        "",
        True,
        None,
        [],
        {},
        "1893456000",
        "2030-02-30T00:00:00Z",
    ],
)
def test_a_time_of_another_form_is_refused(client, key, value):
    payload = tokens.claims("paseto")
    payload["exp"] = value
    invalid(client, key.paseto(payload))
    payload = tokens.claims("jwt")
    payload["exp"] = value
    invalid(client, key.jwt(payload))


def test_each_form_has_its_own_kind_of_times(client, key):
    invalid(client, key.paseto(tokens.claims("jwt")))
    invalid(client, key.jwt(tokens.claims("paseto")))
    for exp in (-1, -1e300, b"1e400"):
        payload = tokens.claims("jwt")
        text = tokens.compact({**payload, "exp": "@"}).replace(
            b'"@"', exp if isinstance(exp, bytes) else str(exp).encode()
        )
        answer = client.post("/schedule", SEED, token=key.jwt(text))
        assert answer.code == "invalid-token"


@pytest.mark.parametrize("exp", ["2099-01-01T00:00:00Z", "2099-01-01T00:00:00.123Z", "2099-01-01T02:00:00+02:00"])
def test_rfc3339_is_read_with_fraction_and_offset(client, key, exp):
    payload = tokens.claims("paseto")
    payload["exp"] = exp
    assert client.post("/schedule", SEED, token=key.paseto(payload)).status == 202


# ---- audience


def test_the_audience_must_hold_ours(new_lane, mint, form):
    client = new_lane(SIM_TOKEN_AUDIENCE="simlane-test").client()
    for aud in ("simlane-test", ["other", "simlane-test"]):
        assert client.post("/schedule", SEED, token=mint(form=form, aud=aud)).status == 202
    for aud in (None, "other", [], ["other"], "simlane-test2", ["simlane"], 5, "Simlane-Test", [["simlane-test"]]):
        invalid(client, mint(form=form, aud=aud))


def test_without_a_setting_the_audience_is_not_looked_at(client, mint, form):
    assert client.post("/schedule", SEED, token=mint(form=form, aud="anybody")).status == 202


# ---- keys and signatures


def test_another_key_with_our_kid_opens_nothing(client, form):
    forged = tokens.Key("scenario")
    invalid(client, tokens.Minter(forged)(form=form))


def test_an_unknown_kid_opens_nothing(client, key, form):
    payload = tokens.claims(form)
    if form == "jwt":
        token = key.jwt(payload, {"alg": "EdDSA", "kid": "other"})
    else:
        token = key.paseto(payload, b'{"kid":"other"}')
    invalid(client, token)


def test_every_flipped_bit_is_noticed(client, mint, form):
    token = mint(form=form)
    for at in range(12, len(token) - 1, 23):
        for bit in (1, 2):
            flipped = token[:at] + chr(ord(token[at]) ^ bit) + token[at + 1 :]
            answer = client.post("/schedule", SEED, token=flipped)
            assert answer.status in (400, 401), f"a token changed at {at} opens"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "v4.public.",
        "v4.public.AAAA",
        "v4.local.AAAA",
        "v3.public.AAAA",
        "a.b.c",
        "..",
        ".",
        "v4.public..",
        "eyJhbGciOiJub25lIn0.e30.",
        "v4.public.AAAA.AAAA.AAAA",
        "A" * 4096,
        "A" * 5000,
        "v4.public." + "A" * 6000,
        "a.b.c.d.e",
        '"quoted"',
        "token with spaces",
        "=",
        "v4.public.====",
    ],
    ids=range(20),
)
def test_what_is_no_token_is_refused(client, token):
    answer = client.post("/schedule", SEED, token=None, headers={"Authorization": f"Bearer {token}"})
    assert answer.status in (400, 401)
    assert answer.code in ("bad-request", "invalid-token", "missing-token")


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Token abc", "abc", "", "Bearerabc"])
def test_other_credentials_open_nothing(client, value):
    answer = client.post("/schedule", SEED, token=None, headers={"Authorization": value})
    assert answer.status in (400, 401)


def test_a_token_of_4_kib_is_read_and_a_longer_one_not(client, key):
    def sized(size):
        for pad in range(size):
            token = key.paseto({**tokens.claims("paseto"), "pad": "p" * pad})
            if len(token) >= size:
                return token
        raise AssertionError

    start = len(key.paseto(tokens.claims("paseto")))
    pads = range(max(0, (4096 - start) * 3 // 4 - 40), 4096)
    inside = outside = None
    for pad in pads:
        token = key.paseto({**tokens.claims("paseto"), "pad": "p" * pad})
        if len(token) <= 4096:
            inside = token
        else:
            outside = token
            break
    assert client.post("/schedule", SEED, token=inside).status == 202
    invalid(client, outside)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "scenario"},
        {"alg": "None", "kid": "scenario"},
        {"alg": "HS256", "kid": "scenario"},
        {"alg": "eddsa", "kid": "scenario"},
        {"alg": "ES256", "kid": "scenario"},
        {"alg": "Ed448", "kid": "scenario"},
        {"kid": "scenario"},
        {"alg": None, "kid": "scenario"},
        {"alg": ["EdDSA"], "kid": "scenario"},
        {"alg": "EdDSA"},
        {"alg": "EdDSA", "kid": 5},
        {"alg": "EdDSA", "kid": None},
        {"alg": "EdDSA", "kid": ""},
        {"alg": "EdDSA", "kid": "scenario", "crit": ["exp"]},
        {"alg": "EdDSA", "kid": "scenario", "crit": []},
        {"alg": "EdDSA", "kid": "scenario", "b64": False, "crit": ["b64"]},
        {"alg": "EdDSA", "kid": "scenario", "typ": "JOSE"},
        {"alg": "EdDSA", "kid": "scenario", "typ": "id+jwt"},
        {"alg": "EdDSA", "kid": "scenario", "typ": 5},
        b'{"alg":"EdDSA","kid":"scenario","kid":"scenario"}',
        b'{"alg":"none","alg":"EdDSA","kid":"scenario"}',
        b"[]",
        b"{",
        b"",
    ],
)
def test_other_jwt_headers_are_refused(client, key, header):
    invalid(client, key.jwt(tokens.claims("jwt"), header))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "EdDSA", "kid": "scenario"},
        {"alg": "Ed25519", "kid": "scenario", "typ": "JWT"},
        {"alg": "EdDSA", "kid": "scenario", "typ": "at+jwt"},
    ],
)
def test_these_jwt_headers_are_accepted(client, key, header):
    assert client.post("/schedule", SEED, token=key.jwt(tokens.claims("jwt"), header)).status == 202


def test_the_key_never_comes_from_the_token(client):
    forger = tokens.Key("mine")
    for extra in ({"jwk": forger.jwk()}, {"jku": "http://127.0.0.1:1/k"}, {"x5c": ["AAAA"]}):
        for kid in ("mine", "scenario"):
            invalid(client, forger.jwt(tokens.claims("jwt"), {"alg": "EdDSA", "kid": kid, **extra}))


@pytest.mark.parametrize(
    "footer", [b"", b"scenario", b"{", b"[]", b"{}", b'{"kid":5}', b'{"kid":"scenario","kid":"scenario"}']
)
def test_other_paseto_footers_are_refused(client, key, footer):
    invalid(client, key.paseto(tokens.claims("paseto"), footer))


def test_a_footer_that_was_changed_is_noticed(client, key):
    token = key.paseto(tokens.claims("paseto"))
    head = token.rsplit(".", 1)[0]
    invalid(client, head + "." + tokens.b64(b'{"kid":"scenario" }'))


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe"])
def test_other_payloads_are_refused(client, key, form, payload):
    invalid(client, make(key, form, payload))


def test_duplicate_members_are_refused(client, key, form):
    text = tokens.compact(tokens.claims(form))
    invalid(client, make(key, form, text[:-1] + b',"sub":"admin"}'))
    invalid(client, make(key, form, text[:-1] + b',"x":{"a":1,"a":2}}'))
    invalid(client, make(key, form, text[:-1] + b',"s\\u0075b":"admin"}'))


def test_loose_base64_is_refused(client, mint, form):
    token = mint(form=form)
    parts = token.split(".")
    at = 2 if form == "paseto" else 1
    for changed in (
        parts[at] + "=",
        parts[at][:10] + " " + parts[at][10:],
        parts[at] + "A",
        parts[at][:-1] + "+",
        "=" + parts[at],
    ):
        answer = client.post("/schedule", SEED, token=".".join(parts[:at] + [changed] + parts[at + 1 :]))
        assert answer.status in (400, 401)


def test_unknown_claims_are_ignored(client, key, form):
    payload = {**tokens.claims(form), "roles": ["admin"], "nonce": {"deep": [1, 2, {"x": None}]}}
    assert client.post("/schedule", SEED, token=make(key, form, payload)).status == 202


def test_the_reason_is_in_the_log_and_not_in_the_answer(lane, client, mint):
    token = mint()
    broken = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    answer = invalid(client, broken)
    assert "bad-signature" in str(lane.request_logged(answer.header("X-Trace-Id")))


# ---- tenants


def test_a_tenant_sees_only_its_own(lane, client, mint):
    job_id = client.job(token=mint(tenant="blue"))
    green = lane.client(mint(tenant="green"))
    for answer in (green.collect(job_id), green.cancel(job_id), green.get(f"/jobs/{job_id}")):
        other = green.collect("JOB-0123456789ab")
        assert answer.status == 404
        assert {**answer.json, "trace_id": ""} == {**other.json, "trace_id": ""}, "another tenant's job looks different"
    default = lane.client(mint())
    assert default.collect(job_id).status == 404
    assert lane.client(mint(tenant="blue", sub="colleague")).collect(job_id).status == 200


def test_a_document_names_its_tenant(lane, client, mint):
    token = mint(tenant="blue")
    collected = client.collect(client.job(token=token), token=token).json
    assert lane.document(collected["trace_id"])["tenant"] == "blue"


# ---- what a key may


@pytest.fixture
def keyed_lane(build, tmp_path, contract):
    """A daemon whose keys are limited each in their own way."""
    keys = {name: tokens.Key(name) for name in ("plain", "narrow", "blue", "issuer", "acr")}
    text = tokens.keyring(
        keys["plain"].jwk(),
        keys["narrow"].jwk(simlane_scopes=[tokens.SCOPES["schedule"]]),
        keys["blue"].jwk(simlane_tenants=["blue", "green"]),
        keys["issuer"].jwk(simlane_iss="the-issuer"),
        keys["acr"].jwk(simlane_acr=["gtpsi"]),
    )
    lane = lanes.make(build, tmp_path / "keyed", contract, text, {}).start()
    yield lane, {name: tokens.Minter(key) for name, key in keys.items()}
    lane.stop()


def test_a_key_gives_no_more_than_it_may(keyed_lane, form):
    lane, mints = keyed_lane
    client = lane.client()
    assert client.post("/schedule", SEED, token=mints["plain"](form=form)).status == 202
    invalid(client, mints["plain"](form=form, tenant="blue"))
    assert client.post("/schedule", SEED, token=mints["plain"](form=form, tenant="default")).status == 202

    assert client.post("/schedule", SEED, token=mints["narrow"](form=form)).status == 202
    answer = client.collect("JOB-0123456789ab", token=mints["narrow"](form=form))
    assert sorted(answer.json["missing_scopes"]) == sorted([tokens.SCOPES["collect"], tokens.SCOPES["inbox"]])

    for tenant in ("blue", "green"):
        assert client.post("/schedule", SEED, token=mints["blue"](form=form, tenant=tenant)).status == 202
    invalid(client, mints["blue"](form=form, tenant="red"))
    invalid(client, mints["blue"](form=form))

    assert client.post("/schedule", SEED, token=mints["issuer"](form=form, iss="the-issuer")).status == 202
    invalid(client, mints["issuer"](form=form, iss="another"))

    privileged = {"seed": {"goal": "deploy to production"}}
    assert client.post("/schedule", privileged, token=mints["acr"].stepped_up(form=form)).status == 202
    answer = client.post("/schedule", privileged, token=mints["plain"].stepped_up(form=form))
    assert answer.status == 401 and answer.code in ("invalid-token", "step-up-required")


# ---- revocation


def test_revoked_tokens_subjects_and_keys(build, tmp_path, contract):
    good, gone = tokens.Key("good"), tokens.Key("gone")
    revoked = tmp_path / "revoked"
    revoked.write_text("# comment\n\nbad-jti\nsub:bad sub\nkid:gone\n")
    lane = lanes.make(
        build, tmp_path / "lane", contract, tokens.keyring(good.jwk(), gone.jwk()), {"SIM_REVOKED_FILE": revoked}
    ).start()
    client = lane.client()
    mint = tokens.Minter(good)
    assert client.post("/schedule", SEED, token=mint()).status == 202
    invalid(client, mint(jti="bad-jti"))
    invalid(client, mint(sub="bad sub"))
    invalid(client, tokens.Minter(gone)())
    assert client.post("/schedule", SEED, token=mint(jti="bad-jti2", sub="bad")).status == 202
    lane.stop()


# ---- the tool


@pytest.mark.parametrize("flag", [[], ["--format", "paseto"], ["--format", "jwt"]])
def test_a_token_that_the_tool_minted_opens_the_door(tool, new_lane, tmp_path, flag):
    key, ring = tmp_path / "key", tmp_path / "ring.json"
    tool("keygen", "--key", key, "--keyring", ring)
    assert key.stat().st_mode & 0o777 == 0o600
    assert '"d"' not in ring.read_text()
    client = new_lane(SIM_KEYRING_FILE=ring).client()
    token = tool("token", "mint", "--key", key, "--ttl", "5m", "--scope", "schedule", *flag)
    assert client.post("/schedule", SEED, token=token).status == 202
    answer = client.collect("JOB-0123456789ab", token=token)
    assert sorted(answer.json["missing_scopes"]) == sorted([tokens.SCOPES["collect"], tokens.SCOPES["inbox"]])


def test_the_tools_key_may_be_given_tenants_and_step_up(tool, new_lane, tmp_path):
    key, ring = tmp_path / "key", tmp_path / "ring.json"
    tool("keygen", "--key", key, "--keyring", ring, "--tenant", "*", "--acr", "gtpsi", "--kid", "k2")
    lane = new_lane(SIM_KEYRING_FILE=ring, SIM_TOKEN_AUDIENCE="here")
    token = tool(
        "token",
        "mint",
        "--key",
        key,
        "--scope",
        "schedule",
        "--tenant",
        "blue",
        "--sub",
        "somebody",
        "--aud",
        "here",
        "--acr",
        "gtpsi",
        "--auth-time",
        "now",
    )
    answer = lane.client(token).post("/schedule", {"seed": {"goal": "rotate keys"}})
    assert answer.status == 202
    event = lane.request_logged(answer.header("X-Trace-Id"))
    assert (event["subject"], event["tenant"]) == ("somebody", "blue")
    inspected = tool("token", "inspect", input=token)
    assert "somebody" in inspected and "blue" in inspected
