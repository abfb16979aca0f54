"""The result of a comparison, and the files it becomes."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from plait.comparison.charts import latency_chart, size_chart
from plait.comparison.known_items import LIMITS
from plait.comparison.measuring import Latency
from plait.comparison.pages import as_csv, page, summary
from plait.errors import InvalidParameter
from plait.evaluate import Comparison, Qrels, write_qrels, write_query_values, write_run

_CHARTS = (("Accuracy against latency", "latency.svg"), ("Accuracy against size", "size.svg"))


@dataclass(frozen=True)
class MethodResult:
    """What one method did.

    Attributes:
        name, pipeline: which one.
        values: the mean of each metric.
        query_values: metric -> query id -> value.
        latency: milliseconds per query on one thread.
        stages: median milliseconds of each stage, where the method has stages.
        queries_per_second: asked on ``Report.threads`` threads.
        bytes_per_document: of what the method reads of the index, without the documents' texts.
        build_seconds, build_cpu_seconds: from texts to what the method searches; None if the build was cut
            off in between.
        run: query id -> document id -> score.
    """

    name: str
    pipeline: str
    values: dict[str, float]
    query_values: dict[str, dict[str, float]] = field(repr=False)
    latency: Latency
    stages: dict[str, float]
    queries_per_second: float
    bytes_per_document: float
    build_seconds: float | None
    build_cpu_seconds: float | None
    run: dict[str, dict[str, float]] = field(repr=False)


@dataclass(frozen=True)
class Report:
    """A comparison of methods on a collection.

    Attributes:
        name, ndocs: of the collection.
        queries, qrels: those asked, and their judgements.
        known_items: what was made up, if there were no judgements; else None.
        encoder, cross_encoder: names.
        k: hits asked for.
        threads: on which ``queries_per_second`` was measured.
        cpu: the processor.
        texts_per_document: bytes of a document's text, id and metadata, which is no part of the figures.
        methods: in the order given.
        baseline: the method that the others are tested against.
        comparisons: method -> its differences from the baseline, one per metric.
        notes: what a reader should know.
    """

    name: str
    ndocs: int
    queries: dict[str, str] = field(repr=False)
    qrels: Qrels = field(repr=False)
    known_items: str | None
    encoder: str
    cross_encoder: str | None
    k: int
    threads: int
    cpu: str
    texts_per_document: float
    methods: list[MethodResult]
    baseline: str
    comparisons: dict[str, list[Comparison]]
    notes: list[str]

    @property
    def metrics(self) -> list[str]:
        """Their names; the first is the one on the charts."""
        return list(self.methods[0].values)

    @property
    def frontier(self) -> list[str]:
        """Methods for which no other is both faster and better: by median latency and the first metric."""
        metric, best, kept = self.metrics[0], float("-inf"), []
        for method in sorted(self.methods, key=lambda one: (one.latency.p50, -one.values[metric])):
            if method.values[metric] > best:
                best = method.values[metric]
                kept.append(method.name)
        return kept

    def __str__(self) -> str:
        """The main table."""
        return summary(self)

    def markdown(self, charts: Sequence[tuple[str, str]] = ()) -> str:
        """The whole report as a page, which shows charts of these titles and paths."""
        return page(self, charts)

    def as_json(self) -> dict[str, Any]:
        """Everything but runs and queries' values, of what JSON can hold."""
        return {
            "collection": self.name,
            "documents": self.ndocs,
            "queries": len(self.queries),
            "known_items": self.known_items,
            "limits": LIMITS if self.known_items else None,
            "encoder": self.encoder,
            "cross_encoder": self.cross_encoder,
            "k": self.k,
            "threads": self.threads,
            "cpu": self.cpu,
            "texts_per_document": self.texts_per_document,
            "baseline": self.baseline,
            "frontier": self.frontier,
            "methods": [
                {name: value for name, value in asdict(method).items() if name not in ("run", "query_values")}
                for method in self.methods
            ],
            "comparisons": {
                name: [asdict(one) for one in comparisons] for name, comparisons in self.comparisons.items()
            },
            "notes": self.notes,
        }

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``report.md``, ``report.csv``, ``report.json``, charts, queries' values and runs.

        Queries and judgements that were made up are written too, in BEIR's form. Files of these names are
        replaced.

        Returns:
            What was written.
        """
        folder = Path(folder)
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        (folder / "queries").mkdir(exist_ok=True)
        texts = {
            "report.md": self.markdown(_CHARTS),
            "report.csv": as_csv(self),
            "report.json": json.dumps(self.as_json(), ensure_ascii=False, indent=1) + "\n",
            "latency.svg": latency_chart(self),
            "size.svg": size_chart(self),
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        written = [folder / name for name in texts]
        for method in self.methods:
            values = folder / "queries" / f"{file_name(method.name)}.csv"
            write_query_values(values, method.query_values, self.queries)
            written.append(values)
            run = folder / "runs" / f"{file_name(method.name)}.trec"
            try:
                write_run(run, method.run, tag=file_name(method.name))
            except InvalidParameter:
                continue  # ids with spaces, which a TREC run can't hold
            written.append(run)
        if self.known_items:
            written += self._write_known_items(folder)
        return written

    def _write_known_items(self, folder: Path) -> list[Path]:
        queries, qrels = folder / "queries.jsonl", folder / "qrels.tsv"
        records = ({"_id": key, "text": text} for key, text in self.queries.items())
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        queries.write_text("".join(lines), encoding="utf-8")
        write_qrels(qrels, self.qrels)
        return [queries, qrels]


def machine() -> str:
    """The processor's name, or family and model where the system hides it."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    name = re.search(r"model name\s*: (.*)", text)
    numbers = re.search(r"vendor_id\s*: (.*)\ncpu family\s*: (.*)\nmodel\s*: (.*)", text)
    if name and name[1].strip() not in ("", "unknown"):
        return name[1].strip()
    if numbers:
        return "{} family {} model {}".format(*numbers.groups())
    return platform.processor() or platform.machine()


def file_name(name: str) -> str:
    """A method's name as a file may have it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("+", "-and-").replace(">", "-then-")).strip("-")
