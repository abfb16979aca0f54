"""Speed of the kernels, one JSON line per result: `python benchmarks/kernels.py [--quick] [--isa avx2]`.

Work is counted in document tokens per second of this process's CPU time (the median of repeats), with
one thread, so that a shared machine disturbs little. "hot" scores 60 documents that stay in the cache,
"cold" scores documents in random order from a segment larger than the caches. Rivals are measured in
the same run when they can be imported (torch, numkong, maxsim_cpu); plait needs none of them.
"""

# ruff: noqa: E402
from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy and torch start their threads

import argparse
import functools
import importlib
import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from plait.kernels import _native, available_isas, lanes_of, quantise_rows
from plait.kernels.reference_scaled import row_bytes

DOCLEN = 80
NQ = 32
DIM = 128
NCENTROIDS = 8192
rng = np.random.default_rng(0)


def cpu_model() -> str:
    match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return match[1] if match else "unknown"


def seconds(work: Callable[[], Any], repeats: int, least: float = 0.05) -> float:
    """Median CPU seconds of one call, over repeats of at least `least` seconds each."""
    work()
    started = time.process_time()
    work()
    calls = max(1, int(least / max(time.process_time() - started, 1e-6)))
    times = []
    for _ in range(repeats):
        started = time.process_time()
        for _ in range(calls):
            work()
        times.append((time.process_time() - started) / calls)
    return float(np.median(times))


def emit(kernel: str, isa: str, rate: float, **facts: Any) -> None:
    result = {"kernel": kernel, "isa": isa, "M_per_s": round(rate / 1e6, 3)}
    print(json.dumps(result | facts | {"threads": 1, "cpu": cpu_model()}), flush=True)


