"""The network between a daemon and its Redis is cut: packets vanish, nobody says so."""
import concurrent.futures
import time

import pytest

import engines as all_engines
import lane as lanes
import load as loads

TIMEOUT_MS = 3000
JOBS = 300 if lanes.SANITIZE else 1200


@pytest.fixture
def net():
    with all_engines.network() as made:
        yield made


def test_a_cut_of_some_seconds_loses_nothing_and_hangs_nobody(net, engines, new_lane, mint):
    """The daemon is in one namespace, Redis in another; clients come over a Unix socket."""
    directory = engines.directory()
    redis = engines.redis(
        wrap=net.far_wrap(),
        port=6379,
        bind=net.FAR,
        unixsocket=str(directory / "redis"),
        appendonly="yes",
        appendfsync="always",
    )
    lane = new_lane(
        wrap=net.near_wrap(),
        SIM_LISTEN=f"unix:{directory}/lane",
        SIM_JOB_STORE="redis",
        REDIS_URL=f"redis://{net.FAR}:6379",
        SIM_REQUEST_TIMEOUT_MS=TIMEOUT_MS,
    )
    token = mint()
    loads.back(lane, token)
    with loads.Load([lane], token, limit=JOBS) as load:
        load.wait(JOBS // 4)
        net.cut()
        begun = time.monotonic()
        time.sleep(1.5)
        loads.away(lane, token, 2.5)
        end = time.monotonic()
        net.mend()
        load.wait(JOBS // 4)
    load.judge_times(TIMEOUT_MS, (begun, end))
    loads.back(lane, token)
    loads.one_job_a_key(load, lane.client(token))
    found, running = loads.collect_all([lane], token, load.acknowledged)
    assert not running and len(found) == len(load.acknowledged)
    loads.written_once(lane, load.acknowledged, found, strangers=True)
    assert redis.info("server", "redis_version")


def test_a_cut_before_the_start_is_no_reason_not_to_start(net, engines, new_lane, mint):
    directory = engines.directory()
    engines.redis(wrap=net.far_wrap(), port=6379, bind=net.FAR, unixsocket=str(directory / "redis"))
    net.cut()
    begun = time.monotonic()
    lane = new_lane(
        wrap=net.near_wrap(),
        SIM_LISTEN=f"unix:{directory}/lane",
        SIM_JOB_STORE="redis",
        REDIS_URL=f"redis://{net.FAR}:6379",
    )
    assert time.monotonic() - begun < 3 * lanes.PATIENCE, "the start waited for the network"
    loads.away(lane, mint(), 1)
    net.mend()
    loads.back(lane, mint(), 6)


def test_a_wait_over_a_cut_is_answered_when_the_network_is_back(net, engines, new_lane, mint, tmp_path):
    """Another daemon, beside Redis, collects during the cut; the waiter hears of it afterwards."""
    directory = engines.directory()
    engines.redis(wrap=net.far_wrap(), port=6379, bind=net.FAR, unixsocket=str(directory / "redis"))
    shared = {"SIM_JOB_STORE": "redis", "DREAM_INBOX_DIR": tmp_path / "inbox", "SIM_REQUEST_TIMEOUT_MS": 20000}
    near = new_lane(
        at="near",
        wrap=net.near_wrap(),
        SIM_LISTEN=f"unix:{directory}/near",
        REDIS_URL=f"redis://{net.FAR}:6379",
        **shared,
    ).client(mint())
    beside = new_lane(at="beside", REDIS_URL=f"unix://{directory}/redis", **shared)
    far = beside.client(mint())
    far.collect(far.job())
    job_id = near.job()
    with beside.inbox_held() as let_go, concurrent.futures.ThreadPoolExecutor(2) as pool:
        collecting = pool.submit(far.collect, job_id)
        lanes.wait_until(lambda: near.get(f"/jobs/{job_id}").json["status"] == "running", 5, "the job is begun")
        waiting = pool.submit(near.collect, job_id, headers={"Prefer": "wait=30"})
        time.sleep(0.3)
        net.cut()
        let_go()
        collected = collecting.result()
        assert collected.status == 200
        time.sleep(2.5)
        assert not waiting.done() or waiting.result().status == 503
        net.mend()
        begun = time.monotonic()
        answer = waiting.result()
        assert answer.status == 503 or answer.body == collected.body
        assert time.monotonic() - begun < 6 * lanes.PATIENCE, "woken late"


def test_a_name_server_that_does_not_answer_hangs_nobody(net, engines, new_lane, mint):
    """The name of the Redis is known, then no more: asking for it takes as long as the resolver likes."""
    directory = engines.directory()
    engines.redis(wrap=net.far_wrap(), port=6379, bind=net.FAR, unixsocket=str(directory / "redis"))
    hosts, resolver = directory / "hosts", directory / "resolv.conf"
    hosts.write_text(f"{net.FAR} redis.lane.test\n")
    resolver.write_text(f"nameserver {net.FAR}\noptions timeout:5 attempts:2\n")
    mounts = f'mount --bind {hosts} /etc/hosts && mount --bind {resolver} /etc/resolv.conf && exec "$@"'
    lane = new_lane(
        wrap=[*net.near_wrap(), "sh", "-c", mounts, "sh"],
        SIM_LISTEN=f"unix:{directory}/lane",
        SIM_JOB_STORE="redis",
        REDIS_URL="redis://redis.lane.test:6379",
    )
    token = mint()
    loads.back(lane, token)
    hosts.write_text("")
    net.cut()
    loads.away(lane, token, 6)
    hosts.write_text(f"{net.FAR} redis.lane.test\n")
    net.mend()
    loads.back(lane, token, 12)
    lane.stop()
