"""Stages one after the other: retrievers find, rerankers put in order."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from plait.encoder import check_texts
from plait.errors import InvalidParameter
from plait.index import Index
from plait.inputs import as_k
from plait.pipeline.components import Components
from plait.pipeline.fusion import METHODS
from plait.pipeline.grammar import parse
from plait.pipeline.protocols import Reranker, Retriever
from plait.pipeline.query import Clock, Query
from plait.pipeline.rerankers import CrossEncoderReranker, PairScorer
from plait.pipeline.retrievers import ColBERTRetriever
from plait.pipeline.stages import Fuse, Rerank, Retrieve, Run, Source, number
from plait.search import SearchParams
from plait.threads import map_threads
from plait.types import Hits

if TYPE_CHECKING:
    from plait.store import Snapshot


class Pipeline:
    """A first stage that finds documents, and any number of stages that put them in a better order.

    ``Pipeline(index).bm25(1000).colbert(100).cross_encoder(10)``: the number of a stage says how many hits it
    passes on. Every method that adds a stage gives a new pipeline. A pipeline is a retriever itself, so it
    can be a stage of another one.

    Args:
        index: what the stages search; None if all of them are the caller's own.
        cross_encoder: the one that ``cross_encoder`` stages use: a ``plait.CrossEncoder``, anything with such
            a ``score``, the folder of a checkpoint, or a name; by default the one that is installed
            (``plait.CrossEncoder()``).
        retrievers, rerankers: stages of the caller's own that the string form may name.
        budget_ms: the time that a search may take, in milliseconds.
        name: what it is called as a stage of another pipeline.
        clock: in seconds; what budgets and timings go by.
    """

    def __init__(
        self,
        index: Index | None = None,
        *,
        cross_encoder: str | Path | PairScorer | None = None,
        retrievers: Iterable[Retriever] = (),
        rerankers: Iterable[Reranker] = (),
        budget_ms: float | None = None,
        name: str = "pipeline",
        clock: Clock = perf_counter,
    ) -> None:
        self._components = Components(index, cross_encoder, retrievers, rerankers)
        self._budget_ms = as_budget(budget_ms)
        self._clock = clock
        self.name = name
        self._source: Source | None = None
        self._rerankers: tuple[Rerank, ...] = ()

    @classmethod
    def from_string(cls, text: str, index: Index | None = None, **options: Any) -> Pipeline:
        """The pipeline of a string, such as ``bm25:1000+bi:1000 > colbert:100@50ms > cross:10``.

        Args:
            text: see docs/pipelines.md for its form; ``repr`` of a pipeline gives it.
            index, options: as for ``Pipeline``.

        Raises:
            InvalidParameter: the string is not of that form, and at which column.
        """
        return cls(index, **options)._read(text)

    @classmethod
    def from_config(
        cls, config: str | Path | Mapping[str, Any], index: Index | None = None, **options: Any
    ) -> Pipeline:
        """The pipeline of a TOML file, or of a dict of the same form.

        Args:
            config: see docs/pipelines.md. Paths in a file are relative to its folder.
            index: what to search, if the configuration does not name one.
            options: as for ``Pipeline``, in place of what the configuration says.

        Raises:
            SourceNotFound: there is no such file.
            InvalidParameter: it is not TOML, or an entry is unknown or wrong; it is named.
        """
        from plait.pipeline.config import read_config

        found = read_config(config)
        pipeline = cls(
            Index.open(found.index) if index is None and found.index else index, **(found.options | options)
        )
        return pipeline._read(found.text)

    def _read(self, text: str) -> Pipeline:
        source, rerankers, budget = parse(text, self._components)
        made = copy.copy(self)
        made._source = source
        made._rerankers = tuple(rerankers)
        made._budget_ms = self._budget_ms if budget is None else budget
        return made

    # Building --------------------------------------------------------------------------------

    def bm25(self, k: int, *, budget_ms: float | None = None) -> Pipeline:
        """Find ``k`` documents by the words that they share with the query."""
        return self.retrieve(self._components.retriever("bm25"), k, budget_ms=budget_ms)

    def bi_encoder(self, k: int, *, budget_ms: float | None = None) -> Pipeline:
        """Find ``k`` documents by one vector each, or put those found before in its order."""
        return self._add("bi_encoder", k, budget_ms)

    def colbert(
        self,
        k: int,
        *,
        budget_ms: float | None = None,
        params: SearchParams | None = None,
        recall_target: float | None = None,
    ) -> Pipeline:
        """Find ``k`` documents by late interaction, or put those found before in its order.

        Args:
            k: hits passed on.
            budget_ms: of this stage.
            params, recall_target: how far to look, for a first stage, as for ``Index.search``.
        """
        if params is None and recall_target is None:
            return self._add("colbert", k, budget_ms)
        if self._source is not None or self._components.index is None:
            raise InvalidParameter("params and recall_target belong to a colbert stage that finds documents")
        retriever = ColBERTRetriever(self._components.index, params=params, recall_target=recall_target)
        return self.retrieve(retriever, k, budget_ms=budget_ms)

    def cross_encoder(
        self,
        k: int,
        model: str | Path | PairScorer | None = None,
        *,
        weight: float = 1.0,
        budget_ms: float | None = None,
    ) -> Pipeline:
        """Let a cross-encoder read all hits found before, and pass on the best ``k``.

        Args:
            k: hits passed on.
            model: as for ``Pipeline(cross_encoder=...)``, which is the default.
            weight, budget_ms: as for ``rerank``.
        """
        name = CrossEncoderReranker.name
        stage = self._components.reranker(name) if model is None else CrossEncoderReranker(model)
        return self.rerank(stage, k, weight=weight, budget_ms=budget_ms)

    def fuse(
        self,
        *lists: tuple[Retriever, int],
        method: str = "rrf",
        weights: Mapping[str, float] | None = None,
        k: int | None = None,
        budget_ms: float | None = None,
        **named: int,
    ) -> Pipeline:
        """Begin with several lists as one: ``fuse(bm25=1000, bi_encoder=1000)``.

        Args:
            lists: retrievers of the caller's own, and how many hits of each.
            method: "rrf", "minmax" or "z", see ``plait.pipeline.fuse``.
            weights: of lists, by name; 1 by default.
            k: hits passed on; None for all.
            budget_ms: of all lists together; those whose turn comes too late are left out.
            named: how many hits of each retriever, by its name.
        """
        if method not in METHODS:
            raise InvalidParameter(f"method must be one of {', '.join(METHODS)}, not {method!r}")
        given = [*lists, *((self._components.retriever(name), depth) for name, depth in named.items())]
        names = [retriever.name for retriever, _ in given]
        unknown = sorted(set(weights or {}) - set(names))
        if unknown or not given:
            raise InvalidParameter(
                f"there is no list {unknown[0]!r}" if unknown else "there is nothing to fuse"
            )
        of = {name: as_weight(weight) for name, weight in (weights or {}).items()}
        sources = tuple(
            Retrieve(retriever, as_k(depth), of.get(retriever.name, 1.0)) for retriever, depth in given
        )
        kept = None if k is None else as_k(k)
        return self._with_source(Fuse(sources, method, kept, budget_ms=as_budget(budget_ms)))

    def retrieve(self, retriever: Retriever, k: int, *, budget_ms: float | None = None) -> Pipeline:
        """Begin with a retriever of the caller's own."""
        return self._with_source(Retrieve(retriever, as_k(k), budget_ms=as_budget(budget_ms)))

    def rerank(
        self, reranker: Reranker, k: int, *, weight: float = 1.0, budget_ms: float | None = None
    ) -> Pipeline:
        """Let a reranker of the caller's own order all hits found before, and pass on the best ``k``.

        Args:
            reranker: the stage.
            k: hits passed on.
            weight: the share of its scores in the order, above 0 and up to 1; the rest is that of the scores
                the hits had before. Both are taken in standard deviations over the hits it is given, and
                ``Hit.score`` is their sum.
            budget_ms: of this stage.
        """
        stage = Rerank(reranker, as_k(k), as_budget(budget_ms), as_share(weight))
        if self._source is None:
            raise InvalidParameter(f"{reranker.name} reranks and can't come first: begin with a retriever")
        made = copy.copy(self)
        made._rerankers = (*self._rerankers, stage)
        return made

    def within(self, budget_ms: float | None) -> Pipeline:
        """The same, in so many milliseconds for a whole search."""
        made = copy.copy(self)
        made._budget_ms = as_budget(budget_ms)
        return made

    def _add(self, name: str, k: int, budget_ms: float | None) -> Pipeline:
        if self._source is None:
            return self.retrieve(self._components.retriever(name), k, budget_ms=budget_ms)
        return self.rerank(self._components.reranker(name), k, budget_ms=budget_ms)

    def _with_source(self, source: Source) -> Pipeline:
        if self._source is not None:
            raise InvalidParameter(
                f"{source} finds documents and must come first; several lists become one by fuse(...)"
            )
        made = copy.copy(self)
        made._source = source
        return made

    # Searching -------------------------------------------------------------------------------

    def search(
        self,
        query: str | npt.ArrayLike,
        k: int | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        ids: Iterable[str] | None = None,
        budget_ms: float | None = None,
        threads: int | None = None,
    ) -> Hits:
        """The best documents for a query, all stages in one committed state of the index.

        Args:
            query: a text; or token vectors ``[nq, dim]``, if all stages are ColBERT's.
            k: hits wanted; by default what the last stage passes on. Stages that would pass on fewer pass on
                so many.
            filter: only documents whose metadata matches may be found.
            ids: only these documents may be found.
            budget_ms: for the whole search, in place of the pipeline's.
            threads: for stages that use several; None for all cores. The result does not depend on it.

        Returns:
            ``min(k, documents that the first stage finds)`` hits: unique, best first. When time runs out a
            reranker stops: what it has not come to stays behind what it has, and ``stopped`` names it.

        Raises:
            InvalidParameter, InvalidFilter, EmptyText, and what the stages raise.
        """
        ids = as_allowed(ids)
        budget = self._budget_ms if budget_ms is None else as_budget(budget_ms)
        asked: Any = query
        if isinstance(query, str) and not isinstance(
            query, Query
        ):  # one of another pipeline is encoded already
            asked = Query(check_texts([query], "query")[0], threads, self._clock)
        self._components.load()
        with self._one_state():
            return self._run(asked, k, filter, ids, budget)

    def search_all(
        self,
        queries: Sequence[str],
        k: int | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        ids: Iterable[str] | None = None,
        budget_ms: float | None = None,
        threads: int | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Hits]:
        """``[search(query, k) for query in queries]`` on all cores; the same hits, unless time runs out.

        Args:
            queries: texts.
            k, filter, ids: as for ``search``.
            budget_ms: for each query, from when its turn comes.
            threads: None for all cores.
            progress: called with "search", how many are done, and how many there are.
        """
        texts = check_texts(queries, "queries")
        ids = as_allowed(ids)
        budget = self._budget_ms if budget_ms is None else as_budget(budget_ms)
        self._components.load()
        with self._one_state() as shared:

            def answer(text: str) -> Hits:
                with self._one_state(shared):
                    return self._run(Query(text, 1, self._clock), k, filter, ids, budget)

            def report(done: int) -> None:
                if progress:
                    progress("search", done, len(texts))

            return map_threads(answer, texts, threads, report)

    def _run(
        self,
        query: Any,
        k: int | None,
        filter: Mapping[str, Any] | None,
        ids: Iterable[str] | None,
        budget_ms: float | None,
    ) -> Hits:
        if self._source is None:
            raise InvalidParameter("the pipeline has no stage: begin with bm25, bi_encoder, colbert or fuse")
        wanted = 0 if k is None else as_k(k)
        last = self._rerankers[-1] if self._rerankers else self._source
        needed = wanted or last.k or 1
        deadline = None if budget_ms is None else self._clock() + budget_ms / 1e3
        one = isinstance(self._source, Retrieve) and not self._rerankers
        index = None if one else self.index
        run = Run(query, wanted, needed, filter, ids, self._clock, deadline, index)
        hits = self._source.run(run)
        for stage in self._rerankers:
            hits = stage.run(run, hits)
        return run.hits(hits[: wanted or last.k])

    @contextmanager
    def _one_state(self, shared: Snapshot | None = None) -> Iterator[Snapshot | None]:
        index = self._components.index
        with nullcontext() if index is None else index.snapshot(shared) as snapshot:
            yield snapshot

    # Looking ---------------------------------------------------------------------------------

    @property
    def index(self) -> Index | None:
        """What the stages search."""
        return self._components.index

    @property
    def stages(self) -> list[str]:
        """The string form of each stage."""
        return [str(stage) for stage in (self._source, *self._rerankers) if stage is not None]

    def __repr__(self) -> str:
        """The string form, which ``from_string`` reads."""
        source = self._source
        if isinstance(source, Fuse) and source == Fuse(source.lists) and len(source.lists) > 1:
            first = "+".join(map(str, source.lists))
        else:
            first = "" if source is None else str(source)
        text = " > ".join([first, *map(str, self._rerankers)])
        return text if self._budget_ms is None else f"{text} within {number(self._budget_ms)}ms"


def as_allowed(ids: Iterable[str] | None) -> list[str] | None:
    """The ids that may be found, to be read more than once; None for all."""
    if isinstance(ids, str):
        raise InvalidParameter("ids must be a list of ids, not one string")
    return None if ids is None else list(ids)


def as_budget(budget_ms: float | None) -> float | None:
    """Milliseconds above 0, or None for as long as it takes; InvalidParameter otherwise."""
    if budget_ms is None:
        return None
    if not isinstance(budget_ms, int | float) or not 0 < budget_ms < math.inf:
        raise InvalidParameter(f"budget_ms must be a number of milliseconds above 0, not {budget_ms!r}")
    return float(budget_ms)


def as_share(weight: float) -> float:
    """A weight above 0 and up to 1, or InvalidParameter."""
    if not isinstance(weight, int | float) or not 0 < weight <= 1:
        raise InvalidParameter(f"the weight of a reranker must be above 0 and up to 1, not {weight!r}")
    return float(weight)


def as_weight(weight: float) -> float:
    """A weight of at least 0, or InvalidParameter."""
    if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise InvalidParameter(f"a weight must be a number of at least 0, not {weight!r}")
    return float(weight)
