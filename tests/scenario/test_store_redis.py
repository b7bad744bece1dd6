"""Redis: its addresses, its refusals at the start, and what is in it."""
import concurrent.futures
import re
import time

import pytest

import engines as all_engines
import lane as lanes
import load as loads

KEY = "Idempotency-Key"
PREFIX = all_engines.PREFIX
SECRET = "correct-horse-battery-staple"


@pytest.fixture
def start_refused(build, tmp_path, keyring_text):
    """start_refused(url) -> what a daemon said that must not start with it."""

    def run(url, **settings):
        (tmp_path / "k.json").write_text(keyring_text)
        code, said = lanes.refused(
            build,
            tmp_path,
            {
                "SIM_LISTEN": "127.0.0.1:0",
                "SIM_KEYRING_FILE": tmp_path / "k.json",
                "DREAM_INBOX_DIR": tmp_path / "refused-inbox",
                "SIM_JOB_STORE": "redis",
                "REDIS_URL": url,
                **settings,
            },
        )
        assert code == 2, f"exit code {code}: {said}"
        faults = [line for line in said.strip().split("\n") if line.startswith("simlaned: ")]
        assert len(faults) == 1, f"one line that says why: {said}"
        assert SECRET not in said, f"the password is told: {said}"
        return faults[0]

    return run


def status_of(client, job_id):
    return client.get(f"/jobs/{job_id}").json["status"]


def goes_all_its_way(lane, token):
    client = lane.client(token)
    job_id = client.job()
    assert client.collect(job_id).status == 200
    assert status_of(client, job_id) == "complete"
    assert client.get("/health").json["store"] == "redis"
    assert client.get("/readyz").status == 200


# ---- addresses


def test_each_form_of_url_leads_to_its_redis_and_database(engines, new_lane, mint):
    tcp = engines.redis()
    host, port = tcp.address
    plain = engines.redis(unix=True)
    locked = engines.redis()
    locked("CONFIG", "SET", "requirepass", SECRET)
    locked.password = SECRET
    locked("ACL", "SETUSER", "lane", "on", ">p@ss:w/rd%" + SECRET, "~*", "&*", "+@all")
    at = f"127.0.0.1:{locked.address[1]}"
    six = engines.redis(bind="::1")
    forms = [
        (six, 0, f"redis://[::1]:{six.address[1]}"),
        (tcp, 0, f"redis://{host}:{port}"),
        (tcp, 0, f"redis://{host}:{port}/"),
        (tcp, 3, f"redis://localhost:{port}/3"),
        (plain, 0, f"unix://{plain.address}"),
        (plain, 5, f"unix://{plain.address}?db=5"),
        (locked, 0, f"redis://:{SECRET}@{at}"),
        (locked, 1, f"redis://default:{SECRET}@{at}/1"),
        (locked, 2, f"redis://lane:p%40ss%3Aw%2Frd%25{SECRET}@{at}/2"),
    ]
    for number, (server, db, url) in enumerate(forms):
        before = len(server.keys(db))
        lane = new_lane(at=f"lane{number}", SIM_JOB_STORE="redis", REDIS_URL=url)
        goes_all_its_way(lane, mint())
        lane.stop()
        assert len(server.keys(db)) > before, f"{url} did not lead to database {db}"
        assert SECRET not in lane.log(whole=True), f"{url}: the password is in the log"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1:6379",
        "redis://",
        "redis://:x@",
        f"redis://:{SECRET}@127.0.0.1:port",
        f"redis://:{SECRET}@127.0.0.1:99999",
        f"redis://:{SECRET}@127.0.0.1:6379/one",
        f"redis://:{SECRET}@127.0.0.1:6379/-1",
        f"redis://:{SECRET}%ZZ@127.0.0.1:6379",
        f"redis://u:{SECRET}@h@h:1",
        "unix://",
        "unix://relative/path",
        "unix:///tmp/s?db=x",
        "unix:///" + "p" * 200,
        "redis+sentinel://127.0.0.1:1",
        "redis+sentinel:///name",
        f"redis+sentinel://:{SECRET}@127.0.0.1:1,:2/name",
    ],
)
def test_a_url_that_is_none_stops_the_start_by_name(start_refused, url):
    assert "REDIS_URL" in start_refused(url)


def test_a_tls_url_works_or_is_refused_by_name(start_refused, engines):
    """hiredis 0.14 has no TLS."""
    said = start_refused(f"rediss://:{SECRET}@127.0.0.1:{all_engines.free_port()}")
    assert "TLS" in said or "rediss" in said


