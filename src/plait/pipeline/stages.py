"""The stages of a pipeline and how each runs: within a budget, with its name on every hit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from plait.index import Index
from plait.pipeline.fusion import blend, fuse
from plait.pipeline.protocols import Reranker, Retriever
from plait.pipeline.query import Clock, Query
from plait.types import Hit, Hits


@dataclass
class Run:
    """One query on its way through a pipeline: what it may find and spend, and what it has met.

    Attributes:
        query: a Query, or token vectors.
        wanted: hits that the caller asked for, 0 if that was left to the pipeline; no stage passes on fewer
            if it has more.
        needed: hits that will be shown; a budget never makes them fewer.
        filter, ids: what may be found.
        clock: in seconds.
        deadline: when the whole search should end; None for no budget.
        index: where texts are read that were left out because most hits are dropped before they are wanted;
            None if nothing is left out.
    """

    query: Any
    wanted: int
    needed: int
    filter: Mapping[str, Any] | None
    ids: Iterable[str] | None
    clock: Clock
    deadline: float | None = None
    index: Index | None = None
    timings: dict[str, float] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    def label(self, name: str) -> str:
        """The name of a stage; with a number, from the second one of that name on."""
        labels = (name if number == 1 else f"{name}_{number}" for number in range(1, len(self.timings) + 2))
        label = next(label for label in labels if label not in self.timings)
        self.timings[label] = 0.0
        return label

    def until(self, budget_ms: float | None) -> float | None:
        """The moment at which a stage that begins now should end."""
        if budget_ms is None:
            return self.deadline
        end = self.clock() + budget_ms / 1e3
        return end if self.deadline is None else min(end, self.deadline)

    @contextmanager
    def timed(self, label: str) -> Iterator[None]:
        """Note how long a stage takes, without the encoding of the query."""
        start = self.working()
        yield
        self.timings[label] += 1e3 * (self.working() - start)

    def working(self) -> float:
        """Seconds, as the clock's, but standing still while the query is encoded."""
        return self.clock() - self._encoding()

    def with_texts(self, hits: list[Hit]) -> list[Hit]:
        """The hits, those without a text and metadata with what the index has."""
        bare = [hit.id for hit in hits if hit.text is None and not hit.metadata]
        if self.index is None or not bare:
            return hits
        held = {document.id: document for document in self.index.get(bare) if document is not None}
        return [
            replace(hit, text=held[hit.id].text, metadata=held[hit.id].metadata)
            if hit.id in held and hit.text is None and not hit.metadata
            else hit
            for hit in hits
        ]

    def hits(self, found: list[Hit]) -> Hits:
        """The end of the run; reading texts counts for its last stage."""
        with self.timed(next(reversed(self.timings))):
            found = self.with_texts(found)
        encoding = {"encode": 1e3 * self._encoding()} if self._encoding() else {}
        return Hits(found, encoding | self.timings, self.stopped, self.late)

    def _encoding(self) -> float:
        return self.query.encoding_seconds if isinstance(self.query, Query) else 0.0


@dataclass(frozen=True)
class Retrieve:
    """A retriever, and how many hits it passes on."""

    retriever: Retriever
    k: int
    weight: float = 1.0
    budget_ms: float | None = None

    def run(self, run: Run, deadline: float | None = None) -> list[Hit]:
        """Search. A retriever can't be stopped: one that takes longer is named, and its hits are whole."""
        label = run.label(self.retriever.name)
        ends = _earlier(run.until(self.budget_ms), deadline)
        k = max(self.k, run.wanted)
        if isinstance(run.query, Query):
            run.query.texts = run.index is None
        with run.timed(label):
            found = self.retriever.search(run.query, k, filter=run.filter, ids=run.ids)
            hits = _labelled(found, self.retriever.name, label)[:k]
        if isinstance(found, Hits) and not found.complete:
            run.stopped.append(label)
        if ends is not None and run.clock() > ends:
            run.late.append(label)
        return hits

    def names(self) -> list[str]:
        """What is left out when it is."""
        return [self.retriever.name]

    def __str__(self) -> str:
        return f"{self.retriever.name}:{self.k}{_suffix(self.weight, self.budget_ms)}"


@dataclass(frozen=True)
class Fuse:
    """Several lists as one; ``k`` of it, or all."""

    lists: tuple[Source, ...]
    method: str = "rrf"
    k: int | None = None
    weight: float = 1.0
    budget_ms: float | None = None

    def run(self, run: Run, deadline: float | None = None) -> list[Hit]:
        """Fuse what the lists find. One whose turn comes too late is left out, if enough was found before."""
        ends = _earlier(run.until(self.budget_ms), deadline)
        found: list[list[Hit]] = []
        weights = []
        for source in self.lists:
            if found and ends is not None and run.clock() >= ends and _count(found) >= run.needed:
                run.stopped.extend(map(run.label, source.names()))
                continue
            found.append(source.run(run, ends))
            weights.append(source.weight)
        label = run.label(self.method)
        with run.timed(label):
            k = None if self.k is None else max(self.k, run.wanted)
            return fuse(found, self.method, weights=weights, k=k, label=label)

    def names(self) -> list[str]:
        """What is left out when it is."""
        return [name for source in self.lists for name in source.names()]

    def __str__(self) -> str:
        size = "" if self.k is None else f":{self.k}"
        return f"{self.method}({', '.join(map(str, self.lists))}){size}{_suffix(self.weight, self.budget_ms)}"


