"""Fixtures of the scenario tests: a daemon, keys, tokens, clients.

SIMLANE_BUILD names the build directory (default: build in the repository).
"""
import json
import os
import pathlib
import subprocess

import pytest

import contract as contracts
import engines as all_engines
import lane as lanes
import tokens

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def build():
    directory = pathlib.Path(os.environ.get("SIMLANE_BUILD", "build"))
    if not directory.is_absolute():
        directory = ROOT / directory
    assert (directory / "simlaned").exists(), f"no {directory}/simlaned: run make first"
    return directory


CONTRACT = contracts.Contract(contracts.load(ROOT / "openapi" / "simlane.json"))

# Declared for what this build or a black box cannot bring about.
OUT_OF_REACH = {"429", "431", "500"}


@pytest.fixture(scope="session")
def contract():
    return CONTRACT


def pytest_sessionfinish(session):
    """Says, after a run of everything, which declared answers no scenario has seen."""
    if session.testscollected < 1000:
        return
    unseen = [
        f"{method.upper()} {path} {status}"
        for path, operations in CONTRACT.document["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
        if (path, method, status) not in CONTRACT.seen and status not in OUT_OF_REACH
    ]
    print(f"\ndeclared answers that were not seen: {', '.join(unseen) or 'none'}")


@pytest.fixture(scope="session")
def key():
    """The scenarios' own key: any tenant, may assert gtpsi."""
    return tokens.Key("scenario")


@pytest.fixture(scope="session")
def mint(key):
    return tokens.Minter(key)


@pytest.fixture(scope="session")
def keyring_text(key):
    return tokens.keyring(key.jwk(simlane_tenants=["*"], simlane_acr=["gtpsi"]))


@pytest.fixture
def new_lane(build, tmp_path, contract, keyring_text):
    """new_lane(NAME=value, ...) -> a started daemon; stopped, and judged, at the end."""
    made = []

    def start(at="lane", wrap=(), **settings):
        made_lane = lanes.make(build, tmp_path / at, contract, keyring_text, settings, wrap)
        made.append(made_lane)
        return made_lane.start()

    yield start
    faults = []
    for made_lane in made:
        try:
            made_lane.stop()
        except AssertionError as fault:
            faults.append(str(fault))
    assert not faults, "\n".join(faults)


@pytest.fixture
def engines():
    """Starts the servers of one scenario: engines.redis(...), engines.sentinels(...)."""
    made = all_engines.Engines()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def file_engines():
    """As engines, for the time of a file."""
    made = all_engines.Engines()
    yield made
    made.stop()


@pytest.fixture
def new_on(new_lane):
    """new_on(redis, NAME=value) -> a daemon on that Redis."""

    def start(redis, **settings):
        return new_lane(**{"SIM_JOB_STORE": "redis", "REDIS_URL": redis.url, **settings})

    return start


@pytest.fixture
def new_sqlite(new_lane, tmp_path):
    """new_sqlite(NAME=value) -> a daemon on tmp_path / "jobs.db"."""

    def start(**settings):
        return new_lane(SIM_JOB_STORE="sqlite", **{"SIM_SQLITE_PATH": tmp_path / "jobs.db", **settings})

    return start


@pytest.fixture(scope="session", autouse=True)
def other_store():
    """SIMLANE_STORE=sqlite|redis: every daemon that chooses no store itself gets that one, a new one each."""
    kind = os.environ.get("SIMLANE_STORE", "memory")
    made = all_engines.Engines()
    lanes.other_store = all_engines.chooser(kind, made)
    yield
    made.stop()


@pytest.fixture(scope="module")
def lane(build, tmp_path_factory, contract, keyring_text):
    """One daemon with default settings for the scenarios of a file."""
    lane = lanes.make(build, tmp_path_factory.mktemp("lane"), contract, keyring_text, {}).start()
    yield lane
    lane.stop()


@pytest.fixture
def client(lane, mint):
    """A client of the file's daemon whose token may do everything."""
    return lane.client(mint())


@pytest.fixture(scope="session")
def default_policy(build):
    """The built-in policy as a document, to be changed."""
    return json.loads((ROOT / "etc" / "policy.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def tool(build):
    """tool("token", "mint", ...) -> what it printed; asserts that it worked."""

    def run(*args, expect=0, **kw):
        done = subprocess.run(
            [str(build / "simlane"), *map(str, args)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=lanes.environment({}),
            timeout=60,
            check=False,
            **kw,
        )
        assert done.returncode == expect, f"simlane {args} ended with {done.returncode}: {done.stderr}"
        return done.stdout.strip()

    return run