@pytest.mark.parametrize(
    "prefix", ["jobs:", "", "{}:", "{jobs:", "jobs}:", "}{:", "{a b}:", "{a\nb}:", "{" + "p" * 300 + "}:"]
)
def test_a_prefix_without_a_hash_tag_is_refused_by_name(start_refused, engines, prefix):
    redis = engines.redis(unix=True)
    assert "SIM_REDIS_PREFIX" in start_refused(redis.url, SIM_REDIS_PREFIX=prefix)
    assert redis.keys() == []


# ---- refused at the start


def test_a_wrong_password_is_told_and_never_shown(engines, start_refused):
    redis = engines.redis(requirepass="the-right-one")
    host, port = redis.address
    for user in ("", "default", "nobody"):
        said = start_refused(f"redis://{user}:{SECRET}@{host}:{port}")
        assert re.search("password|WRONGPASS|refused|authenticat", said, re.I), said
    said = start_refused(f"redis://{host}:{port}")
    assert re.search("password|NOAUTH|authenticat", said, re.I), said


def test_a_password_that_is_not_wanted_is_told(engines, start_refused):
    redis = engines.redis()
    said = start_refused("redis://somebody:%s@%s:%d" % (SECRET, *redis.address))
    assert re.search("password|WRONGPASS|ERR|user", said), said


@pytest.mark.parametrize(
    "rights",
    [
        ["~*", "&*", "+@all", "-evalsha", "-eval", "-script"],
        ["~other:*", "&*", "+@all"],
        ["~*", "resetchannels", "+@all"],
        ["~*", "&*", "+@read", "+ping", "+auth", "+hello", "+select", "+info", "+script", "+evalsha", "+eval"],
    ],
    ids=["no scripts", "no keys", "no channels", "read only"],
)
def test_a_user_without_the_rights_is_told_at_the_start(engines, start_refused, rights):
    redis = engines.redis()
    redis("ACL", "SETUSER", "weak", "on", ">" + SECRET, *rights)
    said = start_refused("redis://weak:%s@%s:%d" % (SECRET, *redis.address))
    assert re.search("NOPERM|permission|may not|right", said, re.I), said
    assert redis.keys() == [] or rights[0] != "~other:*"


def test_an_unknown_database_is_told(engines, start_refused):
    redis = engines.redis(databases=2)
    said = start_refused(redis.url + "/7")
    assert re.search("DB|database|7", said), said


def test_a_replica_is_no_place_for_jobs(engines, new_on, mint):
    """It may become a primary at any moment, so the daemon starts, says so, and waits."""
    primary = engines.redis()
    replica = engines.replica(primary)
    lane = new_on(replica)
    loads.away(lane, mint(), 0.5)
    lane.told("replica|READONLY|primary")
    assert primary.keys() == []
    replica("REPLICAOF", "NO", "ONE")
    loads.back(lane, mint())


def test_something_that_is_no_redis_is_told(lane, new_lane, mint):
    """The daemon of this file, say: it speaks HTTP."""
    confused = new_lane(SIM_JOB_STORE="redis", REDIS_URL="redis://%s:%d" % lane.address)
    loads.away(confused, mint(), 0.5)
    confused.told("redis|protocol")


# ---- not there


def test_a_redis_that_comes_later_is_found_without_a_restart(engines, new_on, mint):
    redis = engines.redis(started=False)
    begun = time.monotonic()
    lane = new_on(redis)
    assert time.monotonic() - begun < 3 * lanes.PATIENCE, "the start waited for the engine"
    loads.away(lane, mint(), 1.5)
    answer = lane.client(mint()).get("/jobs/JOB-0123456789ab")
    assert answer.status == 503, "not knowing is not 404"
    lane.told("store|redis", "127.0.0.1")
    redis.start()
    loads.back(lane, mint(), 4)


def test_a_redis_that_refuses_later_is_told_and_forgiven(engines, new_on, mint):
    """It restarts with a password; then without again."""
    redis = engines.durable()
    lane = new_on(redis)
    client = lane.client(mint())
    job = client.job()
    redis.kill()
    redis.password = SECRET
    redis.start(requirepass=SECRET)
    loads.away(lane, mint(), 1)
    lane.told("NOAUTH|password|authenticat")
    redis("CONFIG", "SET", "requirepass", "")
    redis.password = None
    loads.back(lane, mint(), 6)
    assert client.collect(job).status == 200


# ---- what is in it


KEY_FORMS = re.compile(r"(JOB-[0-9a-f]{12}:now|jobs|traces|keys|ends|ended|store)", re.ASCII)
MARKER = PREFIX + "store"
SPARE_MS = 60_000  # what is kept of many jobs may go that much after the last of them
EVIL = ["a:b", "*", "{x}", "../..", "%s%n", "k" * 200, "JOB-0123456789ab", "unfinished", "[a-z]", "'", '"', "\\"]


