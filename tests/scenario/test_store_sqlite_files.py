"""SQLite: a file that is another daemon's, foreign, newer, corrupt or read-only is refused at the start and left as it is."""
import hashlib
import os
import shutil
import sqlite3
import subprocess

import pytest

import engines as all_engines
import lane as lanes
from test_inbox_files import small_disk, try_mount


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture
def start_refused(build, tmp_path, keyring_text):
    """start_refused(path) -> what a daemon said that must not start with it: exit code 2, one line."""

    def run(path, names=None):
        (tmp_path / "k.json").write_text(keyring_text)
        code, said = lanes.refused(
            build,
            tmp_path,
            {
                "SIM_LISTEN": "127.0.0.1:0",
                "SIM_KEYRING_FILE": tmp_path / "k.json",
                "DREAM_INBOX_DIR": tmp_path / "refused-inbox",
                "SIM_JOB_STORE": "sqlite",
                "SIM_SQLITE_PATH": path,
            },
        )
        assert code == 2, f"exit code {code}: {said}"
        assert len(said.strip().split("\n")) == 1, f"one line that names it: {said}"
        assert said.startswith("simlaned: ") and (names or str(path)) in said, said
        return said

    return run


@pytest.fixture
def started_or_refused(build, tmp_path, contract, keyring_text):
    """started_or_refused(path) -> a daemon, or None when it said clearly that it does not want that file."""
    made = []

    def start(path):
        settings = {"SIM_JOB_STORE": "sqlite", "SIM_SQLITE_PATH": path}
        lane = lanes.make(build, tmp_path / "maybe", contract, keyring_text, settings)
        try:
            made.append(lane.start())
        except AssertionError:
            assert lane.process.poll() == 2 and str(path) in lane.log(), lane.log()
            return None
        return lane

    yield start
    for lane in made:
        lane.stop()


