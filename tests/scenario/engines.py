"""The engines behind a store, for the scenarios: real Redis servers, Sentinels, networks and small disks.

Each server is started by a test, in a short directory of its own, and ends
with it: stopped by its fixture, and by the kernel should pytest itself die.
"""
import contextlib
import ctypes
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

import lane as lanes

PREFIX = "{lukhas:sim:jobs}:"
PR_SET_PDEATHSIG = 1
SERIAL = itertools.count(1)
LIBC = ctypes.CDLL(None, use_errno=True)


def program(name):
    """Where it is; the test is skipped when it is nowhere."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def needs_root(why):
    if os.geteuid() != 0:
        pytest.skip(f"{why} needs root")


def die_with_us():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def short_directory():
    """A path that leaves room for a socket's name (108 bytes in all)."""
    return pathlib.Path(tempfile.mkdtemp(prefix="simlane-"))


# ---- the protocol


class RedisSays(Exception):
    """An error reply."""


class Talk:
    """A connection to a Redis or a Sentinel, and no more of the protocol than tests need."""

    def __init__(self, address, timeout=10):
        if isinstance(address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def send(self, *words):
        parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.sock.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))

    def reply(self):
        line = self.file.readline()
        if not line:
            raise EOFError("the connection is closed")
        kind, rest = line[:1], line[1:].rstrip(b"\r\n")
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RedisSays(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        assert kind == b"*", line
        return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]

    def __call__(self, *words):
        self.send(*words)
        return self.reply()


# ---- servers


class Server:
    """A redis-server or redis-sentinel process."""

    def __init__(self, directory, settings, wrap=(), role="redis-server"):
        self.directory, self.settings, self.wrap = directory, settings, list(wrap)
        self.program = program(role)
        self.arguments = ["--sentinel"] if role == "redis-sentinel" else []
        self.password = self.process = None
        directory.mkdir(parents=True, exist_ok=True)

    def start(self, wait=True, **changes):
        """(Again) with its settings; changes are for this start and later ones."""
        self.settings.update({name.replace("_", "-"): value for name, value in changes.items()})
        config = self.directory / "redis.conf"
        if not (self.arguments and config.exists()):  # a Sentinel writes into its own
            config.write_text("".join(f"{n} {v}\n" for n, vs in self.settings.items() for v in several(vs)))
        with open(self.directory / "out", "ab") as out:
            self.process = subprocess.Popen(
                [*self.wrap, self.program, str(config), *self.arguments],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=die_with_us,
            )
        if wait:
            lanes.wait_until(self.answers, 10, f"{self} answers")
        return self

    def answers(self):
        assert self.process.poll() is None, f"{self} ended:\n" + (self.directory / "out").read_text()[-2000:]
        try:
            return self("PING") == "PONG"
        except OSError:
            return False
        except RedisSays as said:
            return not str(said).startswith("LOADING")

    @property
    def address(self):
        if "unixsocket" in self.settings:
            return self.settings["unixsocket"]
        return (self.settings.get("bind", "127.0.0.1"), int(self.settings["port"]))

    @property
    def url(self):
        if isinstance(self.address, str):
            return f"unix://{self.address}"
        return "redis://%s:%d" % self.address

    def talk(self, timeout=10):
        talk = Talk(self.address, timeout)
        if self.password:
            talk("AUTH", self.password)
        return talk

    def __call__(self, *words):
        """One command on a connection of its own."""
        with self.talk() as talk:
            return talk(*words)

    def __str__(self):
        return f"{self.program} at {self.address}"

    def keys(self, db=0):
        with self.talk() as talk:
            talk("SELECT", db)
            return sorted(key.decode("utf-8", "replace") for key in talk("KEYS", "*"))

    def info(self, section, name):
        for line in self("INFO", section).decode().split("\r\n"):
            if line.startswith(name + ":"):
                return line.split(":", 1)[1]
        raise AssertionError(f"INFO {section} has no {name}")

    def commands(self):
        """How many commands it has run, this question not counted."""
        return int(self.info("stats", "total_commands_processed"))

    def kill(self):
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)


def confirms(primary, replica):
    """Has the replica a change that was made just now?"""
    probe = f"probe-{next(SERIAL)}"
    try:
        with primary.talk() as talk:
            talk("SET", probe, "x", "PX", 60_000)
            seen = talk("WAIT", 1, 100) >= 1 and replica("EXISTS", probe) == 1
            talk("DEL", probe)
            return seen
    except RedisSays:
        return False


def several(value):
    return value if isinstance(value, (list, tuple)) else [value]