class Segment:
    """Documents of 80 tokens. Random codes: every table row and every residual row is as likely."""

    def __init__(self, nbits: int, nbytes: int, vectors: bool = False) -> None:
        row = DIM * 4 if vectors else DIM * nbits // 8 + 6
        self.ndocs = max(60, nbytes // (row * DOCLEN))
        ntokens = self.ndocs * DOCLEN
        self.offsets = np.arange(self.ndocs + 1, dtype=np.int64) * DOCLEN
        if vectors:
            self.vectors = rng.standard_normal((ntokens, DIM), dtype=np.float32)
            return
        self.codes = rng.integers(0, NCENTROIDS, ntokens, dtype=np.uint32)
        self.residuals = rng.integers(0, 256, (ntokens, DIM * nbits // 8), dtype=np.uint8)
        self.scales = rng.uniform(0.5, 1.5, ntokens).astype(np.float16)
        self.levels = np.linspace(1, 255 if nbits == 8 else 127, 1 << nbits).astype(np.uint8)

    def docs(self, cold: bool) -> np.ndarray:
        """Documents to score: 4000 at random, or the same 60 always."""
        chosen = rng.permutation(self.ndocs)[:4000] if cold else np.arange(60)
        return chosen.astype(np.uint32)


def query() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = rng.standard_normal((NQ, DIM)).astype(np.float32)
    weights = np.ones(lanes_of(NQ), dtype=np.float32)
    table = rng.integers(-3000, 3000, (NCENTROIDS, lanes_of(NQ))).astype(np.int16)
    return rows, weights, table


def measure_documents(
    kernel: str, isa: str, segment: Segment, run: Callable[[np.ndarray], Any], repeats: int, **facts: Any
) -> None:
    for cold in (False, True):
        lists = itertools.cycle([segment.docs(cold) for _ in range(40 if cold else 1)])
        rate = len(segment.docs(cold)) * DOCLEN / seconds(lambda lists=lists: run(next(lists)), repeats)
        facts["cache"] = "cold" if cold else "hot"
        emit(kernel, isa, rate, unit="document tokens", nq=NQ, dim=DIM, **facts)


def documents(isas: list[str], nbytes: int, repeats: int) -> None:
    rows, weights, table = query()
    query8, _ = quantise_rows(rows)
    for nbits in (1, 2, 4, 8):
        data = Segment(nbits, nbytes)
        for isa in isas:
            kernels = _native.kernels(isa)
            measure_documents(
                "maxsim_codes", isa, data,
                lambda docs, k=kernels, s=data, n=nbits: k.maxsim_codes(
                    query8, weights, table, 4, s.levels, n, s.codes, s.residuals, s.scales, s.offsets, docs
                ),
                repeats, nbits=nbits,
            )  # fmt: skip
            if nbits == 2:
                measure_documents(
                    "approximate", isa, data,
                    lambda docs, k=kernels, s=data: k.approximate(table, weights, s.codes, s.offsets, docs),
                    repeats, ncentroids=NCENTROIDS,
                )  # fmt: skip
    data = Segment(0, nbytes, vectors=True)
    for isa in isas:
        kernels = _native.kernels(isa)
        measure_documents(
            "maxsim", isa, data,
            lambda docs, k=kernels: k.maxsim(rows, data.vectors, data.offsets, docs), repeats,
        )  # fmt: skip
    rivals(rows, data, repeats)


def scaled(isas: list[str], nbytes: int, repeats: int) -> None:
    """The scaled codec. MaxSim includes the scores of the centroids: hot of 60 documents, 40 times each."""
    centroids8 = rng.integers(1, 256, (NCENTROIDS, DIM), dtype=np.uint8)
    scales = rng.uniform(0.5, 1, NCENTROIDS).astype(np.float32) / 1000
    sigma = rng.uniform(0, 2e-3, DIM).astype(np.float32)
    gain_values = rng.standard_normal((256, 2)).astype(np.float32)
    rows, vectors = query()[0], rng.standard_normal((2048, DIM), dtype=np.float32)
    for bits in ((0, 16, 64), (0, 96, 32), (0, 0, 128), (128, 0, 0)):
        ndocs = max(60, nbytes // ((row_bytes(bits) + 3) * DOCLEN))
        ntokens = ndocs * DOCLEN
        codes = rng.integers(0, NCENTROIDS, ntokens, dtype=np.uint16)
        packed = rng.integers(0, 256, (ntokens, row_bytes(bits)), dtype=np.uint8)
        gains = rng.integers(0, 256, ntokens, dtype=np.uint8)
        offsets = np.arange(ndocs + 1, dtype=np.int64) * DOCLEN
        codec = (centroids8, scales, sigma, bits)
        hot = np.tile(np.arange(60, dtype=np.uint32), 40)
        cold = itertools.cycle([rng.permutation(ndocs)[:4000].astype(np.uint32) for _ in range(20)])
        for isa in isas:
            kernels = _native.kernels(isa)
            chosen = {"hot": itertools.cycle([hot]), "cold": cold}
            for name, (cache, docs) in itertools.product(("maxsim_scaled", "maxsim_decoded"), chosen.items()):
                score = functools.partial(
                    getattr(kernels, name), rows, codes, packed, gains, *codec, gain_values
                )
                work = seconds(lambda s=score, o=offsets, d=docs: s(o, next(d)), repeats)
                rate = len(next(docs)) * DOCLEN / work
                emit(name, isa, rate, unit="document tokens", cache=cache, nq=NQ, dim=DIM, bits=bits)
            some = slice(0, 2048)
            plain = (vectors, codes[some], *codec)
            coded = (codes[some], packed[some], gains[some], *codec, gain_values)
            for name, arguments in {"encode_scaled": plain, "decode_scaled": coded}.items():
                work = seconds(functools.partial(getattr(kernels, name), *arguments), repeats)
                emit(name, isa, 2048 / work, unit="tokens", dim=DIM, bits=bits)


def rivals(rows: np.ndarray, data: Segment, repeats: int) -> None:
    """Exact MaxSim of others, on the vectors of 60 documents that stay in the cache and on all."""

    def each(run: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
        def all_of(docs: np.ndarray) -> None:
            for doc in docs:
                run(data.vectors[doc * DOCLEN : (doc + 1) * DOCLEN])

        return all_of

    measure_documents("maxsim", "numpy", data, each(lambda doc: (doc @ rows.T).max(axis=0).sum()), repeats)
    if torch := optional("torch"):
        torch.set_num_threads(1)
        tensor, vectors = torch.from_numpy(rows), torch.from_numpy(data.vectors).view(-1, DOCLEN, DIM)

        def batch(docs: np.ndarray) -> None:
            chosen = vectors[torch.from_numpy(docs.astype(np.int64))] if len(docs) > 60 else vectors[:60]
            (chosen.view(-1, DIM) @ tensor.T).view(-1, DOCLEN, NQ).amax(dim=1).sum(dim=1)

        measure_documents("maxsim", "torch " + torch.__version__, data, batch, repeats)
    if maxsim_cpu := optional("maxsim_cpu"):
        measure_documents(
            "maxsim", "maxsim-cpu", data,
            lambda docs: maxsim_cpu.maxsim_scores_variable(
                rows, [data.vectors[d * DOCLEN : (d + 1) * DOCLEN] for d in docs]
            ),
            repeats,
        )  # fmt: skip
    if numkong := optional("numkong"):
        packed = numkong.maxsim_pack(rows)
        documents = [numkong.maxsim_pack(data.vectors[i * DOCLEN : (i + 1) * DOCLEN]) for i in range(60)]
        work = seconds(lambda: [numkong.maxsim_packed(packed, one) for one in documents], repeats)
        emit("maxsim", "numkong", 60 * DOCLEN / work, unit="document tokens", cache="hot", nq=NQ, dim=DIM,
             note="approximate; documents packed beforehand")  # fmt: skip


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def centroids(isas: list[str], repeats: int) -> None:
    rows8 = rng.integers(1, 256, (NCENTROIDS, DIM), dtype=np.uint8)
    scales = rng.uniform(0.5, 1, NCENTROIDS).astype(np.float32)
    vectors = rng.standard_normal((2048, DIM), dtype=np.float32)
    floats = rng.standard_normal((NCENTROIDS, DIM), dtype=np.float32)
    codes = rng.integers(0, NCENTROIDS, 2048, dtype=np.uint32)
    query8 = quantise_rows(vectors[:NQ])[0]
    facts = {"ncentroids": NCENTROIDS, "dim": DIM}
    for isa in isas:
        kernels = _native.kernels(isa)
        emit("assign", isa, 2048 / seconds(lambda k=kernels: k.assign(vectors, rows8, scales), repeats),
             unit="vectors", **facts)  # fmt: skip
        scored = seconds(lambda k=kernels: k.centroid_scores(query8, rows8, scales), repeats)
        emit("centroid_scores", isa, NCENTROIDS / scored, unit="centroids", nq=NQ, **facts)
        table = kernels.centroid_scores(query8, rows8, scales * 1e-2)
        top = seconds(lambda k=kernels, t=table: k.top_centroids(t, NQ, 32), repeats)
        emit("top_centroids", isa, NCENTROIDS / top, unit="centroids", nq=NQ, nprobe=32, **facts)
        for nbits in (1, 2, 4, 8):
            cutoffs = np.linspace(-2, 2, (1 << nbits) - 1, dtype=np.float32)
            weights = np.linspace(-2, 2, 1 << nbits, dtype=np.float32)
            plain = (vectors, floats, codes, cutoffs, nbits)
            packed = (codes, kernels.compress(*plain), floats, weights, nbits)
            for name, arguments in {"compress": plain, "decompress": packed, "inverse_norms": packed}.items():
                work = seconds(functools.partial(getattr(kernels, name), *arguments), repeats)
                emit(name, isa, 2048 / work, unit="tokens", nbits=nbits, **facts)
        sums = seconds(lambda k=kernels: k.sum_by_centroid(vectors, codes % 64, 64), repeats)
        emit("sum_by_centroid", isa, 2048 / sums, unit="vectors", **facts)
        lists = postings()
        met = seconds(lambda k=kernels, a=lists: k.gather(**a), repeats)
        emit("gather", isa, lists["probes"].size * 128 / met, unit="postings", nq=NQ, nprobe=32)
        scores = rng.standard_normal(1_000_000).astype(np.float32)
        emit("top_k", isa, len(scores) / seconds(lambda k=kernels, s=scores: k.top_k(s, 100), repeats),
             unit="scores", k=100)  # fmt: skip


def postings() -> dict[str, Any]:
    """Lists of 128 documents of a million; every query token probes 32 of them."""
    width = 1_000_000 // 128
    lists = np.arange(128) * width + rng.integers(0, width, (NCENTROIDS, 128))  # ascending
    return {
        "table": rng.integers(-3000, 3000, (NCENTROIDS, NQ)).astype(np.int16),
        "probes": rng.permutation(NCENTROIDS)[: NQ * 32].astype(np.uint32).reshape(NQ, 32),
        "lane_weights": np.ones(NQ, dtype=np.float32),
        "ivf_offsets": np.arange(NCENTROIDS + 1, dtype=np.int64) * 128,
        "ivf_pids": lists.astype(np.uint32).ravel(),
        "allowed": None,
        "ndocs": 1_000_000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isa", action="append", choices=available_isas(), help="default: all but scalar")
    parser.add_argument("--quick", action="store_true", help="a small segment and few repeats")
    arguments = parser.parse_args()
    isas = arguments.isa or [name for name in available_isas() if name != "scalar"]
    repeats = 3 if arguments.quick else 9
    documents(isas, (64 if arguments.quick else 640) << 20, repeats)
    scaled(isas, (16 if arguments.quick else 160) << 20, repeats)
    centroids(isas, repeats)


if __name__ == "__main__":
    main()