def check_keys(redis, ttl_ms):
    """Every key is of our forms and ends with its job; -> how many."""
    keys = redis.keys()
    with redis.talk() as talk:
        for key in keys:
            assert key.startswith(PREFIX) and KEY_FORMS.fullmatch(key[len(PREFIX) :]), f"a strange key: {key!r}"
            left = talk("PTTL", key)
            if key == MARKER:
                assert left == -1, f"{key} would go away in {left} ms"
            else:
                most = ttl_ms if key.endswith(":now") else ttl_ms + SPARE_MS
                assert left == -2 or 0 < left <= most, f"{key} lives {left} ms more"
    return len(keys)


def test_no_key_is_made_of_what_a_user_says_and_every_key_ends_with_its_job(
    engines, new_on, mint, default_policy, tmp_path
):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    for word in EVIL:
        token = mint(tenant=re.sub("[^A-Za-z0-9._-]", ".", word)[:64], sub=word, iss=word)
        client = lane.client(token)
        seed = {"goal": word, "ul_tags": [word], "constraints": {"flags": {word: word}}, "context": {word: word}}
        jobs = [client.job(seed=seed, ttl_ms=60_000, headers={KEY: word}) for _ in range(2)]
        assert jobs[0] == jobs[1]
        done, gone = client.job(seed=seed, ttl_ms=60_000), client.job(seed=seed, ttl_ms=60_000)
        assert client.collect(done).status == 200 and client.cancel(gone).status == 200
    assert check_keys(redis, 60_000) >= 2 * len(EVIL)


def test_the_end_of_a_job_stays_where_it_was_whatever_happens_to_it(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis, SIM_CLOCK_SKEW_S=0)
    client = lane.client(mint())
    ends = {}

    def look():
        for job in jobs:
            answer = client.get(f"/jobs/{job}").json
            assert answer["expires_ms"] - answer["created_ms"] == 60_000
            assert ends.setdefault(job, answer["expires_ms"]) == answer["expires_ms"], "the end has moved"
            end = redis("PEXPIRETIME", f"{PREFIX}{job}:now")
            assert end in (-2, ends[job]), f"{job} ends at {ends[job]}, its key at {end}"
        assert check_keys(redis, 60_000)

    client.collect(client.job(ttl_ms=60_000))
    jobs = [client.job(ttl_ms=60_000, headers={KEY: f"k{n}"}) for n in range(3)]
    look()
    client.cancel(jobs[0])
    client.collect(jobs[1])
    look()
    with lane.inbox_held() as let_go, concurrent.futures.ThreadPoolExecutor(1) as pool:
        expiry = int(time.time()) + 2
        waiting = pool.submit(client.collect, jobs[2], token=mint(exp=expiry))
        lanes.wait_until(lambda: status_of(client, jobs[2]) == "running", 5, "running")
        look()
        time.sleep(max(0, expiry - time.time()) + 0.1)
        let_go()
        assert waiting.result().status == 401
    look()
    assert client.collect(jobs[2]).status == 200
    look()


def test_nothing_is_left_when_all_jobs_have_ended(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    for n in range(60):
        job = client.job(ttl_ms=1000, headers={KEY: f"k{n}"})
        if n % 3 == 1:
            client.collect(job)
        elif n % 3 == 2:
            client.cancel(job)
    assert check_keys(redis, 1000) > 3
    time.sleep(1.1)
    lanes.wait_until(lambda: redis.keys() == [MARKER], 5, "nothing is left but the marker")
    lanes.wait_until(lambda: client.depth() == 0, 2, "the depth is 0")


def test_two_prefixes_are_two_stores(engines, new_on, mint):
    redis = engines.redis(unix=True)
    first = new_on(redis).client(mint())
    second = new_on(redis, at="second", SIM_REDIS_PREFIX="a{b}c:").client(mint())
    job = first.job(headers={KEY: "k"})
    assert second.get(f"/jobs/{job}").status == 404
    assert second.job(headers={KEY: "k"}) != job
    assert {key.split("}")[0] for key in redis.keys()} == {"{lukhas:sim:jobs", "a{b"}


def test_all_channels_begin_with_the_prefix(engines, new_on, mint):
    redis = engines.redis(unix=True)
    lane = new_on(redis)
    client = lane.client(mint())
    with redis.talk() as talk:
        talk("PSUBSCRIBE", "*")
        for _ in range(5):
            client.collect(client.job())
            client.cancel(client.job())
        heard = [talk.reply() for _ in range(5)]
    for _, _, channel, _ in heard:
        assert channel.decode().startswith(PREFIX)