class Engines:
    """Starts servers and stops them all."""

    def __init__(self):
        self.made, self.directories = [], []

    def directory(self):
        self.directories.append(short_directory())
        return self.directories[-1]

    def redis(self, started=True, unix=False, wrap=(), **settings):
        """A Redis without persistence, on a free port or a Unix socket; settings as in redis.conf, _ for -."""
        directory = self.directory()
        config = {
            "port": 0 if unix else free_port(),
            "dir": directory,
            "save": '""',
            "appendonly": "no",
            "protected-mode": "no",
            "enable-debug-command": "yes",
            "enable-protected-configs": "yes",
            "repl-diskless-sync-delay": 0,
        }
        if unix:
            config["unixsocket"] = str(directory / "s")
        else:
            config["bind"] = "127.0.0.1"
        config.update({name.replace("_", "-"): value for name, value in settings.items()})
        server = Server(directory, config, wrap)
        self.made.append(server)
        return server.start() if started else server

    def durable(self, **settings):
        """A Redis whose every answer is on the disk."""
        return self.redis(appendonly="yes", appendfsync="always", **settings)

    def sentinels(self, name, primary, count=3, down_after_ms=600):
        """Sentinels that know each other and their primary's replicas."""
        program("redis-sentinel")
        made = []
        for _ in range(count):
            directory = self.directory()
            settings = {
                "port": free_port(),
                "bind": "127.0.0.1",
                "dir": directory,
                "protected-mode": "no",
                "sentinel": [
                    f"monitor {name} 127.0.0.1 {primary.address[1]} {count // 2 + 1}",
                    f"down-after-milliseconds {name} {down_after_ms}",
                    f"failover-timeout {name} 1500",
                    f"parallel-syncs {name} 1",
                ],
            }
            made.append(Server(directory, settings, role="redis-sentinel").start(wait=False))
            self.made.append(made[-1])
        for sentinel in made:
            lanes.wait_until(sentinel.answers, 10, "a Sentinel answers")
        replicas = len([s for s in self.made if "replicaof" in s.settings])
        for sentinel in made:
            lanes.wait_until(
                lambda s=sentinel: len(s("SENTINEL", "SENTINELS", name)) == count - 1
                and len(s("SENTINEL", "REPLICAS", name)) >= replicas,
                15,
                "the Sentinels have found each other",
            )
        return made

    def replica(self, primary, **settings):
        made = self.redis(replicaof="%s %d" % primary.address, **settings)
        lanes.wait_until(lambda: made.info("replication", "master_link_status") == "up", 10, "the replica follows")
        lanes.wait_until(lambda: confirms(primary, made), 10, "the primary hears its replica")
        return made

    def stop(self):
        for server in reversed(self.made):
            server.kill()  # works on a paused one too
        for directory in self.directories:
            shutil.rmtree(directory, ignore_errors=True)


def settings(kind, directory, redis=None):
    """What a daemon is told about its store."""
    if kind == "sqlite":
        return {"SIM_JOB_STORE": "sqlite", "SIM_SQLITE_PATH": directory / "jobs.db"}
    if kind == "redis":
        return {"SIM_JOB_STORE": "redis", "REDIS_URL": redis.url}
    return {"SIM_JOB_STORE": kind}


def chooser(kind, engines):
    """A function from a daemon's directory to its settings of that kind of store, which nobody shares."""
    if kind == "memory":
        return lambda directory: {}
    serial = itertools.count(1)
    redis = engines.redis() if kind == "redis" else None

    def choose(directory):
        if kind == "sqlite":
            return {"SIM_JOB_STORE": "sqlite", "SIM_SQLITE_PATH": directory / "jobs.db"}
        return {**settings(kind, directory, redis), "SIM_REDIS_PREFIX": f"{{scenario-{next(serial)}}}:"}

    return choose


# ---- a network that can be cut


def ip(*words):
    done = subprocess.run([program("ip"), *words], text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Network:
    """Two network namespaces with one cable between them."""

    NEAR, FAR = "10.219.7.1", "10.219.7.2"

    def __init__(self):
        self.near, self.far = f"sl-near-{os.getpid()}", f"sl-far-{os.getpid()}"

    def near_wrap(self):
        return [program("ip"), "netns", "exec", self.near]

    def far_wrap(self):
        return [program("ip"), "netns", "exec", self.far]

    def build(self):
        for name in (self.near, self.far):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.near, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.far)
        for name, address in ((self.near, self.NEAR), (self.far, self.FAR)):
            ip("-n", name, "addr", "add", f"{address}/30", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")

    def cut(self):
        """At the far end: the near one sends into the void and hears nothing."""
        ip("-n", self.far, "link", "set", "cable", "down")

    def mend(self):
        ip("-n", self.far, "link", "set", "cable", "up")

    def remove(self):
        for name in (self.near, self.far):
            with contextlib.suppress(OSError):
                ip("netns", "del", name)


@contextlib.contextmanager
def network():
    needs_root("making network namespaces")
    net = Network()
    try:
        try:
            net.build()
        except OSError as fault:
            pytest.skip(f"no network namespaces here: {fault}")
        yield net
    finally:
        net.remove()
