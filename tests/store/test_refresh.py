"""What a reader sees of others' commits, and when."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import plait
from plait import errors
from tests.conftest import clustered

ROOT = str(Path(__file__).parents[2])


def test_commits_of_others_are_seen_at_the_next_search(small):
    with plait.Index.open(small.path) as reader, plait.Index.open(small.path, auto_refresh=False) as still:
        small.add(vectors=clustered(1, seed=5), ids=["new"])
        small.delete("3")
        query = clustered(1, seed=5)[0]
        assert reader.search(query, 1)[0].id == "new"
        assert "3" not in reader
        assert reader.get("new") is not None
        assert len(reader) == len(reader.search(query, 100)) == 20
        assert "new" not in still
        assert {hit.id for hit in still.search(query, 100)} == {str(number) for number in range(20)}
        still.refresh()
        assert still.search(query, 1)[0].id == "new"


def test_commits_of_another_process_are_seen(small):
    script = "import sys, plait; plait.Index.open(sys.argv[1]).delete(['0', '1'])"
    assert len(small) == 20
    subprocess.run([sys.executable, "-c", script, str(small.path)], check=True)
    assert len(small) == 18


def test_own_changes_are_seen_without_auto_refresh(small):
    with plait.Index.open(small.path, auto_refresh=False) as index:
        index.delete("3")
        assert len(index) == 19


def test_a_refresh_opens_only_what_is_new(small, monkeypatch):
    small.add(vectors=clustered(3000), ids=[f"n{n}" for n in range(3000)])
    opened = []
    original = plait.store.format.read_array

    def read_array(folder, *rest):
        opened.append(f"{folder.parent.name}/{folder.name}")
        return original(folder, *rest)

    with plait.Index.open(small.path) as reader:
        reader.search(clustered(1)[0], 3)
        monkeypatch.setattr("plait.store.format.read_array", read_array)
        small.add(vectors=clustered(2), ids=["a", "b"])
        small.delete(["n7", "3"])
        new = max(path.name for path in (small.path / "segments").iterdir())
        assert len(reader.search(clustered(1)[0], 4000)) == 3020
        assert set(opened) == {f"segments/{new}"}


def test_another_index_in_its_place_is_seen(small, tmp_path: Path):
    with plait.Index.create(tmp_path / "other", dim=32) as other:
        other.add(vectors=clustered(3, seed=9), ids=["x", "y", "z"])
    with plait.Index.open(small.path) as reader:
        small.path.rename(tmp_path / "aside")
        assert len(reader) == 20, "what is open stays open"
        (tmp_path / "other").rename(small.path)
        assert [len(reader), "x" in reader] == [3, True]
        assert len(reader.search(clustered(1, seed=9)[0], 10)) == 3


def test_closing_while_others_search(small):
    failures: list[Exception] = []

    def search() -> None:
        try:
            for _ in range(200):
                assert len(small.search(clustered(1)[0], 5)) == 5
        except errors.IndexClosed:
            pass
        except Exception as error:  # noqa: BLE001  whatever it is, the test must fail with it
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    small.close()
    for thread in threads:
        thread.join()
    assert not failures


READ = """
import os, sys, numpy, plait
numpy.ones(1)
with plait.Index.open(sys.argv[1]) as index:  # everything is imported before root lets go of its rights
    index.search(numpy.ones((2, 32)), 1)
if os.getuid() == 0:
    os.setuid(65534)
with plait.Index.open(sys.argv[2]) as index:
    print(len(index), len(index.search(numpy.ones((2, 32)), 100)), flush=True)
    sys.stdin.readline()
    print(len(index), len(index.search(numpy.ones((2, 32)), 100)))
    try:
        index.delete("1")
    except plait.PlaitError as error:
        print(error)
"""


def readable(path: Path) -> Path:
    for parent in path.parents:
        if parent != Path("/") and parent.owner() == Path.home().owner():
            parent.chmod(parent.stat().st_mode | 0o055)
    for entry in [path, *path.rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    return path


@pytest.mark.parametrize("writer_is_there", [False, True])
def test_a_reader_without_permission_sees_commits(small, tmp_path: Path, shared_index, writer_is_there):
    """The writer has the index open all the time, or only while it writes."""
    if os.getuid() != 0:
        pytest.skip("needs two users: only root can become another one")
    if not writer_is_there:
        small.close()
    readable(small.path)
    reader = subprocess.Popen(
        [sys.executable, "-c", READ, str(shared_index), str(small.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout.readline() == "20 20\n"
    with plait.Index.open(small.path) as writer:
        writer.delete(["3", "4"])
        readable(small.path)
        if not writer_is_there:
            writer.close()
    said = reader.communicate("go on\n")[0].splitlines()
    assert said[0] == "18 18"
    assert "can't be written to" in said[1]


def test_a_log_that_cannot_be_read_is_an_error(small, tmp_path: Path):
    """Not a search that misses what was committed."""
    if os.getuid() != 0:
        pytest.skip("needs two users: only root can become another one")
    small.delete("3")  # still in the log, for the index is open
    copy = tmp_path / "copy"
    shutil.copytree(small.path, copy)
    (copy / "catalog.sqlite-shm").unlink()
    readable(copy)
    script = READ.replace("    print(len", "    print('opened', len", 1)
    result = subprocess.run(
        [sys.executable, "-c", script, str(small.path), str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "catalog.sqlite-wal: holds commits that can't be read without permission" in result.stderr


@pytest.fixture
def read_only(tmp_path: Path):
    """Mounts a folder a second time, for reading only."""
    place = tmp_path / "read-only"
    place.mkdir()

    def run(*command: object) -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def mount(folder: Path) -> Path:
        if not shutil.which("mount") or not run("mount", "--bind", folder, place):
            pytest.skip("needs the right to mount")
        if not run("mount", "-o", "remount,ro,bind", place):
            pytest.skip("needs the right to mount for reading only")
        return place

    yield mount
    run("umount", place)


@pytest.mark.parametrize("side_files", [False, True])
def test_read_only_media(small, tmp_path: Path, read_only, side_files):
    """A folder that was copied while nobody, or somebody, had the index open."""
    small.delete("3")
    if not side_files:
        small.close()
    copy = Path(shutil.copytree(small.path, tmp_path / "copy"))
    assert (copy / "catalog.sqlite-wal").exists() == side_files
    with plait.Index.open(read_only(copy)) as index:
        assert len(index) == len(index.search(clustered(1)[0], 50)) == 19
        assert index.count({"number": {"$lt": 5}}) == 4
        with pytest.raises(errors.StoreError, match="can't be written to: read-only"):
            index.delete("1")
        script = "import sys, plait; plait.Index.open(sys.argv[1]).delete('5')"
        subprocess.run([sys.executable, "-c", script, str(copy)], check=True)  # the other side of the mount
        assert len(index) == 18
