"""Ask a method all queries, one after the other, and time it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from plait.pipeline import Hits, Pipeline
from plait.threads import map_threads, thread_count
from plait.types import Hit

#: Queries asked before the first that is timed.
WARM_UP = 5
#: Queries per second are measured on at most so many queries, and for about so many seconds.
MOST_AT_ONCE, SECONDS_AT_ONCE = 200, 10.0


class Retriever(Protocol):
    """Anything that is asked for the best documents."""

    def search(self, query: str, k: int) -> Sequence[Hit]:
        """The best ``k`` documents; ``Hits`` tell what each stage took."""
        ...


class OneThread:
    """A pipeline that uses one thread for a query."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def search(self, query: str, k: int) -> Hits:
        """The best ``k`` documents."""
        return self._pipeline.search_all([query], k, threads=1)[0]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds per query, asked one at a time.

    Attributes:
        p50, p95: wall time, encoding of the query included.
        p50_encoded, p95_encoded: wall time without encoding.
        cpu_p50, cpu_p95: CPU time of the process, encoding included.
        cpu_p50_encoded, cpu_p95_encoded: CPU time without encoding.
    """

    p50: float
    p95: float
    p50_encoded: float
    p95_encoded: float
    cpu_p50: float
    cpu_p95: float
    cpu_p50_encoded: float
    cpu_p95_encoded: float


def ask_all(
    retriever: Retriever,
    queries: Mapping[str, str],
    k: int,
    encoding: Callable[[], tuple[float, float]],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, dict[str, float]], Latency, dict[str, float]]:
    """Ask all queries one at a time.

    Args:
        retriever: what is asked.
        queries: query id -> text.
        k: hits wanted.
        encoding: gives the wall and CPU seconds spent on encoding queries so far.
        progress: called with the number of queries done, and of all.

    Returns:
        The run, the times, and the median milliseconds of each stage.
    """
    texts = list(queries.values())
    for text in texts[-WARM_UP:]:
        retriever.search(text, k)
    run: dict[str, dict[str, float]] = {}
    times = np.empty((len(texts), 4))
    stages: dict[str, list[float]] = {}
    for place, (key, text) in enumerate(queries.items()):
        before, wall, cpu = encoding(), time.perf_counter(), time.process_time()
        hits = retriever.search(text, k)
        spent = time.perf_counter() - wall, time.process_time() - cpu
        after = encoding()
        times[place] = (*spent, spent[0] - after[0] + before[0], spent[1] - after[1] + before[1])
        for stage, took in getattr(hits, "timings", {}).items():
            stages.setdefault(stage, []).append(took)
        run[key] = {hit.id: float(hit.score) for hit in hits}
        if progress:
            progress(place + 1, len(texts))
    p50, p95 = (np.percentile(times * 1e3, share, axis=0).tolist() for share in (50, 95))
    latency = Latency(p50[0], p95[0], p50[2], p95[2], p50[1], p95[1], p50[3], p95[3])
    return run, latency, {stage: float(np.median(took)) for stage, took in stages.items()}


def queries_per_second(
    retriever: Retriever, queries: Sequence[str], k: int, threads: int | None = None
) -> float:
    """Ask queries from as many threads as there are cores, each of which asks one at a time.

    Args:
        retriever: what is asked; it must allow several threads.
        queries: the first 200 are asked, as far as ten seconds reach.
        k: hits wanted.
        threads: None for all cores.
    """
    began = time.perf_counter()
    end = began + SECONDS_AT_ONCE

    def ask(text: str) -> bool:
        if time.perf_counter() > end:
            return False
        retriever.search(text, k)
        return True

    asked = sum(map_threads(ask, queries[:MOST_AT_ONCE], thread_count(threads)))
    return asked / (time.perf_counter() - began)