Source: TypeAlias = Retrieve | Fuse


@dataclass(frozen=True)
class Rerank:
    """A reranker, how many hits it passes on, and what share of their order its scores decide."""

    reranker: Reranker
    k: int
    budget_ms: float | None = None
    weight: float = 1.0

    def run(self, run: Run, hits: list[Hit]) -> list[Hit]:
        """Rerank. Hits for which there is no time stay behind the others, in the order they had."""
        label = run.label(self.reranker.name)
        ends = run.until(self.budget_ms)
        k = max(self.k, run.wanted)
        with run.timed(label):
            if getattr(self.reranker, "reads_texts", True):
                hits = run.with_texts(hits)
            found, whole = self._found(run, hits, k if self.weight == 1 else len(hits), ends)
            placed = self._placed(hits, found, label)
            behind = (hit for hit in hits if hit.id not in placed)
            best = _ranked([*placed.values(), *behind][:k])
        if not whole:
            run.stopped.append(label)
        elif ends is not None and run.clock() > ends:
            run.late.append(label)
        return best

    def _placed(self, hits: list[Hit], found: Sequence[Hit], label: str) -> dict[str, Hit]:
        """The hits that were reranked, by id, in their new order and with the stage's score."""
        if self.weight == 1:
            earlier = {hit.id: hit for hit in hits}
            new = (hit for hit in found if hit.id in earlier)
            return {hit.id: _again(earlier[hit.id], hit.score, hit.score, label) for hit in new}
        scores = {hit.id: hit.score for hit in found}
        read = [hit for hit in hits if hit.id in scores]
        values = blend([hit.score for hit in read], [scores[hit.id] for hit in read], self.weight)
        order = sorted(zip(values, read, strict=True), key=lambda pair: -pair[0])
        return {hit.id: _again(hit, value, scores[hit.id], label) for value, hit in order}

    def _found(self, run: Run, hits: list[Hit], k: int, ends: float | None) -> tuple[Sequence[Hit], bool]:
        """The hits that were reranked, and whether that is all of them."""
        if ends is None:
            return self.reranker.rerank(run.query, hits, k), True
        size = self.reranker.batch_size
        if size is not None:
            return self._batches(run, hits, ends, size)
        if run.clock() >= ends:
            return [], not hits
        return self.reranker.rerank(run.query, hits, k), True

    def _batches(self, run: Run, hits: list[Hit], ends: float, most: int) -> tuple[list[Hit], bool]:
        """Rerank the best first, and as many at a time as the ones before say that there is time for."""
        found: list[Hit] = []
        done, size = 0, 1
        while done < len(hits):
            start = run.working()
            if run.clock() >= ends or size < 1:
                break
            batch = hits[done : done + size]
            found += self.reranker.rerank(run.query, batch, len(batch))
            done += len(batch)
            each = (run.working() - start) / len(batch)
            left = ends - run.clock()
            size = most if left >= most * each else int(left / each)
        return sorted(found, key=lambda hit: -hit.score), done == len(hits)

    def __str__(self) -> str:
        return f"{self.reranker.name}:{self.k}{_suffix(self.weight, self.budget_ms)}"


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((end for end in (one, other) if end is not None), default=None)


def _count(lists: list[list[Hit]]) -> int:
    return len({hit.id for hits in lists for hit in hits})


def _labelled(hits: Iterable[Hit], name: str, label: str) -> list[Hit]:
    """The hits, each id once, with a stage's score under its label."""
    unique: dict[str, Hit] = {}
    for hit in hits:
        if hit.id in unique:
            continue
        if hit.rank == len(unique) + 1 and hit.scores == {label: hit.score}:
            unique[hit.id] = hit
            continue
        scores = {other: score for other, score in hit.scores.items() if other != name}
        scores[label] = hit.score
        unique[hit.id] = Hit(len(unique) + 1, hit.id, hit.score, hit.text, hit.metadata, scores)
    return list(unique.values())


def _again(hit: Hit, value: float, score: float, label: str) -> Hit:
    return Hit(hit.rank, hit.id, value, hit.text, hit.metadata, {**hit.scores, label: score})


def _ranked(hits: Sequence[Hit]) -> list[Hit]:
    return [hit if hit.rank == rank else replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]


def _suffix(weight: float, budget_ms: float | None) -> str:
    weighted = "" if weight == 1 else f"*{number(weight)}"
    return weighted if budget_ms is None else f"{weighted}@{number(budget_ms)}ms"


def number(value: float) -> str:
    """As it is written in a pipeline's string form: 50, 0.3."""
    return str(int(value)) if value == int(value) else repr(float(value))
