"""Parallel work by Python threads: kernels and ONNX Runtime release the GIL.

Work is always cut into the same pieces, whatever the number of threads, so results never depend
on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from plait.errors import InvalidParameter

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count(threads: int | None) -> int:
    """The number of threads to use: all that this process may run on when ``threads`` is None."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not isinstance(threads, int) or threads < 1:
        raise InvalidParameter(f"threads must be a whole number of at least 1, not {threads!r}")
    return threads


def map_threads(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int | None = None,
    done: Callable[[int], None] | None = None,
) -> list[Result]:
    """``[work(item) for item in items]`` on several threads, in order.

    Args:
        work: a function that spends its time outside the GIL.
        items: what to call it with.
        threads: None for all cores.
        done: called on the caller's thread with the number of results so far.

    Raises:
        Exception: the first error that ``work`` raised; pieces not begun are dropped.
    """
    pieces = list(items)
    count = min(thread_count(threads), len(pieces))
    if count <= 1:
        return _map_here(work, pieces, done)
    results = []
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(work, piece) for piece in pieces]
        try:
            for number, future in enumerate(futures, start=1):
                results.append(future.result())
                if done:
                    done(number)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    return results


def _map_here(
    work: Callable[[Item], Result], pieces: list[Item], done: Callable[[int], None] | None
) -> list[Result]:
    results = []
    for number, piece in enumerate(pieces, start=1):
        results.append(work(piece))
        if done:
            done(number)
    return results


def row_blocks(nrows: int, block: int) -> list[slice]:
    """Slices of at most ``block`` rows that cover ``range(nrows)``."""
    return [slice(start, min(start + block, nrows)) for start in range(0, nrows, block)]
