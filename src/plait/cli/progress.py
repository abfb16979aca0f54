"""Progress bars on stderr, when somebody is looking."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm

#: What is said of each stage, and what is counted.
_STAGES = {
    "encode": ("encoding", " texts"),
    "train": ("training the codec", " rounds"),
    "compress": ("compressing", " texts"),
    "import": ("taking over", " texts"),
    "merge": ("merging segments", " texts"),
    "copy": ("copying", " bytes"),
    "export": ("writing", " texts"),
    "search": ("searching", " queries"),
    "mine": ("mining", " queries"),
    "steps": ("training", " steps"),
    "validate": ("ranking held-out groups", " passes"),
}


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None] | None]:
    """Give the block what to call with (stage, done, total), or None when stderr is no terminal.

    It may be called from several threads. The bars disappear at the end.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    bars: dict[str, tqdm[None]] = {}
    lock = threading.Lock()
    with ExitStack() as open_bars:

        def report(stage: str, done: int, total: int) -> None:
            with lock:
                if stage not in bars:
                    name, unit = _STAGES.get(stage, (stage, " pairs" if ":" in stage else ""))
                    bars[stage] = open_bars.enter_context(
                        tqdm(
                            desc=name,
                            unit=unit,
                            total=total,
                            leave=False,
                            file=sys.stderr,
                            dynamic_ncols=True,
                            smoothing=0,  # stages take turns: the mean rate tells best when the end comes
                        )
                    )
                bars[stage].total = total
                bars[stage].update(done - bars[stage].n)

        yield report
