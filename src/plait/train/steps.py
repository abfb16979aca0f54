"""Steps that are done once: what was made of the same inputs is not made again."""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from plait.errors import InvalidParameter
from plait.train.hashing import hash_files, hash_of

Notice: TypeAlias = Callable[[str, str, float], None]
"""Called with a step's name, "begun", "done" or "unchanged", and the seconds that it took."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that is done.

    Attributes:
        identity: a hash of what it made, for the inputs of further steps.
        result: what its work returned.
        seconds: that it took.
    """

    identity: str
    result: dict[str, Any]
    seconds: float


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs; the lock dies with the process.

    Raises:
        InvalidParameter: somebody is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidParameter(f"{folder} is being worked in by another process: wait for it") from None
        yield


class Steps:
    """The steps in one folder, each with a record of the hashes of its inputs and outputs."""

    def __init__(self, folder: Path, notice: Notice | None = None) -> None:
        """Look at a folder.

        Args:
            folder: where steps write, and their records are kept.
            notice: is told what happens.
        """
        self.folder = folder
        self._records = folder / "steps"
        self._notice = notice or (lambda name, state, seconds: None)

    def do(
        self,
        name: str,
        inputs: Any,
        outputs: Sequence[Path],
        work: Callable[[], dict[str, Any]],
        *,
        remains: Sequence[Path] = (),
        content: Callable[[], str] | None = None,
    ) -> Done:
        """Do a step, unless it was done with the same inputs.

        A step that was begun with the same inputs and cut off finds what it left. With other inputs that is
        removed first, and what was made of the old ones too.

        Args:
            name: of the step; a file name.
            inputs: everything it depends on, of values that JSON can hold.
            outputs: files and folders that it makes, in ``folder``.
            work: makes them; returns figures for the report.
            remains: what it goes on from when it is cut off.
            content: a hash of what it made; by default over all files of ``outputs``.

        Raises:
            InvalidParameter: an output was changed by somebody else.
        """
        wanted = hash_of(name, inputs)
        record = self._read(name)
        content = content or (lambda: hash_of([hash_files(path) for path in outputs]))
        if record.get("inputs") == wanted and "identity" in record and all(map(Path.exists, outputs)):
            if content() != record["identity"]:
                raise InvalidParameter(
                    f"{outputs[0]} was changed after the step {name!r} made it; remove it to make it again"
                )
            self._notice(name, "unchanged", record["seconds"])
            return Done(record["identity"], record["result"], record["seconds"])
        self._notice(name, "begun", 0.0)
        if record.get("inputs") != wanted:
            _remove([*outputs, *remains])
        elif "identity" in record:
            _remove(outputs)  # some of them are missing: somebody wants them made again
        before = 0.0 if record.get("inputs") != wanted else record.get("spent", 0.0)
        self._write(name, {"inputs": wanted, "spent": before})
        start = time.monotonic()
        try:
            result = work()
        except BaseException:
            self._write(name, {"inputs": wanted, "spent": before + time.monotonic() - start})
            raise
        done = Done(content(), result, before + time.monotonic() - start)
        self._write(
            name,
            {"inputs": wanted, "identity": done.identity, "result": result, "seconds": done.seconds},
        )
        self._notice(name, "done", done.seconds)
        return done

    def _path(self, name: str) -> Path:
        return self._records / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return record

    def _write(self, name: str, record: dict[str, Any]) -> None:
        self._records.mkdir(parents=True, exist_ok=True)
        unfinished = self._path(name).with_suffix(".part")
        unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")
        unfinished.replace(self._path(name))


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
