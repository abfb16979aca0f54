"""Kills, power cuts and full disks, in short; `make crash` runs them at length."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import recorder
from tests.crash.disk import Disk
from tests.crash.harness import REFUSALS, Figures, Harness
from tests.crash.recorder import Operation
from tests.crash.victims import Victims

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or recorder.compiler() is None, reason="needs Linux and a C compiler"
)


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    with Victims(recorder.build(tmp_path_factory.mktemp("recorder"))) as server:
        yield server


@pytest.fixture
def harness(victims: Victims, tmp_path: Path) -> Harness:
    return Harness(victims, tmp_path.resolve(), seed=1)


def require_no_fault(figures: Figures, runs: int) -> None:
    assert not figures.faults, "\n".join(figures.faults)
    assert figures.runs == runs
    assert figures.acknowledged > runs // 4


def test_nothing_committed_is_lost(harness: Harness):
    require_no_fault(harness.kills(10), 10)
    require_no_fault(harness.power_cuts(15), 15)
    require_no_fault(harness.refusals(4, "a full disk"), 4)


@pytest.mark.slow
def test_kills(harness: Harness):
    figures = harness.kills(150)
    require_no_fault(figures, 150)
    assert figures.in_flight_lost > 10
    assert min(figures.by.values()) > 20


@pytest.mark.slow
def test_a_kill_at_each_file_operation(harness: Harness):
    figures = harness.every_operation(3)
    assert not figures.faults, "\n".join(figures.faults)
    assert figures.runs > 50


@pytest.mark.slow
def test_power_cuts(harness: Harness):
    figures = harness.power_cuts(240)
    require_no_fault(figures, 240)
    assert figures.in_flight_lost > 10
    assert figures.in_flight_kept > 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_system_that_refuses(harness: Harness, kind: str):
    figures = harness.refusals(25, kind)
    require_no_fault(figures, 25)
    assert figures.by


def without_fsync(ending: str) -> object:
    """Traces in which files, or folders (""), of that ending are never flushed."""

    def changed(operations: list[Operation]) -> list[Operation]:
        names: dict[int, str] = {}
        kept = []
        for operation in operations:
            if operation.kind == "O":
                names[operation.fd] = operation.path
            if operation.kind != "S" or Path(names[operation.fd]).suffix != ending:
                kept.append(operation)
        return kept

    return changed


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".npy", ".sqlite-wal", ""])
def test_a_missing_fsync_is_found(harness: Harness, ending: str):
    """The tests themselves: what is not flushed is lost in some of the power cuts."""
    assert harness.power_cuts(60, without_fsync(ending)).faults


# The model of a disk -------------------------------------------------------------------------------------


def contents(
    operations: list[Operation], tmp_path: Path, tries: int = 60
) -> set[tuple[tuple[str, bytes], ...]]:
    """All states of the disk that are found in so many power cuts."""
    found = set()
    for number in range(tries):
        disk = Disk(Path("/x"))
        for operation in operations:
            disk.apply(operation)
        root = tmp_path / str(number)
        disk.power_cut(root, random.Random(number))
        files = sorted(path for path in root.rglob("*") if path.is_file())
        found.add(tuple((str(path.relative_to(root)), path.read_bytes()) for path in files))
    return found


def operation(kind: str, fd: int = 3, path: str = "", number: int = 0, data: bytes = b"") -> Operation:
    return Operation(kind, fd, number, path, data)


def test_what_was_flushed_is_there_and_nothing_else_is_sure(tmp_path: Path):
    write = [operation("O", path="/x/a"), operation("W", data=b"1" * 1024)]
    folder = [operation("O", 4, "/x"), operation("S", 4)]
    assert contents([*write, operation("S"), *folder], tmp_path / "1") == {(("a", b"1" * 1024),)}
    unsure = contents([*write, *folder], tmp_path / "2")
    assert {(("a", b""),), (("a", b"1" * 1024),), (("a", b"1" * 512),)} <= unsure
    assert contents([*write, operation("S")], tmp_path / "3") == {(), (("a", b"1" * 1024),)}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in "123":
        (tmp_path / name).mkdir()


def test_a_removal_and_a_new_name_are_sure_when_the_folder_is(tmp_path: Path):
    made = [
        operation("O", path="/x/a"),
        operation("W", data=b"old"),
        operation("S"),
        operation("O", 4, "/x"),
        operation("S", 4),
    ]
    assert contents([*made, operation("U", path="/x/a")], tmp_path / "1") == {(), (("a", b"old"),)}
    renamed = [*made, operation("R", path="/x/a", data=b"/x/b")]
    assert contents(renamed, tmp_path / "2") == {(("a", b"old"),), (("b", b"old"),)}
    assert contents([*renamed, operation("S", 4)], tmp_path / "3") == {(("b", b"old"),)}
