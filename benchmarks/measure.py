"""Clocks, memory and output of the benchmarks: NumPy only, so that rivals' environments can use it.

Import it as a module and before NumPy (`import measure` sorts first): it keeps numeric libraries to one
thread, in this process and those it starts. Work is measured in CPU time of the whole process, which a
shared machine disturbs less than wall time.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["RAYON_NUM_THREADS"] = "1"

import argparse
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line whose help is the script's own text."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def cpu_model() -> str:
    """Vendor's name, or family and model where the system hides it."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"model name\s*: (.*)", text)
    numbers = re.search(r"vendor_id\s*: (.*)\ncpu family\s*: (.*)\nmodel\s*: (.*)", text)
    if name and name[1].strip() not in ("", "unknown"):
        return name[1].strip()
    return "{} family {} model {}".format(*numbers.groups()) if numbers else "unknown"


def emit(benchmark: str, engine: str, **facts: Any) -> None:
    """Print one result as a JSON line; ``version`` is the installed package's unless it is given."""
    record = {
        "benchmark": benchmark,
        "engine": engine,
        "version": facts.pop("version", None) or version(engine),
        "threads": 1,
        "cpu_model": cpu_model(),
    }
    print(json.dumps(record | facts), flush=True)


def made_with(name: str) -> dict[str, Any]:
    """Arguments of Index.create: a level by its name, or the residual codec by its bits."""
    return {"nbits": int(name)} if name.isdigit() else {"level": name}


def peak_rss() -> int:
    """Bytes this process has held at most: VmHWM, which unlike ru_maxrss a parent's size does not raise."""
    return _status("VmHWM")


def rss() -> int:
    """Bytes this process holds now."""
    return _status("VmRSS")


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


class Stopwatch:
    """CPU and wall seconds of a block: ``with Stopwatch() as watch: ...; watch.cpu``."""

    def __enter__(self) -> Stopwatch:
        self._began = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = time.process_time() - self._began[0]
        self.wall = time.perf_counter() - self._began[1]


def per_query(
    search: Callable[[Any], Any], queries: Sequence[Any], repeats: int = 3, warm: int = 20
) -> dict[str, Any]:
    """Time one call per query, one after the other, after a warm-up.

    Each query's time is the median of ``repeats``; reported are the median and the 95th percentile over
    queries, and queries per second of CPU time.
    """
    for query in queries[:warm]:
        search(query)
    cpu = np.empty((repeats, len(queries)))
    wall = np.empty((repeats, len(queries)))
    for repeat in range(repeats):
        for place, query in enumerate(queries):
            with Stopwatch() as watch:
                search(query)
            cpu[repeat, place], wall[repeat, place] = watch.cpu, watch.wall
    cpu_ms, wall_ms = np.median(cpu, axis=0) * 1e3, np.median(wall, axis=0) * 1e3
    return {
        "queries": len(queries),
        "cpu_ms": round(float(np.median(cpu_ms)), 3),
        "cpu_ms_p95": round(float(np.percentile(cpu_ms, 95)), 3),
        "wall_ms": round(float(np.median(wall_ms)), 3),
        "wall_ms_p95": round(float(np.percentile(wall_ms, 95)), 3),
        "qps_cpu": round(1e3 / float(cpu_ms.mean()), 1),
    }


def overlap(found: Iterable[Iterable[int]], truth: Iterable[Iterable[int]], k: int) -> float:
    """Mean share of the true best k that is among the k found."""
    shares = [len(set(list(f)[:k]) & set(list(t)[:k])) / k for f, t in zip(found, truth, strict=True)]
    return round(float(np.mean(shares)), 4)


def in_new_process(work: Callable[..., Any], *args: Any) -> Any:
    """``work(*args)`` in a fresh interpreter, so that memory and start-up are its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args)
