"""A backup is one committed state, whatever others do meanwhile; half of one is no index."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import plait
from plait import errors
from plait.store import backup, backups, verify
from tests.conftest import clustered

DOCUMENTS = clustered(600)
WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
import plait
from tests.conftest import clustered
documents = clustered(600)
with plait.Index.open(sys.argv[1]) as index:
    print("ready", flush=True)
    for begin in range(20, 320, 10):
        with index.transaction():
            index.add(vectors=documents[begin : begin + 10])
            index.delete(str(begin))
        if begin % 40 == 0:
            index.compact()
"""


@pytest.fixture
def index(tmp_path: Path) -> plait.Index:
    index = plait.Index.create(tmp_path / "index", dim=32)
    index.add(vectors=DOCUMENTS[:20], texts=[f"text {n}" for n in range(20)])
    index.delete("3")
    return index


@pytest.mark.parametrize("hard_links", [False, True])
def test_a_backup_is_the_same_index(index: plait.Index, tmp_path: Path, hard_links: bool):
    seen = []
    copy = tmp_path / "far" / "copy"
    index.backup(copy, hard_links=hard_links, progress=lambda *told: seen.append(told))
    assert seen[-1][1] == seen[-1][2] > 0
    assert verify(copy) == []
    for file in sorted(index.path.rglob("*.npy")):
        other = copy / file.relative_to(index.path)
        assert other.read_bytes() == file.read_bytes()
        assert (other.stat().st_ino == file.stat().st_ino) == (hard_links and "segments" in file.parts)
    query, before = DOCUMENTS[7], index.search(DOCUMENTS[7], 30)
    with plait.Index.open(copy) as other:
        assert other.search(query, 30) == before
        other.add(vectors=DOCUMENTS[20:30])
        other.delete(["7"])
        other.compact()
    assert index.search(query, 30) == before
    assert index.verify() == []


def test_backups_while_a_process_writes(index: plait.Index, tmp_path: Path):
    index.close()
    command = [sys.executable, "-c", WRITER, str(index.path), str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "ready\n"
        number = 0
        while writer.poll() is None or not number:
            copy = tmp_path / f"copy {number}"
            backup(index.path, copy)
            assert verify(copy) == []
            with plait.Index.open(copy) as other:
                held = {hit.id for hit in other.search(DOCUMENTS[0], 1000)}
                assert len(held) == len(other)
                tens = (len(held) - 19) // 9
                gone = {str(begin) for begin in range(20, 20 + 10 * tens, 10)} | {"3"}
                assert held == {str(n) for n in range(20 + 10 * tens)} - gone
            shutil.rmtree(copy)
            number += 1
    assert writer.returncode == 0
    with plait.Index.open(index.path) as after:
        assert len(after) == 320 - 1 - 30


def test_files_that_are_removed_meanwhile_are_copied_all_the_same(
    index: plait.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    index.add(vectors=DOCUMENTS[20:30])
    before = index.search(DOCUMENTS[7], 30)
    copied = backups._copy

    def after_compaction(*args: object) -> None:
        monkeypatch.undo()
        index.compact()
        copied(*args)

    monkeypatch.setattr(backups, "_copy", after_compaction)
    index.backup(tmp_path / "copy")
    with plait.Index.open(tmp_path / "copy") as other:
        assert other.stats().segments == 2
        assert other.search(DOCUMENTS[7], 30) == before


class Stop(Exception):
    pass


@pytest.mark.parametrize("where", ["_copy", "layout.sync_folder"])
def test_half_a_backup_is_no_index(
    index: plait.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
):
    def stop(*args: object) -> None:
        if where == "_copy":
            assert not (tmp_path / "copy" / "catalog.sqlite").exists()
        raise Stop

    monkeypatch.setattr(f"plait.store.backups.{where}", stop)
    with pytest.raises(Stop):
        index.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_backup_that_was_killed_is_no_index(index: plait.Index, tmp_path: Path):
    script = """
import os, sys, plait
from plait.store.catalog import Catalog
Catalog.copy_to = lambda self, folder: os._exit(9)
with plait.Index.open(sys.argv[1]) as index:
    index.backup(sys.argv[2])
"""
    copy = tmp_path / "copy"
    killed = subprocess.run([sys.executable, "-c", script, str(index.path), str(copy)], check=False)
    assert killed.returncode == 9
    assert copy.exists()
    with pytest.raises(errors.IndexNotFound):
        plait.Index.open(copy)
    with pytest.raises(errors.IndexAlreadyExists, match="another folder"):
        index.backup(copy)


def test_damage_is_not_copied(index: plait.Index, tmp_path: Path):
    file = next(index.path.rglob("vectors.npy"))
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(errors.IndexCorrupt, match=r"vectors\.npy: does not match its checksum"):
        index.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_copying_the_folder_is_enough_while_nobody_writes(index: plait.Index, tmp_path: Path):
    before = index.search(DOCUMENTS[7], 30)
    shutil.copytree(index.path, tmp_path / "open")  # somebody has it open: SQLite's side files are there
    index.close()
    shutil.copytree(index.path, tmp_path / "closed")
    for name in ("open", "closed"):
        assert verify(tmp_path / name) == []
        with plait.Index.open(tmp_path / name) as other:
            assert other.search(DOCUMENTS[7], 30) == before
            other.add(vectors=DOCUMENTS[20:22])


def test_without_permission_to_write(index: plait.Index, tmp_path: Path):
    index.close()
    for path in [*index.path.rglob("*"), index.path]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    backup(index.path, tmp_path / "copy")
    with plait.Index.open(tmp_path / "copy") as other:
        other.add(vectors=DOCUMENTS[20:22])
