"""What a cross-encoder, ColBERT and both together make of ColBERT's best hits."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import plait
from plait.evaluate import evaluate_queries
from plait.types import FloatArray

DEPTH = 20
METRICS = ("ndcg@10", "mrr@10")
ALONE = 1.0
Values = dict[str, dict[str, float]]


class Reader:
    """A cross-encoder that reads each pair once, however many pipelines ask.

    What it read is appended to the file ``kept``, if one is given, and not read again by the next run.
    """

    def __init__(self, model: Path | str, threads: int, kept: Path | None = None) -> None:
        self.model = plait.CrossEncoder(model)
        self.seconds = 0.0
        self.read = 0
        self._threads, self._kept = threads, kept
        self._known: dict[tuple[str, str], float] = {}
        if kept is not None and kept.exists():
            for line in kept.read_text(encoding="utf-8").splitlines():
                query, text, score = json.loads(line)
                self._known[query, text] = score

    @property
    def pairs(self) -> int:
        """How many were read."""
        return len(self._known)

    def score(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Logits, f32 ``[n]``."""
        new = [text for text in dict.fromkeys(texts) if (query, text) not in self._known]
        if new:
            began = time.perf_counter()
            found = self.model.score(query, new, logits=True, threads=self._threads)
            self.seconds += time.perf_counter() - began
            self.read += len(new)
            self._known.update(zip(((query, text) for text in new), map(float, found), strict=True))
            self._keep(query, new)
        return np.array([self._known[query, text] for text in texts], dtype=np.float32)

    def _keep(self, query: str, texts: Sequence[str]) -> None:
        if self._kept is not None:
            with self._kept.open("a", encoding="utf-8") as file:
                for text in texts:
                    print(json.dumps([query, text, self._known[query, text]]), file=file)


def pipelines(index: plait.Index, reader: Reader, weights: Sequence[float]) -> dict[str, plait.Pipeline]:
    """ColBERT, and the cross-encoder on its best hits with each weight."""
    first = plait.Pipeline(index, cross_encoder=reader).colbert(DEPTH)
    named = {"colbert": first}
    for weight in weights:
        name = "cross" if weight == ALONE else f"cross*{weight:g}"
        named[name] = (
            first.cross_encoder(DEPTH) if weight == ALONE else first.cross_encoder(DEPTH, weight=weight)
        )
    return named


def measured(
    index: plait.Index,
    reader: Reader,
    weights: Sequence[float],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
) -> dict[str, Values]:
    """Name of a pipeline -> metric -> query -> value."""
    found = {}
    for name, pipeline in pipelines(index, reader, weights).items():
        run = {key: {hit.id: -hit.rank for hit in pipeline.search(text)} for key, text in queries.items()}
        found[name] = evaluate_queries(qrels, run, METRICS)
    return found


def mean(values: Mapping[str, float]) -> float:
    """Over queries."""
    return float(np.mean(list(values.values())))


def opened(folder: Path, texts: Sequence[str], ids: Sequence[str], threads: int) -> plait.Index:
    """The index in a folder; it is made if there is none."""
    if not (folder / "catalog.sqlite").exists():
        index = plait.Index.create(folder)
        index.add(list(texts), ids=list(ids), threads=threads)
    return plait.Index.open(folder)
