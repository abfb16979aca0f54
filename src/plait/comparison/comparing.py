"""Compare methods on a corpus: build, ask, judge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plait.codec import require_level
from plait.comparison.building import MOST_EXACT_BYTES, Built, build, build_words, exact_bytes
from plait.comparison.encoding import WatchedEncoder
from plait.comparison.exact import ExactRetriever
from plait.comparison.judged import (
    Corpus,
    JudgedCollection,
    Judgements,
    Queries,
    load_collection,
)
from plait.comparison.measuring import Latency, OneThread, ask_all, queries_per_second
from plait.comparison.methods import EXACT, Method, chosen_methods, folded
from plait.comparison.report import MethodResult, Report, machine
from plait.comparison.work import Work
from plait.encoder import CrossEncoder, Encoder, load_encoder
from plait.errors import InvalidParameter
from plait.evaluate import DEFAULT_METRICS, compare_with_baseline, depth, evaluate, evaluate_queries
from plait.pipeline import Pipeline
from plait.threads import thread_count
from plait.types import Progress


def compare(
    corpus: Corpus,
    queries: Queries | None = None,
    qrels: Judgements | None = None,
    *,
    methods: Iterable[str] | None = None,
    baseline: str | None = None,
    model: str | Path | Encoder | None = None,
    cross_encoder: str | Path | CrossEncoder | None = None,
    level: str | None = None,
    exact: bool | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    k: int | None = None,
    work: str | Path | None = None,
    name: str | None = None,
    most_queries: int = 1000,
    made_queries: int = 300,
    seed: int = 0,
    threads: int | None = None,
    skip_bad_lines: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Compare retrieval methods on a corpus: relevance, latency, size and build time.

    Args:
        corpus: a source that ``plait.sources.read_documents`` reads, or documents. A folder in BEIR's form
            has its queries and judgements with it.
        queries, qrels: files, or query id -> text and query id -> document id -> grade. With neither,
            known-item queries are made of the corpus, and the report says so.
        methods: names (``plait.comparison.METHODS``) or pipelines, such as "bm25:1000 > colbert:100"; by
            default all, those with a cross-encoder if there is one.
        baseline: the method that the others are tested against; the first by default.
        model: an encoder, or the folder of one; the built-in model by default.
        cross_encoder: a ``plait.CrossEncoder``, or what it takes: a folder or a name.
        level: how faithfully vectors are kept: "compact", "balanced" or "precise".
        exact: whether to search by exact MaxSim as well; by default if the original vectors take less than
            1 GiB of memory.
        metrics: names, as for ``plait.evaluate.evaluate``. The first one is on the charts.
        k: hits asked for; by default as many as the metrics look at.
        work: a folder for what is built and measured. A comparison that was cut off goes on there, and a
            second one uses what there is. By default a temporary one.
        name: of the collection, in titles.
        most_queries: of more judged queries so many are chosen at random.
        made_queries: how many known-item queries to make.
        seed: of choices and tests.
        threads: for building and for queries per second; None for all cores. Latency is that of one thread.
        skip_bad_lines: leave broken records of the corpus out.
        progress: called with a stage, how much is done, and how much there is.

    Raises:
        InvalidParameter: a method or a metric is unknown, queries and judgements don't belong together, or
            ``work`` holds something else.
        SourceError, CheckpointError, MissingExtra: a file can't be used.
    """
    if isinstance(cross_encoder, str | Path):
        cross_encoder = CrossEncoder(cross_encoder)
    require_level(level or "balanced")
    chosen = _checked(chosen_methods(methods, cross_encoder is not None), baseline, metrics)
    encoder = WatchedEncoder(load_encoder(model) if model is None or isinstance(model, str | Path) else model)
    collection = load_collection(
        corpus,
        queries,
        qrels,
        name=name,
        most_queries=most_queries,
        made_queries=made_queries,
        seed=seed,
        skip_bad_lines=skip_bad_lines,
    )
    chosen, notes = _fitting(chosen, exact_bytes(collection, encoder), exact, named=methods is not None)
    against = _baseline(chosen, baseline)
    with nullcontext(work) if work is not None else tempfile.TemporaryDirectory() as folder:
        asking = _Asking(collection, encoder, cross_encoder, metrics, k or depth(metrics), threads, progress)
        place = Work(Path(folder), asking.key(level), lasting=work is not None)
        built = asking.built(place, chosen, level)
        with built.index:
            results = [asking.result(method, built, place) for method in chosen]
    return Report(
        collection.name,
        collection.ndocs,
        collection.queries,
        collection.qrels,
        collection.known.explanation if collection.known else None,
        encoder.name,
        cross_encoder.name if cross_encoder else None,
        asking.k,
        thread_count(threads),
        machine(),
        built.bytes["texts"] / collection.ndocs,
        results,
        against,
        compare_with_baseline({one.name: one.query_values for one in results}, against, seed=seed),
        [*collection.notes, *notes],
    )


