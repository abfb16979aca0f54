"""The tables on what changes of an index cost: from results/living.jsonl and results/drift.jsonl."""

from __future__ import annotations

from records import Record, machines, records, settings


def living() -> str:
    """Adds, merges, readers and memory, one line for each figure."""
    found = {
        (record["part"], record.get("merging"), record.get("way")): record for record in _lines("living")
    }
    if not found:
        return "_No results yet._"
    rows = [row for row in (_visible(found), *_amplify(found), *_compaction(found), *_memory(found)) if row]
    rows += _churn(found)
    body = ["| what | figure |", "| --- | --- |", *(f"| {what} | {figure} |" for what, figure in rows)]
    return f"{machines(found.values())}.\n\n" + "\n".join(body)


def drift() -> str:
    """Recall@10 of a grown index, with and without what is done about drift, and of one built at once."""
    found = _lines("drift")
    if not found:
        return "_No results yet._"
    names = list(dict.fromkeys(record["collection"] for record in found))
    rows: dict[tuple[str, str], dict[str, Record]] = {}
    for record in found:
        rows.setdefault((settings(record), _way(record)), {})[record["collection"]] = record
    head = ["index", "made", *names, "codecs", "bytes/token"]
    lines = [f"| {' | '.join(head)} |", f"| --- | --- |{' --: |' * (len(head) - 2)}"]
    for (made, way), own in rows.items():
        any_one = next(iter(own.values()))
        recalls = [f"{own[name]['recall']:.3f}" if name in own else "" for name in names]
        cells = [made, way, *recalls, any_one["codecs"], any_one["bytes_per_token"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    first = found[0]
    size = f"{first['documents']:,} documents, {first['tokens']:,} tokens"
    return f"{machines(found)}; {size}. Recall@10 against exact MaxSim.\n\n" + "\n".join(lines)


Found = dict[tuple[str, bool | None, str | None], Record]
Row = tuple[str, str]


def _lines(name: str) -> list[Record]:
    return records(name, name)


def _way(record: Record) -> str:
    if record["way"] == "rebuilt":
        return "at once"
    adds = f"adds of {record['batch']}" if record["batch"] else "an add for each collection"
    return f"{adds}, drift {record['way']}"


def _size(record: Record) -> str:
    return f"{record['documents']:,} documents, {record['tokens']:,} tokens"


def _visible(found: Found) -> Row | None:
    record = found.get(("visible", None, None))
    if record is None:
        return None
    what = f"{record['added']:,} adds until another reader finds them ({_size(record)})"
    return what, f"{record['seconds']:.2f} s, at most {record['most_seconds']:.2f} s"


def _amplify(found: Found) -> list[Row]:
    rows = []
    for merging in (True, False):
        if record := found.get(("amplify", merging, None)):
            what = f"{record['adds']} adds of {record['added']} documents, {'' if merging else 'not '}merging"
            times = record["bytes_written"] / max(1, record["bytes_grown"])
            figure = f"{record['bytes_written'] / 1e6:.0f} MB written, {times:.1f} times what they come to; "
            rows.append((what, f"{figure}{record['segments']} segments"))
    return rows


def _compaction(found: Found) -> list[Row]:
    record = found.get(("compaction", None, None))
    if record is None:
        return []
    return [
        (
            f"search beside a compaction of {record['seconds']:.0f} s, p50 and p99",
            f"{record['p50_ms']:.1f} and {record['p99_ms']:.1f} ms; "
            f"idle {record['idle_p50_ms']:.1f} and {record['idle_p99_ms']:.1f} ms",
        )
    ]


def _memory(found: Found) -> list[Row]:
    record = found.get(("memory", None, None))
    if record is None:
        return []
    return [
        (
            f"memory of {record['readers']} readers of one index of {record['index_bytes'] / 1e6:.0f} MB",
            f"PSS {record['pss'] / 1e6:.0f} MB in all; RSS {record['rss'] / 1e6:.0f} MB",
        )
    ]


def _churn(found: Found) -> list[Row]:
    churned, fresh = (found.get(("churn", None, way)) for way in ("churned", "fresh"))
    if churned is None or fresh is None:
        return []
    what = "100 small adds, 30 % deleted, compacted, against a fresh build"
    return [
        (f"{what}: bytes on disk", _ratio(churned, fresh, "bytes_on_disk")),
        (f"{what}: CPU ms a query", _ratio(churned, fresh, "cpu_ms")),
        (f"{what}: recall@10 of a scan", f"{churned['recall']:.3f}, {fresh['recall']:.3f}"),
    ]


def _ratio(churned: Record, fresh: Record, name: str) -> str:
    change = churned[name] / fresh[name] - 1
    return f"{churned[name]:,}, {fresh[name]:,}: {change:+.1%}"
