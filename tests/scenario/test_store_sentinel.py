"""Fail-over through Sentinel, without a restart: three Sentinels, a primary, two replicas, real kills."""
import time

import pytest

import engines as all_engines
import lane as lanes
import load as loads

NAME = "lane-jobs"
SECRET = "correct-horse-battery-staple"
TIMEOUT_MS = 3000
JOBS = 300 if lanes.SANITIZE else 1500


@pytest.fixture
def cluster(engines):
    """primary, replicas, Sentinels; a primary without a replica takes no writes."""
    primary = engines.redis(min_replicas_to_write=1, min_replicas_max_lag=2)
    replicas = [engines.replica(primary, min_replicas_to_write=1, min_replicas_max_lag=2) for _ in range(2)]
    sentinels = engines.sentinels(NAME, primary)
    return primary, replicas, sentinels


def url_of(sentinels, userinfo="", path=NAME):
    hosts = ",".join("127.0.0.1:%d" % s.address[1] for s in sentinels)
    return f"redis+sentinel://{userinfo}{hosts}/{path}"


def primary_of(sentinels):
    """The port that most Sentinels name."""
    ports = [int(s("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1]) for s in sentinels]
    return max(set(ports), key=ports.count)


def calm(pair, token):
    """Sentinels move replicas about for a while: until both daemons have been ready for two seconds."""
    clients = [lane.client(token) for lane in pair]
    since = time.monotonic()

    def look():
        nonlocal since
        if any(client.get("/readyz").status != 200 for client in clients):
            since = time.monotonic()
        time.sleep(0.05)
        return time.monotonic() - since > 2

    lanes.wait_until(look, 30, "two seconds of readiness")


def follows(server):
    try:
        return server.info("replication", "role") == "slave"
    except OSError:  # it hangs up on everybody when it becomes one
        return False


@pytest.fixture
def new_pair(new_lane, tmp_path):
    def start(sentinels, **settings):
        shared = {
            "SIM_JOB_STORE": "redis",
            "REDIS_URL": url_of(sentinels),
            "SIM_REDIS_WAIT_REPLICAS": 1,
            "SIM_REQUEST_TIMEOUT_MS": TIMEOUT_MS,
            "DREAM_INBOX_DIR": tmp_path / "inbox",
            **settings,
        }
        return [new_lane(at=name, **shared) for name in ("first", "second")]

    return start


def judged(load, pair, token, away):
    """Every acknowledged job is there, one a key, and collects exactly once."""
    load.judge_times(TIMEOUT_MS, away)
    loads.one_job_a_key(load, pair[0].client(token))
    found, running = loads.collect_all(pair, token, load.acknowledged)
    assert not running and len(found) == len(load.acknowledged)
    loads.written_once(pair[0], load.acknowledged, found)
    for lane in pair:
        loads.back(lane, token)


def test_kill_9_of_the_primary_loses_nothing_that_was_acknowledged(cluster, new_pair, mint):
    primary, _, sentinels = cluster
    pair = new_pair(sentinels)
    token = mint()
    with loads.Load(pair, token, limit=JOBS, patience_s=30) as load:
        load.wait(JOBS // 3)
        old = primary_of(sentinels)
        primary.kill()
        begun = time.monotonic()
        time.sleep(0.2)
        loads.away(pair[1], token, 0.2)
        lanes.wait_until(lambda: primary_of(sentinels) != old, 20, "a replica is the primary now")
        load.wait(20, 20)
        end = time.monotonic()
        primary.start()  # it comes back, thinks itself the primary, and is told otherwise
        load.wait(JOBS // 3, 30)
    print(f"fail-over: {end - begun:.1f} s until 20 more jobs were acknowledged")
    judged(load, pair, token, (begun, end))
    lanes.wait_until(lambda: follows(primary), 15, "the old primary follows")


def test_a_fail_over_that_an_operator_asks_for_loses_nothing(cluster, new_pair, mint):
    """The old primary lives on for a while and still has the other replica: every replica must have confirmed."""
    _, _, sentinels = cluster
    pair = new_pair(sentinels, SIM_REDIS_WAIT_REPLICAS=2)
    token = mint()
    with loads.Load(pair, token, limit=JOBS, patience_s=30) as load:
        load.wait(JOBS // 4)
        old = primary_of(sentinels)
        begun = time.monotonic()
        sentinels[0]("SENTINEL", "FAILOVER", NAME)
        lanes.wait_until(lambda: primary_of(sentinels) != old, 20, "another is the primary now")
        load.wait(JOBS // 4, 30)
        end = time.monotonic()
    calm(pair, token)
    judged(load, pair, token, None)
    print(f"asked for: {end - begun:.1f} s")


def test_some_sentinels_may_be_gone(cluster, new_pair, mint):
    """Of those that the URL names, the first is dead and the second hangs: the third will do."""
    primary, _, sentinels = cluster
    sentinels[0].kill()
    sentinels[1].pause()
    begun = time.monotonic()
    pair = new_pair(sentinels)
    loads.ready(pair[0], mint(), 6)
    assert time.monotonic() - begun < 8 * lanes.PATIENCE
    client = pair[0].client(mint())
    assert client.collect(client.job()).status == 200
    for sentinel in sentinels[1:]:
        sentinel.kill()
    assert client.collect(client.job()).status == 200, "a connection that is there needs no Sentinel"
    primary("CLIENT", "KILL", "TYPE", "normal")
    loads.away(pair[0], mint(), 1)
    sentinels[2].start()
    loads.back(pair[0], mint(), 6)


def test_sentinels_that_come_later_are_found(engines, new_pair, mint):
    ports = [all_engines.free_port() for _ in range(2)]

    class Nobody:
        def __init__(self, port):
            self.address = ("127.0.0.1", port)

    pair = new_pair([Nobody(port) for port in ports], SIM_REDIS_WAIT_REPLICAS=0)
    loads.away(pair[0], mint(), 0.5)
    primary = engines.redis()
    directory = engines.directory()
    late = all_engines.Server(
        directory,
        {
            "port": ports[1],
            "bind": "127.0.0.1",
            "dir": directory,
            "protected-mode": "no",
            "sentinel": f"monitor {NAME} 127.0.0.1 {primary.address[1]} 1",
        },
        role="redis-sentinel",
    )
    engines.made.append(late)
    late.start()
    for lane in pair:
        loads.back(lane, mint(), 6)


def test_the_password_is_for_the_redis_and_is_never_shown(engines, new_pair, mint):
    primary = engines.redis(requirepass=SECRET, masterauth=SECRET)
    directory = engines.directory()
    sentinel = all_engines.Server(
        directory,
        {
            "port": all_engines.free_port(),
            "bind": "127.0.0.1",
            "dir": directory,
            "protected-mode": "no",
            "sentinel": [f"monitor {NAME} 127.0.0.1 {primary.address[1]} 1", f"auth-pass {NAME} {SECRET}"],
        },
        role="redis-sentinel",
    )
    engines.made.append(sentinel)
    sentinel.start()
    pair = new_pair([sentinel], REDIS_URL=url_of([sentinel], f":{SECRET}@", f"{NAME}/1"), SIM_REDIS_WAIT_REPLICAS=0)
    for lane in pair:
        loads.back(lane, mint())
        lane.stop()
        assert SECRET not in lane.log(whole=True)
    primary.password = SECRET
    assert primary.keys(1) and not primary.keys(0)


def test_sentinels_that_speak_of_hosts_by_name(engines, new_pair, mint):
    """As docker/compose.yaml has them."""
    primary = engines.redis()
    directory = engines.directory()
    sentinel = all_engines.Server(
        directory,
        {
            "port": all_engines.free_port(),
            "bind": "127.0.0.1",
            "dir": directory,
            "protected-mode": "no",
            "sentinel": [
                "resolve-hostnames yes",
                "announce-hostnames yes",
                f"monitor {NAME} localhost {primary.address[1]} 1",
            ],
        },
        role="redis-sentinel",
    )
    engines.made.append(sentinel)
    sentinel.start()
    url = f"redis+sentinel://localhost:{sentinel.address[1]}/{NAME}/0"
    for lane in new_pair([sentinel], REDIS_URL=url, SIM_REDIS_WAIT_REPLICAS=0):
        loads.back(lane, mint())


def test_a_name_that_the_sentinels_do_not_know_is_told(cluster, build, tmp_path, keyring_text):
    """Nobody comes by waiting: refused at the start, or not ready with a line that names it."""
    _, _, sentinels = cluster
    (tmp_path / "k.json").write_text(keyring_text)
    code, said = lanes.refused(
        build,
        tmp_path,
        {
            "SIM_LISTEN": "127.0.0.1:0",
            "SIM_KEYRING_FILE": tmp_path / "k.json",
            "DREAM_INBOX_DIR": tmp_path / "refused-inbox",
            "SIM_JOB_STORE": "redis",
            "REDIS_URL": url_of(sentinels, path="unknown"),
        },
    )
    assert code == 2 and "unknown" in said, said