def _checked(chosen: list[Method], baseline: str | None, metrics: Sequence[str]) -> list[Method]:
    """The methods. What is wrong with them, or with other names, is reported before the long work."""
    for method in chosen:
        method.require_readable()
    _baseline(chosen, baseline)
    evaluate({"query": {"document": 1}}, {}, metrics)
    return chosen


def _fitting(
    chosen: list[Method], needed: int, exact: bool | None, *, named: bool
) -> tuple[list[Method], list[str]]:
    """The methods, without exact MaxSim if it does not fit and was not asked for; and what is to be said."""
    if exact is None:
        exact = named or needed <= MOST_EXACT_BYTES
    if exact or not any(EXACT in method.needs for method in chosen):
        return chosen, []
    note = (
        f"Exact MaxSim is left out: the original vectors would take about {needed / 1e9:,.1f} GB of memory."
        if needed > MOST_EXACT_BYTES
        else "Exact MaxSim is left out, as asked."
    )
    return [method for method in chosen if EXACT not in method.needs], [note]


def _baseline(chosen: Sequence[Method], name: str | None) -> str:
    if name is None:
        return chosen[0].name
    for method in chosen:
        if folded(name) in (folded(method.name), folded(method.pipeline)):
            return method.name
    raise InvalidParameter(f"the baseline {name!r} is none of {', '.join(one.name for one in chosen)}")


@dataclass
class _Asking:
    """Asks methods the queries of a collection, unless the answers are known."""

    collection: JudgedCollection
    encoder: WatchedEncoder
    cross_encoder: CrossEncoder | None
    metrics: Sequence[str]
    k: int
    threads: int | None
    progress: Progress | None

    def key(self, level: str | None) -> dict[str, Any]:
        """What the work folder belongs to."""
        return {
            "corpus": self.collection.digest,
            "encoder": self.encoder.fingerprint,
            "level": level or "balanced",
            "version of plait": version("plait"),
        }

    def built(self, work: Work, chosen: Sequence[Method], level: str | None) -> Built:
        """What the methods need, and no more."""
        needs = frozenset().union(*(method.needs for method in chosen))
        if needs <= {"bm25", "cross_encoder"}:
            return build_words(self.collection, work)
        return build(
            self.collection,
            self.encoder,
            work,
            level=level,
            exact=EXACT in needs,
            threads=self.threads,
            progress=self.progress,
        )

    def result(self, method: Method, built: Built, work: Work) -> MethodResult:
        """What a method does: measured now, or kept from before."""
        reads = self.cross_encoder if "cross_encoder" in method.needs else None
        about = {
            "pipeline": method.pipeline,
            "queries": self.collection.queries,
            "k": self.k,
            "threads": thread_count(self.threads),
            "cross_encoder": reads.fingerprint if reads else None,
            "cpu": machine(),
        }
        found = work.result(about)
        if found is None:
            found = self._measured(method, built)
            work.keep(about, found)
        run, qrels = found["run"], self.collection.qrels
        return MethodResult(
            method.name,
            method.pipeline,
            evaluate(qrels, run, self.metrics),
            evaluate_queries(qrels, run, self.metrics),
            Latency(**found["latency"]),
            found["stages"],
            found["queries_per_second"],
            sum(built.bytes.get(part, 0) for part in method.needs) / self.collection.ndocs,
            *_build_seconds(method, built),
            run,
        )

    def _measured(self, method: Method, built: Built) -> dict[str, Any]:
        retriever = self._retriever(method, built)
        queries = self.collection.queries

        def report(done: int, total: int) -> None:
            if self.progress:
                self.progress(method.name, done, total)

        run, latency, stages = ask_all(retriever, queries, self.k, self.encoder.query_time, report)
        rate = queries_per_second(retriever, list(queries.values()), self.k, self.threads)
        return {"run": run, "latency": asdict(latency), "stages": stages, "queries_per_second": rate}

    def _retriever(self, method: Method, built: Built) -> OneThread:
        own = []
        if built.documents is not None:
            documents = list(self.collection.documents())
            ids, texts = [one.id for one in documents], [one.text for one in documents]
            own.append(ExactRetriever(self.encoder, ids, built.documents, texts))
        return OneThread(
            Pipeline.from_string(
                method.pipeline, built.index, cross_encoder=self.cross_encoder, retrievers=own
            )
        )


def _build_seconds(method: Method, built: Built) -> tuple[float | None, float | None]:
    """What it took to make what the method searches: wall and CPU seconds."""
    parts = set()
    if method.needs & {"bi_encoder", "colbert", EXACT}:
        parts.add("encode")
    if "colbert" in method.needs:
        parts.add("index")  # which holds the words and the bi-encoder's vectors too
    elif "bm25" in method.needs:
        parts.add("bm25")
    found = [built.seconds[part] for part in sorted(parts)]
    known = [seconds for seconds in found if seconds is not None]
    if len(known) < len(found):
        return None, None
    wall, cpu = (sum(seconds[place] for seconds in known) for place in (0, 1))
    return wall, cpu
