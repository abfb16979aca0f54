"""The charts of the report: each function draws one from the result lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from compare_tables import compare_latency
from records import Record, engine, frontier, machines, mean_of, records, settings

from plait.svg import Series, axis, chart, empty

EMPTY = empty("No results yet.")


def latency_recall_10() -> str:
    """Time against recall at k = 10."""
    return latency_recall(10)


def latency_recall_100() -> str:
    """Time against recall at k = 100."""
    return latency_recall(100)


def latency_recall(k: int) -> str:
    """A line for each engine: its best settings, those of a sweep included."""
    found = [
        record
        for name in ("search", "sweep", "rivals")
        for record in records(name, "search")
        if record["params"]["k"] == k and record["params"]["query_tokens"] == 32
    ]
    if not found:
        return EMPTY
    groups = by(found, lambda record: f"{engine(record)}, {settings(record)}")
    # Of the same queries for all engines, where a record says.
    lines = [
        Series(name, frontier((r.get("recall_every_4th", r["recall"]), r["cpu_ms"]) for r in group))
        for name, group in groups.items()
    ]
    note = f"{found[0]['documents']:,} passages, 32 query tokens; {machines(found)}, one thread"
    return drawn(f"Search time against recall, k = {k}", note, f"recall@{k} of exact MaxSim", "CPU ms", lines)


def size_quality() -> str:
    """Relevance kept against the size of a token vector."""
    return by_size("kept", "Share of exact nDCG@10 that is kept", "nDCG@10 kept")


def size_overlap() -> str:
    """The same best documents as exact search, against the size of a token vector."""
    return by_size("overlap_10", "Overlap of the best 10 with exact search", "overlap@10")


def by_size(figure: str, title: str, label: str) -> str:
    """A line for each codec, a point for each number of bits; means over collections."""
    found = [r for r in records("codecs", "codecs") if r["dim"] == 128 and "kept" in r]
    if not found:
        return EMPTY
    lines = []
    for codec, group in by(found, lambda record: str(record["codec"])).items():
        widths = by(group, lambda record: str(record["bits"]))
        points = [(mean_of(part, "bytes_per_token"), mean_of(part, figure)) for part in widths.values()]
        lines.append(Series(codec, points, texts=list(widths)))
    names = ", ".join(dict.fromkeys(record["collection"] for record in found))
    note = f"means over {names}; at the points: bits per dimension"
    if figure == "kept":
        spread = sum(r["kept_high"] - r["kept_low"] for r in found) / len(found) / 2
        note += f"; 95 % interval of a collection: ±{spread:.3f}"
    return drawn(title, note, "bytes per token", label, lines, log=(True, False))


def latency_size() -> str:
    """Time against the number of documents."""
    found = [record for record in records("scale", "scale") if record["params"]["name"] == "default"]
    others = [
        r for r in records("alternatives", "alternatives") if r["params"].get("expansion_search", 64) == 64
    ]
    if not found:
        return EMPTY
    groups = by(found, lambda record: f"plait, {settings(record)}, k = {record['params']['k']}")
    lines = [Series(name, times(group)) for name, group in groups.items()]
    lines += [Series(name, times(group), joined=False) for name, group in by(others, alternative).items()]
    note = f"{machines(found + others)}, one thread; grown documents beyond 100,000"
    return drawn("Search time against size", note, "documents", "CPU ms", lines, log=(True, True))


def alternative(record: Record) -> str:
    chosen = record["params"].get("backend") or record["params"].get("stopwords")
    if record["engine"] == "sqlite-fts5":
        chosen = f"stop words {chosen}"
    return f"{record['engine']}{f', {chosen}' if chosen else ''}"


def by(found: Iterable[Record], key: Callable[[Record], str]) -> dict[str, list[Record]]:
    """Records in groups, in the order of their first."""
    groups: dict[str, list[Record]] = {}
    for record in found:
        groups.setdefault(key(record), []).append(record)
    return groups


def times(group: list[Record]) -> list[tuple[float, float]]:
    return sorted((record["documents"], record["cpu_ms"]) for record in group)


def drawn(
    title: str, note: str, x: str, y: str, lines: list[Series], log: tuple[bool, bool] = (False, True)
) -> str:
    """The chart with axes that fit."""
    points = [point for one in lines for point in one.points]
    across, up = ([point[place] for point in points] for place in (0, 1))
    return chart(title, note, axis(x, across, log[0]), axis(y, up, log[1]), lines)


CHARTS: dict[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        latency_recall_10,
        latency_recall_100,
        size_quality,
        size_overlap,
        latency_size,
        compare_latency,
    )
}
