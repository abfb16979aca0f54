"""Kills writers, cuts the power, fills the disk; finds out whether anything that was committed got lost.

``make crash KILLS=2000 REPLAYS=2000`` runs it at length, tests/crash/test_crash.py in short.
"""

from __future__ import annotations

import errno
import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import plait
from tests.crash import history
from tests.crash.disk import Disk
from tests.crash.history import Generator
from tests.crash.recorder import Operation, read_trace
from tests.crash.twin import State, Twin, require_documents, require_state, require_swept
from tests.crash.victims import COMMITTED, Job, Outcome, Victims

#: Kills that one index has to survive.
LIVES = 25
#: Power cuts worked out from one trace.
CUTS = 60
#: File operations that a step takes, roughly: where kills and failures are placed.
OPERATIONS_PER_STEP = 40
#: Seconds that a step takes, roughly.
STEP_SECONDS = 0.04
#: Kinds of operations (letters of recorder.c) that fail, and how.
REFUSALS = {
    "a full disk": ("WOM", errno.ENOSPC),
    "a broken disk": ("WSTUM", errno.EIO),
    "an unreadable disk": ("r", errno.EIO),
}


@dataclass
class Figures:
    """What was done, and what was found.

    Attributes:
        runs: kills, power cuts or refusals.
        acknowledged: commits that had to be there.
        in_flight_kept, in_flight_lost: commits that were not acknowledged, by what became of them.
        by: runs, or errors, by their kind.
        faults: what is wrong with plait; must be empty.
    """

    runs: int = 0
    acknowledged: int = 0
    in_flight_kept: int = 0
    in_flight_lost: int = 0
    by: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def count(self, what: str) -> None:
        """One more of these."""
        self.by[what] = self.by.get(what, 0) + 1

    @contextmanager
    def judging(self, where: str) -> Iterator[None]:
        """Whatever goes wrong inside is a finding; the experiments go on."""
        self.runs += 1
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.faults.append(f"{where}: {error!r}")


@dataclass
class Harness:
    """Runs experiments in a scratch folder; the same seed, the same experiments."""

    victims: Victims
    scratch: Path
    seed: int
    report: Callable[[int], None] = lambda done: None

    # Kills -----------------------------------------------------------------------------------

    def kills(self, count: int) -> Figures:
        """Kill writers, at file operations and at random moments; each index has to survive many."""
        figures = Figures()
        for life in range(-(-count // LIVES)):
            luck = random.Random(f"kills {self.seed} {life}")
            layout = luck.choice(history.LAYOUTS)
            with Twin(self._fresh("twin"), layout) as twin:
                self._one_life(luck, layout, twin, min(LIVES, count - figures.runs), figures)
        return figures

    def _one_life(
        self, luck: random.Random, layout: dict[str, Any], twin: Twin, kills: int, figures: Figures
    ) -> None:
        path, generator = self._fresh("killed"), Generator(luck.randrange(1 << 30))
        for number in range(kills):
            steps, _ = generator.steps(twin.state.model, 6)
            where, job, after = _way_to_die(luck, str(path), steps)
            job.create = None if path.exists() else layout
            outcome = self.victims.run(job, after)
            figures.count(where)
            found = len(figures.faults)
            with figures.judging(f"kill {number} of {self.seed}, {where}, {job.kill_at} {job.torn}"):
                if self._after_kill(path, outcome, _Ahead(twin, steps), figures) is not None:
                    twin.become(path)
            if len(figures.faults) > found:
                return
            self.report(figures.runs)
        with figures.judging("a write after the kills"):
            figures.runs -= 1
            require_swept(path)
            require_state(path, [twin.state])

    def _after_kill(
        self, path: Path, outcome: Outcome, states: list[State] | _Ahead, figures: Figures
    ) -> State | None:
        """The state that the index is in; None if it was not made yet."""
        assert outcome.signal in (0, signal.SIGKILL), f"ended by signal {outcome.signal}"
        assert not outcome.failures, outcome.failures
        if not outcome.created and not outcome.begun:
            return _half_made(path, states[0])
        figures.acknowledged += outcome.done
        flight = outcome.begun > outcome.done
        try:
            state = require_state(path, [states[outcome.done]])
            figures.in_flight_lost += flight
        except AssertionError:
            if not flight:
                raise
            state = require_state(path, [states[outcome.begun]])
            figures.in_flight_kept += 1
        return state

    def every_operation(self, nsteps: int) -> Figures:
        """Kill the same history at each of its file operations."""
        figures = Figures()
        steps, _ = Generator(self.seed).steps({}, nsteps)
        layout = history.LAYOUTS[self.seed % len(history.LAYOUTS)]
        with Twin(self._fresh("twin"), layout) as twin:
            states = twin.all_states(steps)
        for kill_at in range(1, 1_000_000):
            path = self._fresh("each")
            job = Job(str(path), steps, create=layout, kill_at=kill_at, torn=kill_at % 2 == 0)
            outcome = self.victims.run(job)
            if not outcome.signal:
                break
            with figures.judging(f"{kill_at=}"):
                self._after_kill(path, outcome, states, figures)
            self.report(figures.runs)
        return figures

    # Power cuts ------------------------------------------------------------------------------

    def power_cuts(self, count: int, changed: Callable[[list[Operation]], list[Operation]] = list) -> Figures:
        """Record histories, and look at what a power cut would have left at points of them.

        Args:
            count: states of the disk to look at.
            changed: alters the traces, for tests of the harness itself.
        """
        figures = Figures()
        for number in range(-(-count // CUTS)):
            luck = random.Random(f"cuts {self.seed} {number}")
            layout = luck.choice(history.LAYOUTS)
            steps, _ = Generator(luck.randrange(1 << 30)).steps({}, 12)
            with Twin(self._fresh("twin"), layout) as twin:
                states = twin.all_states(steps)
            path, trace = self._fresh("recorded"), self.scratch / "trace"
            job = Job(str(path), steps, create=layout, trace=str(trace), watcher=luck.random() < 0.3)
            outcome = self.victims.run(job)
            assert not outcome.failures, outcome.failures
            recorded = changed(list(read_trace(trace)))
            points = set(luck.sample(range(len(recorded)), min(len(recorded), CUTS, count - figures.runs)))
            self._cut(recorded, points, states, path, luck, figures)
        return figures

    def _cut(
        self,
        recorded: list[Operation],
        points: set[int],
        states: list[State],
        path: Path,
        luck: random.Random,
        figures: Figures,
    ) -> None:
        disk, outcome = Disk(path.parent), Outcome()
        for place, operation in enumerate(recorded):
            disk.apply(operation)
            if operation.kind == "N":
                outcome.hear(json.loads(operation.data))
            if place not in points:
                continue
            left = self._fresh("cut").parent
            left.rmdir()
            with figures.judging(f"trace of {len(recorded)} operations, cut after {place}, seed {self.seed}"):
                disk.power_cut(left, luck)
                state = self._after_kill(left / path.name, outcome, states, figures)
                if state is not None and luck.random() < 0.2:
                    self._go_on(left / path.name, state, luck)
            self.report(figures.runs)

    def _go_on(self, path: Path, state: State, luck: random.Random) -> None:
        """An index that survived can be written to, and nothing is left behind."""
        steps, models = Generator(luck.randrange(1 << 30)).steps(state.model, 3)
        outcome = self.victims.run(Job(str(path), steps))
        assert not outcome.failures, outcome.failures
        require_swept(path)
        with plait.Index.open(path) as index:
            require_documents(index, models[-1])

    # Refusals --------------------------------------------------------------------------------

    def refusals(self, count: int, kind: str) -> Figures:
        """The system refuses: a full disk, a disk that can't be written or read any more.

        Every error must be one of plait's, and the step must work when it is done again.
        """
        kinds, code = REFUSALS[kind]
        figures = Figures()
        for number in range(count):
            luck = random.Random(f"{kind} {self.seed} {number}")
            path, layout = self._fresh("refused"), luck.choice(history.LAYOUTS)
            steps, models = Generator(luck.randrange(1 << 30)).steps({}, 5)
            fail = (kinds, luck.randint(1, 30 * len(steps)), luck.choice([1, 1, 2, 5]), code)
            with figures.judging(f"{kind} {number} {fail}"):
                job = Job(str(path), steps, create=layout, fail=fail, watcher=luck.random() < 0.3)
                outcome = self.victims.run(job)
                assert not outcome.signal, f"ended by signal {outcome.signal}"
                figures.acknowledged += outcome.done
                for _, name, message in outcome.failures:
                    figures.count("committed, then StoreError" if COMMITTED in message else name)
                    assert not name.startswith("not plait's"), (name, message)
                require_swept(path)
                with plait.Index.open(path) as index:
                    require_documents(index, models[-1])
            self.report(figures.runs)
        return figures

    def _fresh(self, name: str) -> Path:
        """A path where nothing is, in a folder of its own."""
        shutil.rmtree(self.scratch / name, ignore_errors=True)
        (self.scratch / name).mkdir()
        return self.scratch / name / "index"


class _Ahead:
    """States of a twin that is taken along only as far as the index went."""

    def __init__(self, twin: Twin, steps: list[Any]) -> None:
        self._states = [twin.state]
        self._twin, self._steps = twin, steps

    def __getitem__(self, place: int) -> State:
        while len(self._states) <= place:
            self._states.append(self._twin.advance(self._steps[len(self._states) - 1]))
        return self._states[place]


def _way_to_die(luck: random.Random, path: str, steps: list[Any]) -> tuple[str, Job, float | None]:
    job = Job(path, steps, watcher=luck.random() < 0.3)
    if luck.random() < 0.35:
        return "at a random moment", job, luck.random() * STEP_SECONDS * len(steps)
    job.kill_at = luck.randint(1, OPERATIONS_PER_STEP * len(steps))
    job.torn = luck.random() < 0.5
    return "at a file operation", job, None


def _half_made(path: Path, empty: State) -> State | None:
    """Creating was cut short: there is an empty index, or none, and that is said."""
    try:
        return require_state(path, [empty])
    except plait.errors.IndexNotFound:
        shutil.rmtree(path, ignore_errors=True)
        return None