def fingerprint(directory):
    """Every file of a directory: name, size, contents."""
    return {
        file.name: (file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in directory.iterdir()
        if file.is_file()
    }


def status_of(client, job_id):
    return client.get(f"/jobs/{job_id}").json["status"]


# ---- one daemon a file


def test_a_second_daemon_on_the_same_file_is_refused_and_the_first_goes_on(new_sqlite, mint, path, start_refused):
    lane = new_sqlite()
    client = lane.client(mint())
    job = client.job()
    start_refused(path)
    link = path.with_name("link.db")
    link.symlink_to(path)
    start_refused(link, names=str(path))
    assert client.collect(job).status == 200 and client.get("/readyz").status == 200
    lane.kill()
    lane.start()  # what it left behind stops nobody
    assert status_of(lane.client(mint()), job) == "complete"


# ---- files that are not ours


def ours(new_sqlite, mint, path, jobs=50):
    """A healthy file of the daemon's, at rest."""
    lane = new_sqlite()
    client = lane.client(mint())
    for _ in range(jobs):
        client.job("g" * 400)
    lane.stop()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert fingerprint(path.parent)


def untouched(tmp_path, path, start_refused, **kw):
    before = fingerprint(path.parent)
    said = start_refused(path, **kw)
    after = {name: print_ for name, print_ in fingerprint(path.parent).items() if name != "k.json"}
    before.pop("k.json", None)
    assert after == before, f"a file was changed or left behind: {set(after) ^ set(before) or 'contents'}"
    return said


@pytest.fixture
def place(tmp_path):
    """A directory with nothing else in it."""
    made = tmp_path / "place"
    made.mkdir()
    return made


def test_a_file_that_is_no_database_is_refused_and_untouched(tmp_path, place, start_refused):
    for name, content in {"text": b"my precious notes\n" * 500, "short": b"x", "zeroes": b"\0" * 8192}.items():
        (place / name).write_bytes(content)
        untouched(tmp_path, place / name, start_refused)


def test_a_database_of_another_program_is_refused_and_untouched(tmp_path, place, start_refused):
    for name, pragma in {
        "plain": "",
        "marked": "PRAGMA application_id=1196444487;",
        "wal": "PRAGMA journal_mode=WAL;",
    }.items():
        file = place / f"{name}.db"
        with sqlite3.connect(file) as db:
            db.executescript(f"{pragma} CREATE TABLE jobs (id TEXT, payload TEXT); INSERT INTO jobs VALUES ('a','b');")
        db.close()
        untouched(tmp_path, file, start_refused)


def test_a_newer_version_is_refused_and_untouched(new_sqlite, mint, path, tmp_path, place, start_refused):
    ours(new_sqlite, mint, path)
    newer = place / "newer.db"
    shutil.copy(path, newer)
    with sqlite3.connect(newer) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        assert version >= 1, "the schema has no version"
        db.execute("PRAGMA user_version=999")
    db.close()
    said = untouched(tmp_path, newer, start_refused)
    assert "999" in said or "newer" in said


@pytest.mark.parametrize("how", ["schema", "truncated", "header"])
def test_a_corrupt_file_is_refused_and_untouched(new_sqlite, mint, path, tmp_path, place, start_refused, how):
    ours(new_sqlite, mint, path)
    broken = place / "broken.db"
    content = bytearray(path.read_bytes())
    if how == "schema":
        content[100:1000] = os.urandom(900)
    elif how == "truncated":
        del content[len(content) // 2 :]
    else:
        content[16:100] = os.urandom(84)
    broken.write_bytes(content)
    untouched(tmp_path, broken, start_refused)


def test_a_file_that_rots_inside_is_refused_or_never_told_as_truth(new_sqlite, mint, path, started_or_refused):
    """A page of the middle is overwritten: not a wrong answer, at the worst 503, and the daemon lives."""
    ours(new_sqlite, mint, path, jobs=200)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(content)
    lane = started_or_refused(path)
    if lane is None:
        return
    client = lane.client(mint())
    answer = client.post("/schedule", {"seed": {}})
    assert answer.status in (202, 503)
    assert client.get("/livez").status == 200


def test_a_file_that_may_only_be_read_is_refused_and_untouched(new_sqlite, mint, path, tmp_path, start_refused):
    ours(new_sqlite, mint, path)
    all_engines.needs_root("mounting")
    if not try_mount(tmp_path / "probe"):
        pytest.skip("mounting is not allowed here")
    with small_disk(tmp_path / "disk", "4m") as disk:
        shutil.copy(path, disk / "jobs.db")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        untouched(tmp_path, disk / "jobs.db", start_refused)
        start_refused(disk / "none.db")
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads and writes anything")
def test_a_file_without_the_right_to_write_is_refused_and_untouched(new_sqlite, mint, path, tmp_path, start_refused):
    ours(new_sqlite, mint, path)
    path.chmod(0o400)
    untouched(tmp_path, path, start_refused)


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path, place, start_refused):
    start_refused(place / "no" / "such" / "jobs.db")
    start_refused(place)
    os.mkfifo(place / "pipe")
    start_refused(place / "pipe")
    (place / "file").write_text("")
    start_refused(place / "file" / "jobs.db")
    assert not (place / "no").exists()


def test_a_missing_path_is_refused_by_name(build, tmp_path, keyring_text, start_refused):
    start_refused(None, names="SIM_SQLITE_PATH")


@pytest.mark.parametrize("name", [":memory:", "odd ?mode=memory#%20 name.db", "file:x.db?mode=memory", "Λ'; DROP.db"])
def test_a_path_is_a_path_whatever_it_looks_like(mint, started_or_refused, name):
    """None of them is a URI or a database in memory."""
    lane = started_or_refused(name)
    if lane is None:
        return
    client = lane.client(mint())
    job = client.job()
    lane.kill()
    assert (lane.directory / name).is_file()
    lane.start()
    assert status_of(lane.client(mint()), job) == "scheduled"


def test_nobody_else_may_read_the_file(new_sqlite, mint, path):
    new_sqlite().client(mint()).job()
    for file in path.parent.glob("jobs.db*"):
        assert file.stat().st_mode & 0o007 == 0, f"{file.name} is open to everybody"
