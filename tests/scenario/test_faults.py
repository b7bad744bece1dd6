"""Injected faults at each system call of the inbox's writer: never a false 200, and collectable at once afterwards."""
import json
import os
import re
import shutil
import subprocess

import pytest

import lane as lanes

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="no strace"),
    pytest.mark.skipif(bool(lanes.SANITIZE), reason="a sanitizer's run is not traced"),
]

# What a writer of files may call; each is made to fail where the writer calls it.
CALLS = (
    "openat",
    "openat2",
    "open",
    "creat",
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync_file_range",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "unlink",
    "unlinkat",
    "fchmod",
    "ftruncate",
    "fallocate",
    "fstat",
    "newfstatat",
    "statx",
    "read",
    "pread64",
    "mmap",
    "close",
    "fcntl",
    "lseek",
)
WRITING = (
    "openat",
    "openat2",
    "open",
    "creat",
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "fsync",
    "fdatasync",
    "syncfs",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "ftruncate",
    "fallocate",
)


class Tracer:
    """strace on all threads of a daemon but those of the log and of HTTP, for the time of a with block."""

    def __init__(self, lane, out, inject=None):
        threads = []
        for tid in os.listdir(f"/proc/{lane.process.pid}/task"):
            name = open(f"/proc/{lane.process.pid}/task/{tid}/comm").read().strip()
            if "inbox" in name or "sync" in name:
                threads.append(tid)
        assert threads, "no thread of the inbox: its name does not say inbox"
        self.count = len(threads)
        self.command = ["strace", "-y", "-o", str(out), "-e", "trace=" + ",".join("?" + c for c in CALLS)]
        if inject:
            self.command += ["-e", "inject=" + inject]
        for tid in threads:
            self.command += ["-p", tid]
        self.out = out

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        for _ in range(self.count):
            line = self.process.stderr.readline()
            if "attached" not in line:
                self.process.kill()
                pytest.skip(f"strace may not attach: {line.strip()}")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()


def calls_of(path):
    """The system calls of a trace: name -> the ordinals (from 1) of those that are about files.

    Threads talk to each other by writing to events; those writes cannot fail.
    """
    made, ordinals = {}, {}
    for line in path.read_text().split("\n"):
        match = re.match(r"^(?:\d+ +)?([a-z0-9_]+)\(", line)
        if match:
            made[match[1]] = made.get(match[1], 0) + 1
            if not re.search(r"anon_inode|pipe:|socket:|<[A-Z]+:\[", line):
                ordinals.setdefault(match[1], []).append(made[match[1]])
    return ordinals


def settle(lane, client, job, answer, what):
    """After a fault: no false 200, the job collectable at once, the document whole."""
    if answer.status != 200:
        assert (answer.status, answer.code) in ((503, "inbox-unavailable"), (507, "inbox-full")), f"{what}: {answer}"
        job_now = client.get(f"/jobs/{job['job_id']}").json["status"]
        assert job_now == "scheduled", f"{what}: the job is {job_now}"
        again = client.collect(job["job_id"])
        assert again.status == 200, f"{what}: not collectable at once: {again}"
        answer = again
    assert lane.document(job["trace_id"])["shards"] == answer.json["shards"], what
    left = [n for n in lane.files() if not n.endswith(".json")]
    assert not left, f"{what}: left behind: {left}"


def test_each_call_of_the_writer_may_fail(new_lane, mint, tmp_path):
    lane = new_lane()
    client = lane.client(mint())
    assert client.collect(client.job()).status == 200
    with Tracer(lane, tmp_path / "clean"):
        assert client.collect(client.job()).status == 200
    made = calls_of(tmp_path / "clean")
    assert any("sync" in call for call in made), f"no sync in {made}"
    assert any(call.startswith(("rename", "linkat")) for call in made), f"nothing published in {made}"
    failed = 0
    for call in made.keys() & set(WRITING):
        for nth in made[call]:
            for error in ("EIO", "ENOSPC"):
                job = client.schedule().json
                what = f"{call} number {nth} of {made[call]} fails with {error}"
                with Tracer(lane, tmp_path / "faulty", f"{call}:error={error}:when={nth}"):
                    answer = client.collect(job["job_id"])
                settle(lane, client, job, answer, what)
                failed += answer.status != 200
                if answer.status != 200:
                    assert answer.status == (507 if error == "ENOSPC" else 503), f"{what}: {answer.status}"
    assert failed >= 4, "hardly any fault was felt"


@pytest.mark.parametrize("call", ["fsync", "fdatasync", "syncfs"])
def test_a_sync_that_keeps_failing_is_never_a_200(new_lane, mint, tmp_path, call):
    lane = new_lane()
    client = lane.client(mint())
    assert client.collect(client.job()).status == 200
    with Tracer(lane, tmp_path / "clean"):
        assert client.collect(client.job()).status == 200
    if call not in calls_of(tmp_path / "clean"):
        pytest.skip(f"the writer does not call {call}")
    jobs = [client.schedule().json for _ in range(3)]
    with Tracer(lane, tmp_path / "faulty", f"{call}:error=EIO:when=1+"):
        answers = [client.collect(job["job_id"]) for job in jobs]
    for job, answer in zip(jobs, answers):
        assert answer.status == 503
        settle(lane, client, job, answer, f"every {call} fails")


def test_a_merge_that_fails_leaves_the_old_document(new_lane, mint, tmp_path):
    lane = new_lane()
    client = lane.client(mint())

    def write(index):
        return client.post("/inbox", {"seed": {}, "result": {"trace_id": "merged", "shards": [{"index": index}]}})

    assert write(0).status == 200
    before = lane.document("merged")
    for number, fault in enumerate(
        (
            "fsync:error=EIO:when=1+",
            "renameat2:error=EIO:when=1+",
            "renameat:error=EIO:when=1+",
            "rename:error=EIO:when=1+",
            "write:error=ENOSPC:when=1",
            "pwrite64:error=ENOSPC:when=1",
            "openat:error=EMFILE:when=1+",
            "writev:error=EIO:when=1",
        )
    ):
        with Tracer(lane, tmp_path / "faulty", fault):
            answer = write(100 + number)
        if answer.status != 200:
            assert lane.document("merged")["shards"] == before["shards"], fault
        before = lane.document("merged")
    assert write(1).status == 200
    assert {"index": 1} in lane.document("merged")["shards"]
    json.dumps(lane.document("merged"))
