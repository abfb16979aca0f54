"""The tables and charts of methods side by side, from results/compare.jsonl."""

from __future__ import annotations

from records import Record, frontier, machines, mean_of, records

from plait.svg import Series, axis, chart, empty

#: Differences with a smaller corrected p are marked.
SIGNIFICANT = 0.05
NDCG = "nDCG@10"


def compare() -> str:
    """Relevance on every collection, and costs on the largest."""
    found = records("compare", "compare")
    if not found:
        return "_No results yet._"
    names = collections(found)
    largest = max(found, key=lambda record: record["documents"])["collection"]
    rows = []
    for method, own in by_method(found).items():
        by_name = {record["collection"]: record for record in own}
        cells = [marked(by_name[name], NDCG) if name in by_name else "" for name in names]
        costs = costs_of(by_name[largest]) if largest in by_name else [""] * 5
        rows.append([method, *cells, f"{mean_of(values(own), NDCG):.3f}", *costs])
    head = ["nDCG@10", *names, "mean", "ms", "p95", "encoded", "bytes/doc", "build s"]
    about = (
        f"Encoder {found[0]['encoder']}; the best {found[0]['k']}. Times, sizes, build times on {largest}; "
        f"{machines(found)}, one thread, CPU time, queries by their median. "
        f"↑ ↓: better, worse than {found[0]['baseline']}, p < {SIGNIFICANT} after Holm's correction."
    )
    return f"{about}\n\n{lines(head, rows)}"


def compare_all() -> str:
    """Everything, one table for each collection."""
    found = records("compare", "compare")
    parts = []
    for name in collections(found):
        own = [record for record in found if record["collection"] == name]
        first = own[0]
        metrics = list(first["values"])
        rows = [
            [
                record["method"],
                *(marked(record, metric) for metric in metrics),
                *costs_of(record)[:3],
                ms(record["latency_ms"]["cpu_p95_encoded"]),
                ms(record["latency_ms"]["p50"]),
                f"{record['qps']:,.0f}" if record["qps"] >= 10 else record["qps"],
                *costs_of(record)[3:],
            ]
            for record in own
        ]
        head = ["method", *metrics, "ms", "p95", "encoded", "p95", "wall ms", "QPS", "bytes/doc", "build s"]
        size = f"{first['documents']:,} documents, {first['queries']} queries"
        parts.append(f"**{name}** ({size}; {machines(own)})\n\n{lines(head, rows)}")
    return "\n\n".join(parts) or "_No results yet._"


def compare_latency() -> str:
    """The frontier: the mean of nDCG@10 against that of the time."""
    found = records("compare", "compare")
    if not found:
        return empty("No results yet.")
    points, series = [], []
    for number, (method, own) in enumerate(by_method(found).items(), start=1):
        times = [record["latency_ms"] for record in own]
        point = (mean_of(times, "cpu_p50"), mean_of(values(own), NDCG))
        points.append(point)
        series.append(Series(f"{number} {method}"[:34], [point], texts=[str(number)]))
    best = [(time, value) for value, time in frontier((value, time) for time, value in points)]
    series.append(Series("none is faster and better", best, marked=False))
    note = f"means over {', '.join(collections(found))}; {machines(found)}, one thread"
    x = axis("CPU ms per query, encoding included", [point[0] for point in points], log=True)
    y = axis("nDCG@10", [point[1] for point in points])
    return chart("Accuracy against time", note, x, y, series)


def collections(found: list[Record]) -> list[str]:
    return list(dict.fromkeys(record["collection"] for record in found))


def by_method(found: list[Record]) -> dict[str, list[Record]]:
    """The lines of each method, those of all collections together."""
    methods: dict[str, list[Record]] = {}
    for record in found:
        methods.setdefault(record["method"], []).append(record)
    return methods


def values(own: list[Record]) -> list[Record]:
    return [record["values"] for record in own]


def marked(record: Record, metric: str) -> str:
    """A value, with an arrow if it differs from the baseline's."""
    test = record["tests"].get(metric)
    arrow = (" ↑" if test["difference"] > 0 else " ↓") if test and test["p_holm"] < SIGNIFICANT else ""
    return f"{record['values'][metric]:.3f}{arrow}"


def costs_of(record: Record) -> list[str]:
    """Time, its 95th percentile, time without encoding, size and build time."""
    latency = record["latency_ms"]
    times = [ms(latency[name]) for name in ("cpu_p50", "cpu_p95", "cpu_p50_encoded")]
    return [*times, f"{record['bytes_per_document']:,}", f"{record['build_cpu_s']:,.0f}"]


def ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def lines(head: list[str], rows: list[list[str]]) -> str:
    ruler = ["---", *(["--:"] * (len(head) - 1))]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, ruler, *rows])
