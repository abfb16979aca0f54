"""Processes that write to an index until they are killed.

One server process has everything imported and the recorder preloaded; each victim is a fork of it. They talk
in lines of JSON: a job in; ``pid``, ``begun``, ``done``, ``failed``, ``ended`` and ``exit`` out.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import plait
from tests.crash import history, recorder

ROOT = Path(__file__).parents[2]
#: Seconds without a word after which a victim counts as hanging.
PATIENCE = 120.0
#: In the message of an error after which a step must not be done again.
COMMITTED = "the change was committed"


@dataclass
class Job:
    """What a victim does.

    Attributes:
        folder: of the index; all changes in the folder around it are seen.
        steps: of history.py.
        create: the layout of the index to make first; None to open the one that is there.
        trace: where to write the operations, if anywhere.
        kill_at, torn: as for ``Recorder.begin``.
        fail: arguments of ``Recorder.fail``; None for no failures.
        watcher: whether a second ``Index`` stays open, so that SQLite's log is not folded in at each close.
    """

    folder: str
    steps: list[history.Step]
    create: dict[str, Any] | None = None
    trace: str = ""
    kill_at: int = 0
    torn: bool = False
    fail: tuple[str, int, int, int] | None = None
    watcher: bool = False


@dataclass
class Outcome:
    """What became of a victim.

    Attributes:
        created: whether the index was made, if that was asked for.
        done: steps that were acknowledged.
        begun: steps that were begun: ``done`` or one more.
        failures: place of the step, class and message of each error that was raised.
        ended: whether it came to its end.
        signal: that ended it; 0 if none did.
    """

    created: bool = False
    done: int = 0
    begun: int = 0
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    ended: bool = False
    signal: int = 0

    def hear(self, words: dict[str, Any]) -> None:
        """Take in what the victim says."""
        match words:
            case {"created": True}:
                self.created = True
            case {"begun": place}:
                self.begun = place + 1
            case {"done": place}:
                self.done = place + 1
            case {"failed": place, "class": name, "message": message}:
                self.failures.append((place, name, message))
            case {"ended": True}:
                self.ended = True


class Victims:
    """The server, from the side of the tests. A context manager."""

    def __init__(self, library: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.victims"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1"},
        )
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def run(self, job: Job, kill_after: float | None = None) -> Outcome:
        """Run one victim; ``kill_after`` so many seconds it is killed wherever it is."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(vars(job)).encode() + b"\n")
        self._process.stdin.flush()
        outcome, pid, deadline = Outcome(), None, None
        while True:
            line = self._line(deadline)
            if line is None:
                os.kill(pid, signal.SIGKILL)
                deadline = None
                continue
            match line:
                case {"pid": pid}:
                    deadline = None if kill_after is None else time.monotonic() + kill_after
                case {"exit": status}:
                    outcome.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
                    assert outcome.signal or outcome.ended or outcome.failures, f"it stopped: {outcome}"
                    return outcome
                case _:
                    outcome.hear(line)

    def _line(self, deadline: float | None) -> dict[str, Any] | None:
        """The next line; None when the deadline has passed."""
        assert self._process.stdout
        while b"\n" not in self._buffer:
            wait = PATIENCE if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._process.stdout], [], [], wait)
            if not ready and deadline is None:
                raise AssertionError("a victim hangs")
            if not ready:
                return None
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                raise AssertionError("the server of victims died")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)


# On the other side ---------------------------------------------------------------------------------------


def _serve() -> None:
    """Fork a victim for each line."""
    _warm_up()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _die(Job(**json.loads(line)))
        _say(pid=pid)
        _, status = os.waitpid(pid, 0)
        _say(exit=status)


def _warm_up() -> None:
    """Everything that a victim needs is imported."""
    with tempfile.TemporaryDirectory() as folder, history.small_limits():
        steps, _ = history.Generator(0).steps({}, 12)
        history.create(Path(folder) / "index", {"level": "compact"})
        index = history.open_index(Path(folder) / "index")
        for step in steps:
            index = history.perform(step, index)
        index.close()


def _die(job: Job) -> None:
    """What a victim does; never returns."""
    status = 1
    try:
        with history.small_limits():
            _work(job)
        status = 0
    finally:
        os._exit(status)


def _work(job: Job) -> None:
    spy = recorder.Recorder()
    spy.begin(str(Path(job.folder).parent), trace=job.trace, kill_at=job.kill_at, torn=job.torn)
    path = Path(job.folder)
    if job.create is not None:
        history.create(path, job.create)
        _report(spy, created=True)
    with _watching(path) if job.watcher else nullcontext():
        index = history.open_index(path)
        if job.fail:
            spy.fail(*job.fail)
        for place, step in enumerate(job.steps):
            _report(spy, begun=place)
            index = _insist(step, place, index)
            _report(spy, done=place)
        index.close()
    spy.end()
    _say(ended=True)


def _insist(step: history.Step, place: int, index: plait.Index) -> plait.Index:
    """Do a step; one that was refused is done again, as a user would once there is room on the disk."""
    for _ in range(20):
        try:
            return history.perform(step, index)
        except plait.PlaitError as error:
            _say(failed=place, **{"class": type(error).__name__, "message": str(error)})
            if COMMITTED in str(error):
                return index
        except Exception as error:
            _say(failed=place, **{"class": f"not plait's: {type(error).__name__}", "message": str(error)})
            raise
    raise AssertionError("a step is refused again and again")


@contextmanager
def _watching(path: Path) -> Iterator[None]:
    with plait.Index.open(path):
        yield


def _report(spy: recorder.Recorder, **words: Any) -> None:
    """Acknowledge: in the trace, and to the tests."""
    spy.note(json.dumps(words))
    _say(**words)


def _say(**words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    _serve()
