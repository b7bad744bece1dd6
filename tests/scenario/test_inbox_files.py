"""The inbox on a real file system: redaction, corruption, links, full and unwritable directories."""
import contextlib
import errno
import json
import os
import re
import resource
import shutil
import subprocess

import pytest

import lane as lanes

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def write(client, trace_id, shards, seed=None, **kw):
    return client.post(
        "/inbox", {"seed": {} if seed is None else seed, "result": {"trace_id": trace_id, "shards": shards}}, **kw
    )


# ---- redaction

SECRETS = {
    "password": "p1",
    "Client_Secret": "s1",
    "accessTOKEN": "t1",
    "apikey": ["a1"],
    "x_api_key": {"k": "a2"},
    "authority": "a3",
    "BearerOf": 5,
    "plain": "mail bob.smith+x@Example-Site.co.uk or call +44 20 7946 0958 now",
    "number": "call 555-123-4567",
    "list": ["a@b.io", {"deep": "x@y.org"}],
    "kept": "nothing to hide 42",
}
NAMES = ("password", "secret", "token", "apikey", "api_key", "auth", "bearer")
EMAIL = re.compile(r"\b[A-Z0-9._%+-]+@[A-Z0-9.-]+\.[A-Z]{2,}\b", re.I)
PHONE = re.compile(r"\b(\+?\d{1,3})?[-.\s]?\(?\d{2,4}\)?[-.\s]?\d{3,4}[-.\s]?\d{3,4}\b")


