"""The daemon under test: started in a directory of its own, stopped, looked at.

Stopping a lane asserts what must hold of every run: exit code 0, no report of
a sanitizer, no token in the log.
"""
import contextlib
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import time

import wire

SANITIZE = os.environ.get("SIMLANE_SANITIZE", "")
PATIENCE = 6 if SANITIZE else 1  # how much slower things may be

REPORT = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|UndefinedBehaviorSanitizer|: runtime error: |"
    r"assertion .* failed|Assertion .* failed|stack smashing"
)


def wait_until(condition, seconds, what):
    """Polls; returns the first truthy value."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds * PATIENCE} s in vain: {what}"
        time.sleep(0.005)


class Lane:
    def __init__(self, build, directory, contract, env, wrap=()):
        self.build, self.directory, self.contract = build, directory, contract
        self.env, self.wrap = env, list(wrap)
        self.patience = PATIENCE
        self.inbox = self.directory / env.get("DREAM_INBOX_DIR", "inbox")
        self.log_path = directory / "log"
        self.tokens_used = set()
        self.process = None
        self.address = self.admin = None
        self.log_start = 0

    # ---- life

    def start(self, pass_fds=(), preexec=None):
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrap, str(self.build / "simlaned")],
                cwd=self.directory,
                env=environment(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
                preexec_fn=preexec,
            )
        ready = wait_until(self.ready, 10, "no ready line")
        self.address = address_of(ready["listen"])
        if ready.get("admin"):
            self.admin = address_of(ready["admin"])
        return self

    def ready(self):
        for event in self.events():
            if event["event"] == "ready":
                return event
        code = self.process.poll()
        assert code is None, f"the daemon ended with {code} before it was ready:\n{self.log()}"
        return None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, as a power cut would."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def end(self, seconds=15):
        """Waits for the end and returns the exit code."""
        try:
            return self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the daemon did not end within {seconds * PATIENCE} s:\n{self.log()}") from None

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.end()
        self.process = None
        self.inspect()
        assert code == 0, f"exit code {code}:\n{self.log()[-4000:]}"

    def inspect(self):
        log = self.log(whole=True)
        found = REPORT.search(log)
        assert not found, f"a report in the log:\n{log[max(0, found.start() - 200):found.start() + 6000]}"
        for token in (token for token in self.tokens_used if len(token) > 40):
            assert token not in log, "a token is in the log"
            # parts: the payload and the signature at its end, whichever form
            for part in token.split("."):
                assert len(part) < 40 or part[-40:] not in log, "a part of a token is in the log"

    # ---- what it says

    def log(self, whole=False):
        with open(self.log_path, "rb") as file:
            file.seek(0 if whole else self.log_start)
            return file.read().decode("utf-8", "replace")

    def events(self, name=None):
        found = []
        for line in self.log().split("\n")[:-1]:
            event = parse_line(line)
            if event is not None and (name is None or event["event"] == name):
                found.append(event)
        return found

    def request_logged(self, trace_id, seconds=5):
        """The access log's event of that answer."""
        return wait_until(
            lambda: next((e for e in self.events("request") if e.get("trace") == trace_id), None),
            seconds,
            f"no request event with trace {trace_id}",
        )

    def told(self, *words, seconds=3):
        """A warning or an error in the log in which each of these patterns is found."""

        def look():
            for event in self.events():
                text = json.dumps(event, ensure_ascii=False)
                if event["level"] in ("warn", "error") and all(re.search(word, text, re.I) for word in words):
                    return event
            return None

        return wait_until(look, seconds, f"no log line that says {words}")

    # ---- what it does

    def client(self, token=None, **kw):
        return wire.Client(self, token, **kw)

    def raw(self, **kw):
        return wire.Raw(self, **kw)

    def admin_view(self):
        view = wire.Client(self, None)
        other = Lane.__new__(Lane)
        other.__dict__.update(self.__dict__)
        other.address = self.admin
        view.lane = other
        return view

    # ---- what it keeps

    def document(self, trace_id):
        with open(self.inbox / f"{trace_id}.json", "rb") as file:
            return json.loads(file.read().decode("utf-8"))

    def files(self):
        """Names in the inbox but for our dot-files."""
        return sorted(name for name in os.listdir(self.inbox) if not name.startswith(".lock"))

    @contextlib.contextmanager
    def inbox_held(self):
        """Holds all of the inbox's locks between processes, as another daemon would."""
        held = []
        try:
            for name in sorted(os.listdir(self.inbox)):
                if SLOT.match(name):
                    fd = os.open(self.inbox / name, os.O_RDWR)
                    held.append(fd)
                    lock_whole_file(fd)
            assert held, "the inbox has no lock files"
            yield lambda: [os.close(held.pop()) for _ in range(len(held))]
        finally:
            for fd in held:
                os.close(fd)


def other_store(_directory):
    """What a daemon is told that chooses no store itself; conftest.py may put another in its place."""
    return {}


def make(build, directory, contract, keyring_text, settings, wrap=()):
    """A daemon that is not started yet, in that directory."""
    directory.mkdir(parents=True, exist_ok=True)
    keyring = directory / "keyring.json"
    if not keyring.exists():
        keyring.write_text(keyring_text)
    env = {
        "SIM_LISTEN": "127.0.0.1:0",
        "SIM_KEYRING_FILE": keyring,
        "DREAM_INBOX_DIR": "inbox",
        "SIM_LOG_FORMAT": "json",
        "SIM_HTTP_THREADS": 2,
    }
    env.update(settings)
    if "SIM_JOB_STORE" not in env:
        env.update(other_store(directory))
    return Lane(build, directory, contract, env, wrap)


SLOT = re.compile(r"^\.lock\.\d+$")
F_OFD_SETLKW = 38


def lock_whole_file(fd):
    """An open file description lock on all of it; waits for whoever holds one."""
    fcntl.fcntl(fd, F_OFD_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))


TEXT_LINE = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) +(\S+)((?: \S+=(?:\"(?:[^\"\\]|\\.)*\"|\S*))*)$"
)


def parse_line(line):
    """One log line of either format, or None for anything else."""
    if line.startswith("{"):
        try:
            return json.loads(line)
        except ValueError:
            return None
    match = TEXT_LINE.match(line)
    if not match:
        return None
    event = {"level": match[1], "event": match[2]}
    for name, value in re.findall(r" (\S+?)=(\"(?:[^\"\\]|\\.)*\"|\S*)", match[3]):
        event[name] = json.loads(value) if value.startswith('"') else value
    return event


def address_of(text):
    if text.startswith("unix:"):
        return text[5:]
    host, port = text.rsplit(":", 1)
    return (host.strip("[]"), int(port))


def environment(settings):
    """Nothing of the caller's settings, all of what a process needs."""
    keep = (
        "PATH",
        "HOME",
        "LANG",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "ASAN_OPTIONS",
        "UBSAN_OPTIONS",
        "TSAN_OPTIONS",
        "LSAN_OPTIONS",
        "LLVM_PROFILE_FILE",
        "GCOV_PREFIX",
    )
    env = {name: os.environ[name] for name in keep if name in os.environ}
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.update({name: str(value) for name, value in settings.items() if value is not None})
    return env


def refused(build, directory, settings, seconds=10):
    """Runs a daemon that must not start: (exit code, what it wrote)."""
    done = subprocess.run(
        [str(build / "simlaned")],
        cwd=directory,
        env=environment(settings),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds * PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout
