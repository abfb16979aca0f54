"""``train``: groups in, a checkpoint out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.errors import InvalidParameter
from plait.train.groups import Group, read_groups, split_groups
from plait.train.log import Row
from plait.train.settings import TrainSettings, settings_from
from plait.train.systems import require_torch
from plait.types import Progress

if TYPE_CHECKING:
    from plait.train.loop import Run

"""Called with a stage ("steps", "validate"), how much of it is done, and how much there is."""

CACHE_BYTES = 2 << 30
MOST_HELD_OUT = 500


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out of a run.

    Attributes:
        folder: the checkpoint.
        steps: how many steps were made.
        ndcg: held-out nDCG@10 of what was kept; None without held-out groups.
        first_ndcg: the same before the first step.
        rows: the log.
    """

    folder: Path
    steps: int
    ndcg: float | None
    first_ndcg: float | None
    rows: list[Row]


def train(
    groups: str | Path | Sequence[Group],
    output: str | Path,
    *,
    model: str | Path,
    held_out: float | int | str | Path | Sequence[Group] | None = None,
    cache: str | Path | None = None,
    cache_bytes: int = CACHE_BYTES,
    resume: bool = False,
    progress: Progress | None = None,
    settings: TrainSettings | None = None,
    **options: Any,
) -> Trained:
    """Train a system on groups.

    Seeds are fixed: the same call on the same machine with the same number of threads gives the same weights.
    Ctrl-C leaves a checkpoint that ``resume`` goes on from.

    Args:
        groups: a file of groups (``read_groups``), or groups.
        output: the folder to make. The checkpoint is in it; its folder ``training`` holds the log, the
            curves and what it takes to go on.
        model: the folder or hub name of the base: a transformer, or a system that is trained further;
            "builtin" for the model that ships inside plait.
        held_out: a share (below 1) or number of the groups, parted so that no query and no positive is on
            both sides; or a file of other groups; None for a twentieth of the groups, ``MOST_HELD_OUT`` at
            most; 0 for none.
        cache: a folder where outputs of frozen layers are kept, also for other runs; None for memory.
        cache_bytes: how much of them is kept at most; 0 to make them each time.
        resume: go on with the run in ``output``, which must have been started with the same arguments. Where
            there is none, start.
        progress: called with a stage, how much is done, and how much there is.
        settings: everything else, by default ``TrainSettings()``.
        **options: single values of ``TrainSettings``, such as ``system="bi-encoder"``.

    Raises:
        MissingExtra: torch or sentence-transformers is not installed.
        InvalidParameter: a setting can't be used, ``output`` exists already, or ``resume`` differs from
            what was started.
        SourceNotFound, BadRecord, EmptyCorpus: about the groups.
        CheckpointError: the base can't be loaded.
        KeyboardInterrupt: after Ctrl-C, when the state is written.
    """
    require_torch()
    settings = settings_from({}) if settings is None else settings
    settings = settings.replace(**options) if options else settings
    learned, judged = _parted(groups, held_out, settings)
    _require_scores(learned, settings)
    output = Path(output)
    from plait.train.loop import Run

    run = Run(output, learned, judged, settings, progress)
    run.prepare(str(model), resume)
    run.keep_frozen_outputs(None if cache is None else Path(cache), cache_bytes)
    try:
        with _stopping(run):
            run.go()
        return run.finish()
    finally:
        run.close()


def _parted(
    groups: str | Path | Sequence[Group],
    held_out: float | int | str | Path | Sequence[Group] | None,
    settings: TrainSettings,
) -> tuple[list[Group], list[Group]]:
    learned = read_groups(groups) if isinstance(groups, str | Path) else list(groups)
    if not learned:
        raise InvalidParameter("there are no groups to train on")
    if held_out is None:
        held_out = min(MOST_HELD_OUT, max(1, len(learned) // 20)) if len(learned) > 1 else 0
    if isinstance(held_out, str | Path):
        return learned, read_groups(held_out)
    if isinstance(held_out, int | float):
        return split_groups(learned, held_out, settings.seed) if held_out else (learned, [])
    return learned, list(held_out)


def _require_scores(groups: Sequence[Group], settings: TrainSettings) -> None:
    """Refuse what can't be learned from these groups."""
    if settings.distillation:
        for place, group in enumerate(groups):
            if group.scores is None or len(group.documents) < 2:
                raise InvalidParameter(
                    f"distillation needs a teacher's scores for at least 2 documents of each group, and "
                    f"group {place} ({group.query[:40]!r}) has none: let a teacher score them, or set "
                    f"distillation to 0"
                )
    if settings.contrastive and not settings.in_batch and all(len(group.documents) == 1 for group in groups):
        raise InvalidParameter("the groups have no negatives: mine some, or use in_batch negatives")
    if settings.contrastive and len(groups) == 1 and len(groups[0].documents) == 1:
        raise InvalidParameter("one group without negatives: there is nothing to tell apart")


@contextmanager
def _stopping(run: Run) -> Iterator[None]:
    """Ctrl-C stops the run where its state is whole; a second one stops it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: object) -> None:
        if run.stopped:
            raise KeyboardInterrupt
        run.stopped = True

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
