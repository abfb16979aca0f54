"""Progress bars on stderr, when somebody is looking."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

_STAGES = {
    "encode": "encoding",
    "train": "training the codec",
    "compress": "compressing",
    "search": "searching",
}


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None] | None]:
    """Give the block what to call with (stage, done, total), or None when stderr is no terminal.

    It may be called from several threads. The bars disappear at the end.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def report(stage: str, done: int, total: int) -> None:
            with lock:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(_STAGES.get(stage, stage), total=total)
                bars.update(tasks[stage], completed=done, total=total)

        yield report