def redacted(value, name=""):
    """What the contract makes of it."""
    if any(word in name.lower() for word in NAMES):
        return "***REDACTED***"
    if isinstance(value, dict):
        return {key: redacted(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [redacted(inner) for inner in value]
    return PHONE.sub("[phone]", EMAIL.sub("[email]", value)) if isinstance(value, str) else value


REDACTED = redacted(SECRETS)


@pytest.mark.parametrize("word", ["1", "true", "True"])
def test_redaction_changes_what_is_kept_and_never_the_answer(new_lane, mint, word):
    lane = new_lane(DREAM_INBOX_REDACT=word)
    client = lane.client(mint())
    seed = {"goal": "write to bob@example.com", "constraints": {"flags": dict(SECRETS)}}
    collected = client.collect(client.job(seed=seed)).json
    (shard,) = collected["shards"]
    assert shard["seed_meta"] == {"goal": "write to bob@example.com", "flags": SECRETS}
    document = lane.document(collected["trace_id"])
    assert document["seed"] == {
        "goal": "write to [email]",
        "ul_tags": document["seed"]["ul_tags"],
        "constraints": {"flags": REDACTED},
    }
    (kept,) = document["shards"]
    assert kept["seed_meta"] == {"goal": "write to [email]", "flags": REDACTED}
    assert (kept["trace_id"], kept["index"], kept["timestamp"]) == (shard["trace_id"], 0, shard["timestamp"])
    assert client.collect(collected["job_id"]).json == collected
    text = (lane.inbox / collected["inbox"]["file"]).read_text()
    for secret in ('"p1"', '"s1"', '"t1"', '"a1"', '"a2"', '"a3"', "bob", "0958", "4567", "b.io", "y.org"):
        assert secret not in text


def test_identities_and_times_are_exempt(new_lane, mint):
    lane = new_lane(DREAM_INBOX_REDACT="1")
    client = lane.client(mint())
    trace_id = "555-123-4567"
    shards = [{"trace_id": "1767-323-045678", "job_id": "JOB-012345678901", "index": 0, "timestamp": 1767323045678}]
    assert write(client, trace_id, shards).status == 200
    document = lane.document(trace_id)
    assert document["trace_id"] == trace_id and document["shards"] == shards
    assert write(client, trace_id, shards).json["shards_written"] == 0


def test_redaction_is_off_by_default(lane, client):
    seed = {"goal": "write to bob@example.com", "constraints": {"flags": {"password": "p1"}}}
    trace_id = client.collect(client.job(seed=seed)).json["trace_id"]
    assert lane.document(trace_id)["seed"]["goal"] == "write to bob@example.com"
    assert lane.document(trace_id)["seed"]["constraints"]["flags"] == {"password": "p1"}


# ---- corrupt documents, planted links


@pytest.mark.parametrize(
    "text", [b"{torn", b"", b"[]", b'"x"', b"\xff\xfe", b'{"shards":[', b"\x00" * 100, b"{}{}", b'{"a":1,"a":2}']
)
def test_a_corrupt_document_is_kept_and_a_new_one_begun(lane, client, text):
    trace_id = f"corrupt-{abs(hash(text))}"
    (lane.inbox / f"{trace_id}.json").write_bytes(text)
    assert write(client, trace_id, [{"index": 0}]).json["shards_written"] == 1
    assert lane.document(trace_id)["shards"] == [{"index": 0}]
    kept = [n for n in lane.files() if n.startswith(f"{trace_id}.json.corrupt-")]
    assert len(kept) == 1 and re.fullmatch(rf"{trace_id}\.json\.corrupt-[0-9]{{13}}", kept[0])
    assert (lane.inbox / kept[0]).read_bytes() == text


def test_two_corrupt_documents_of_a_trace_are_both_kept(lane, client):
    path = lane.inbox / "twice.json"
    for text in ("{one", "{two"):
        path.write_text(text)
        assert write(client, "twice", [{"index": 0}]).status == 200
    kept = sorted((lane.inbox / n).read_text() for n in lane.files() if n.startswith("twice.json.corrupt-"))
    assert kept == ["{one", "{two"]


@pytest.mark.parametrize("there", [True, False])
def test_a_planted_symbolic_link_is_never_followed(lane, client, tmp_path, there):
    outside = tmp_path / "outside.json"
    if there:
        outside.write_text('{"precious":true,"version":1,"shards":[]}')
    name = f"planted-{there}"
    (lane.inbox / f"{name}.json").symlink_to(outside)
    answer = write(client, name, [{"index": 0}])
    assert answer.status in (200, 503)
    if there:
        assert outside.read_text() == '{"precious":true,"version":1,"shards":[]}'
    else:
        assert not outside.exists()
    if answer.status == 200:
        assert not (lane.inbox / f"{name}.json").is_symlink()
        assert lane.document(name)["shards"] == [{"index": 0}]


def test_a_directory_or_a_pipe_in_the_place_of_a_document_hangs_nothing(lane, client):
    (lane.inbox / "folder.json").mkdir()
    os.mkfifo(lane.inbox / "pipe.json")
    for name in ("folder", "pipe"):
        assert write(client, name, [{"index": 0}]).status in (200, 503)
    assert client.collect(client.job()).status == 200


def test_hard_links_to_a_document_keep_the_old_one(lane, client, tmp_path):
    """A reader that has the old document open, or a link to it, sees the old one whole."""
    write(client, "linked", [{"index": 0}])
    link = lane.inbox.parent / "old-link"
    os.link(lane.inbox / "linked.json", link)
    before = link.read_bytes()
    write(client, "linked", [{"index": 1}])
    assert link.read_bytes() == before and len(lane.document("linked")["shards"]) == 2


def test_readers_see_the_old_or_the_new_document_and_never_a_mixture(lane, client):
    import threading

    write(client, "watched", [{"index": 0, "pad": "p" * 50_000}])
    path, ended, faults = lane.inbox / "watched.json", threading.Event(), []

    def watch():
        last = 0
        while not ended.is_set():
            try:
                count = len(json.loads(path.read_bytes())["shards"])
            except (OSError, ValueError) as fault:
                faults.append(repr(fault))
                return
            if count < last:
                faults.append("went back")
            last = count

    thread = threading.Thread(target=watch)
    thread.start()
    for index in range(1, 40):
        assert write(client, "watched", [{"index": index, "pad": "p" * 20_000}]).status == 200
    ended.set()
    thread.join()
    assert not faults


# ---- start-up


def test_what_a_crash_left_is_purged_at_the_start_and_documents_stay(new_lane, mint):
    lane = new_lane()
    client = lane.client(mint())
    collected = client.collect(client.job()).json
    for _ in range(3):
        lane.kill()
        lane.start()
        assert lane.files() == [collected["inbox"]["file"]]
    assert lane.document(collected["trace_id"])["shards"] == collected["shards"]


def test_files_of_others_are_left_alone(new_lane, mint):
    lane = new_lane()
    (lane.inbox / "README.txt").write_text("mine")
    (lane.inbox / "notes.json.bak").write_text("mine")
    lane.stop()
    lane.start()
    assert (lane.inbox / "README.txt").read_text() == "mine" and (lane.inbox / "notes.json.bak").read_text() == "mine"


def test_the_directory_is_made_with_its_parents(new_lane, mint):
    lane = new_lane(DREAM_INBOX_DIR="a/b/c")
    client = lane.client(mint())
    trace_id = client.collect(client.job()).json["trace_id"]
    assert (lane.directory / "a/b/c" / f"{trace_id}.json").exists()


def test_an_inbox_that_cannot_be_made_stops_the_start(build, tmp_path, keyring_text):
    (tmp_path / "k.json").write_text(keyring_text)
    (tmp_path / "file").write_text("")
    code, said = lanes.refused(
        build,
        tmp_path,
        {
            "SIM_LISTEN": "127.0.0.1:0",
            "SIM_KEYRING_FILE": tmp_path / "k.json",
            "DREAM_INBOX_DIR": tmp_path / "file" / "inbox",
        },
    )
    assert code in (1, 2) and ("DREAM_INBOX_DIR" in said or str(tmp_path / "file") in said), said


# ---- unwritable, full


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0750", "simlane-test", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def try_mount(path):
    """Root in a container may not mount; then there is nothing to try."""
    try:
        with small_disk(path, "64k"):
            return True
    except subprocess.CalledProcessError:
        return False


def fill(directory):
    """Fills the file system to the last block."""
    filler = directory / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as fault:
                assert fault.errno == errno.ENOSPC
    return filler


@ROOT_ONLY
def test_a_full_disk_is_507_and_the_job_is_collectable_afterwards(new_lane, mint, tmp_path):
    if not try_mount(tmp_path / "probe"):
        pytest.skip("mounting is not allowed here")
    with small_disk(tmp_path / "disk", "256k") as disk:
        lane = new_lane(DREAM_INBOX_DIR=disk)
        client = lane.client(mint())
        first, job_id = client.job(), client.job()
        assert client.collect(first).status == 200
        before = lane.files()
        filler = fill(disk)
        for _ in range(3):
            answer = client.collect(job_id)
            assert (answer.status, answer.code) == (507, "inbox-full")
            assert client.get(f"/jobs/{job_id}").json["status"] == "scheduled"
        answer = write(client, "foreign", [{"index": 0}])
        assert (answer.status, answer.code) == (507, "inbox-full")
        assert lane.files() == sorted([*before, "filler"]), "something half-written lies about"
        assert client.collect(first).status == 200, "what is complete needs no disk"
        assert client.get("/livez").status == 200
        filler.unlink()
        assert client.collect(job_id).status == 200
        lane.stop()


@ROOT_ONLY
def test_an_inbox_out_of_inodes_is_507(new_lane, mint, tmp_path):
    if not try_mount(tmp_path / "probe"):
        pytest.skip("mounting is not allowed here")
    with small_disk(tmp_path / "disk", "4m,nr_inodes=400") as disk:
        lane = new_lane(DREAM_INBOX_DIR=disk)
        client = lane.client(mint())
        job_id = client.job()
        names = []
        try:
            for number in range(1000):
                names.append(disk / f"n{number}")
                names[-1].write_bytes(b"")
        except OSError:
            names.pop()
        assert client.collect(job_id).code == "inbox-full"
        for name in names:
            name.unlink()
        assert client.collect(job_id).status == 200
        lane.stop()


@pytest.mark.skipif(bool(lanes.SANITIZE), reason="a sanitizer's own files meet the limit too")
def test_a_file_size_limit_is_507_and_no_signal_kills(new_lane, mint):
    """EFBIG, as ulimit -f gives it; the log is a file that must not grow beyond it either."""
    lane = new_lane()
    client = lane.client(mint())
    job_id = client.job(seed={"constraints": {"flags": {"pad": "p" * 50_000}}})
    lane.request_logged(client.get(f"/jobs/{job_id}").header("X-Trace-Id"))
    limit = lane.log_path.stat().st_size + 10_000
    resource.prlimit(lane.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    answer = client.collect(job_id)
    assert (answer.status, answer.code) == (507, "inbox-full")
    resource.prlimit(lane.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert client.collect(job_id).status == 200


def unwritable_and_back(lane, client, close, reopen):
    job_id = client.job()
    close()
    answer = client.collect(job_id)
    assert (answer.status, answer.code) == (503, "inbox-unavailable")
    assert int(answer.header("Retry-After")) >= 1
    lanes.wait_until(lambda: client.get("/readyz").status == 503, 5, "readyz fails")
    assert client.get("/readyz").json["check"] == "inbox"
    assert client.get("/livez").status == 200
    assert client.get("/health").json["status"] == "fail"
    assert client.get(f"/jobs/{job_id}").json["status"] == "scheduled"
    reopen()
    assert client.collect(job_id).status == 200
    lanes.wait_until(lambda: client.get("/readyz").status == 200, 5, "readyz passes again")
    assert client.get("/health").json["status"] == "pass"


@ROOT_ONLY
def test_a_read_only_inbox_is_503_and_not_ready_but_alive(new_lane, mint):
    """Root writes into any directory but an immutable one."""
    lane = new_lane()

    def immutable(sign):
        return subprocess.run(["chattr", f"{sign}i", str(lane.inbox)], check=False, capture_output=True).returncode == 0

    if shutil.which("chattr") is None or not immutable("+"):
        pytest.skip("this file system has no immutable directories")
    immutable("-")
    try:
        unwritable_and_back(lane, lane.client(mint()), lambda: immutable("+"), lambda: immutable("-"))
    finally:
        immutable("-")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into any directory")
def test_a_directory_without_the_right_to_write_is_503_and_not_ready_but_alive(new_lane, mint):
    lane = new_lane()
    unwritable_and_back(lane, lane.client(mint()), lambda: lane.inbox.chmod(0o500), lambda: lane.inbox.chmod(0o750))


def test_an_inbox_that_was_removed_is_told_and_never_a_false_200(new_lane, mint):
    lane = new_lane()
    client = lane.client(mint())
    job_id = client.job()
    moved = lane.inbox.with_name("moved")
    lane.inbox.rename(moved)
    answer = client.collect(job_id)
    if answer.status == 200:  # the directory that was opened is still the inbox
        assert (moved / answer.json["inbox"]["file"]).exists()
    else:
        assert answer.code == "inbox-unavailable"
        moved.rename(lane.inbox)
        assert client.collect(job_id).status == 200
