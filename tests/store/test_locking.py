"""One writer at a time, named to those who wait; changes of one thread and of several."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import plait
from plait import errors
from plait.store import WriteOptions, writing
from plait.store.format import holder_path
from tests.conftest import clustered

ROOT = str(Path(__file__).parents[2])
#: Takes the lock, says so, and keeps it until a line comes.
HOLDER = """
import sys, pathlib
from plait.store import WriteOptions, writing
with writing(pathlib.Path(sys.argv[1]), WriteOptions(doing="adding documents")):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(small):
    """Another process that holds the write lock of ``small``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(small.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_is_told_who_holds_the_index(small, holder):
    with plait.Index.open(small.path, timeout=0.05) as second:
        with pytest.raises(errors.IndexLocked) as caught:
            second.add(vectors=clustered(1), ids=["x"])
        assert f"process {holder.pid} on " in str(caught.value)
        assert "(adding documents, since 20" in str(caught.value)
        assert "waited 0.05 s" in str(caught.value)
        with pytest.raises(errors.IndexLocked), second.transaction(timeout=0):
            pass
        assert len(second.search(clustered(20)[0], 5)) == 5, "searching is never in the way"
        holder.communicate("go on\n")
        second.add(vectors=clustered(1), ids=["x"])
    assert not holder_path(small.path).exists()


def test_a_writer_waits_for_the_other_one_to_end(small, holder):
    done = []
    thread = threading.Thread(target=lambda: done.append(small.delete("3")))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    holder.communicate("go on\n")
    thread.join()
    assert done == [1]


def test_a_killed_writer_leaves_no_lock(small, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert json.loads(holder_path(small.path).read_text())["pid"] == holder.pid, "the note is left, and lies"
    with plait.Index.open(small.path, timeout=0.05) as second:
        assert second.delete("3") == 1
    assert not holder_path(small.path).exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"pid": 1}', "\x00", None])
def test_the_note_is_only_a_note(small, content):
    path = holder_path(small.path)
    with writing(small.path, WriteOptions()):
        path.unlink()
        if content is not None:
            path.write_text(content)
        with (
            plait.Index.open(small.path, timeout=0) as second,
            pytest.raises(errors.IndexLocked, match="by another process"),
        ):
            second.delete("3")


def test_a_link_in_place_of_the_note_is_not_followed(small, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    holder_path(small.path).symlink_to(victim)
    small.delete("3")
    assert victim.read_text() == "mine"


def test_threads_of_one_index_take_turns(small):
    def add(number: int) -> None:
        small.add(vectors=clustered(3, seed=number), ids=[f"{number}-{place}" for place in range(3)])

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(small) == 20 + 18


def test_a_thread_waits_for_the_transaction_of_another(small):
    with plait.Index.open(small.path, timeout=0.05) as index, index.transaction():
        failures = []

        def delete() -> None:
            try:
                index.delete("3")
            except errors.IndexLocked as error:
                failures.append(str(error))

        thread = threading.Thread(target=delete)
        thread.start()
        thread.join()
        assert len(failures) == 1
        assert "another thread of this process" in failures[0]


def test_a_transaction_is_one_commit(small):
    with plait.Index.open(small.path) as reader:
        with small.transaction():
            small.add(vectors=clustered(2), ids=["a", "b"])
            small.delete(["0", "a"])
            small.add(vectors=clustered(3000), ids=[f"n{n}" for n in range(3000)])
            assert (len(reader), len(small)) == (20, 20)
        assert (len(reader), len(small)) == (3020, 3020)
        assert "b" in reader
        assert "a" not in reader
        assert len(reader.search(clustered(1)[0], 4000)) == 3020


def test_a_transaction_that_raises_commits_nothing(small):
    before = sorted(small.path.rglob("*.npy"))
    with pytest.raises(ZeroDivisionError), small.transaction():
        small.add(vectors=clustered(2), ids=["a", "b"])
        small.delete("0")
        1 / 0  # noqa: B018
    assert len(small) == 20
    assert "0" in small
    assert sorted(small.path.rglob("*.npy")) == before


def test_a_change_that_fails_is_undone_alone(small):
    with small.transaction():
        small.add(vectors=clustered(2), ids=["a", "b"])
        with pytest.raises(errors.DuplicateId, match="'b'"):
            small.add(vectors=clustered(2), ids=["c", "b"])
        with pytest.raises(errors.InvalidVectors):
            small.add_stream([clustered(2)], ids=["d", "e", "f"])
        small.delete("1")
    assert len(small) == 21
    assert not {"c", "d"} & {hit.id for hit in small.search(clustered(1)[0], 30)}
    assert len(list((small.path / "segments").iterdir())) == 2


def test_transactions_nest(small):
    with small.transaction():
        small.add(vectors=clustered(1), ids=["a"])
        with pytest.raises(ZeroDivisionError), small.transaction():
            small.add(vectors=clustered(1), ids=["b"])
            1 / 0  # noqa: B018
        with small.transaction():
            small.add(vectors=clustered(1), ids=["c"])
    assert {"a", "c"} <= {hit.id for hit in small.search(clustered(1)[0], 30)}
    assert "b" not in small
