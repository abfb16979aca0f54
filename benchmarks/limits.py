"""Rescoring beside what the processor can do: `python benchmarks/limits.py VECTORS [--made balanced 4 ...]`.

peak.cpp is compiled and run first: multiply-adds of bytes from registers, and bytes read from memory, on
one thread (needs g++; without it no shares are printed). Then real documents are rescored from the codes of
an index, 32 query tokens at a time: "hot" 60 documents again and again, which stay in the cache, and "cold"
4,000 documents in random order from eight copies of the codes, more than the caches hold.

    gops        2 * query tokens * document tokens * dimensions / second: what MaxSim needs at least, whatever
                a codec adds to it (a centroid for each token, unpacking, gains)
    of_peak     that, as a share of the peak measured in the same run
    read_gb_s   bytes of codes that are read, in a second
"""

from __future__ import annotations

import itertools
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import measure
import numpy as np
from vectors import VectorSet

import plait
from plait import kernels
from plait.codec import ResidualCodec, ScaledCodec
from plait.search.residual import ResidualQuery
from plait.search.scaled import ScaledQuery
from plait.store import Segment, open_snapshot
from plait.types import offsets_of

MADE = ("compact", "balanced", "precise", "1", "2", "4", "8")
HOT, COLD, COPIES, REPEATS = 60, 4000, 8, 7


def peak(folder: Path) -> dict[str, float]:
    """Billions of byte operations and of bytes read, per second; nothing without a compiler."""
    source, program = Path(__file__).with_name("peak.cpp"), folder / "peak"
    try:
        subprocess.run(["g++", "-O3", "-march=native", "-std=c++20", source, "-o", program], check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return {}
    operations, read = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    return {"peak_gops": float(operations), "memory_gb_s": float(read)}


def copies(segment: Segment) -> Segment:
    """The segment with its documents several times over."""
    names = [name for name in ("codes", "residuals", "gains", "scales") if name in segment.arrays]
    arrays = {name: np.concatenate([segment.arrays[name]] * COPIES) for name in names}
    lengths = np.tile(np.diff(segment.offsets), COPIES)
    return replace(
        segment, arrays=segment.arrays | arrays, offsets=offsets_of(lengths), pids=np.arange(len(lengths))
    )


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of the fastest of some calls: what the code can do when nothing is in its way."""
    taken = []
    for _ in range(REPEATS):
        with measure.Stopwatch() as watch:
            work()
        taken.append(watch.cpu)
    return min(taken)


def rescorer(segment: Segment, query: np.ndarray) -> Callable[[np.ndarray], Any]:
    codec = segment.codec
    assert codec is not None
    asked = ResidualQuery(query, codec) if isinstance(codec, ResidualCodec) else ScaledQuery(query, codec, 1)
    asked.prepare()
    return lambda docs: asked.rescore(segment, docs)


def bytes_per_token(segment: Segment) -> float:
    """Of what rescoring reads in order; centroids come on top."""
    names = [name for name in ("codes", "residuals", "gains", "scales") if name in segment.arrays]
    return sum(segment.arrays[name].nbytes for name in names) / int(segment.offsets[-1])


def report(segment: Segment, query: np.ndarray, made: dict[str, Any], limits: dict[str, float]) -> None:
    rescore, rng = rescorer(segment, query), np.random.default_rng(0)
    lengths = np.diff(segment.offsets)
    lists = {
        "hot": [np.tile(np.arange(HOT, dtype=np.uint32), COLD // HOT)],
        "cold": [rng.permutation(segment.ndocs)[:COLD].astype(np.uint32) for _ in range(REPEATS)],
    }
    for cache, chosen in lists.items():
        rescore(chosen[0])
        taken = itertools.cycle(chosen)
        tokens = np.mean([lengths[docs].sum() for docs in chosen])
        rate = tokens / seconds(lambda taken=taken: rescore(next(taken)))
        gops = 2 * len(query) * query.shape[1] * rate * 1e-9
        share = {"of_peak": round(gops / limits["peak_gops"], 3)} if limits else {}
        bits = segment.codec.widths if isinstance(segment.codec, ScaledCodec) else None
        measure.emit(
            "limits", "plait", index=made, cache=cache, isa=kernels.isa(), query_tokens=len(query),
            dim=query.shape[1], bits=bits, tokens_per_s=round(rate), gops=round(gops, 1),
            read_gb_s=round(rate * bytes_per_token(segment) * 1e-9, 2), **share, **limits,
        )  # fmt: skip


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--made", nargs="+", default=MADE, help="levels, or bits of the residual codec")
    options = parser.parse_args()
    source = VectorSet(options.vectors)
    query = source.queries("padded")[0]
    with tempfile.TemporaryDirectory() as folder:
        limits = peak(Path(folder))
        for name in options.made:
            path, vectors = Path(folder) / name, plait.TokenEmbeddings(source.embeddings, source.doclens)
            with plait.Index.create(path, dim=vectors.dim, **measure.made_with(name)) as index:
                index.add(source.texts(), vectors=vectors)
            snapshot = open_snapshot(path)
            for segment in snapshot.segments:
                report(copies(segment), query, measure.made_with(name), limits)
            snapshot.close()


if __name__ == "__main__":
    main()
