"""Tables from benchmarks/results/*.jsonl: `python benchmarks/report.py [FILE.md ...] [--check]`.

Without files, prints every table. In the files given, replaces what stands between
    <!-- generated: NAME -->  and  <!-- end -->
by the table NAME. --check changes nothing and fails when a file is not up to date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import measure

RESULTS = Path(__file__).resolve().parent / "results"
MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
Record: TypeAlias = dict[str, Any]


def records(name: str, benchmark: str) -> list[Record]:
    """The lines of one benchmark in results/NAME.jsonl; none if there is no such file."""
    path = RESULTS / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [record for record in map(json.loads, lines) if record["benchmark"] == benchmark]


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---", *(["--:"] * (len(lines[0]) - 1))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def setting(found: list[Record]) -> str:
    """One line that says where and on what."""
    if not found:
        return "_No results yet._"
    first = found[0]
    size = f"; {first['documents']:,} passages, {first['tokens']:,} tokens" if "tokens" in first else ""
    return f"{first['cpu_model']}, one thread, CPU time{size}."


def ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def parameters(record: Record) -> str:
    hidden = {"nbits", "k", "query_tokens", "queries", "name", "default", "scan"}
    params = record["params"]
    name = params.get("name") or ("default" if params.get("default") else "")
    shown = "" if name else ", ".join(f"{key} {value}" for key, value in params.items() if key not in hidden)
    return f"{params['nbits']} bits, {name or shown}"


def search() -> str:
    """plait and rivals: recall against exact MaxSim, and CPU time."""
    found = [
        record
        for record in records("search", "search") + records("rivals", "search")
        if record["params"]["query_tokens"] == 32
    ]
    rows: dict[tuple[str, str], dict[int, Record]] = {}
    for record in found:
        name = f"{record['engine']} {record['version']}"
        rows.setdefault((name, parameters(record)), {})[record["params"]["k"]] = record

    def cells(by_k: dict[int, Record]) -> list[str]:
        shown = []
        for k in (10, 100):
            record = by_k.get(k, {})
            # The same 50 queries for all engines.
            recall = f"{record.get('recall_every_4th', record['recall']):.3f}" if record else ""
            shown += [recall, ms(record.get("cpu_ms")), ms(record.get("cpu_ms_p95"))]
        return shown

    head = ["engine", "parameters", "recall@10", "ms", "p95", "recall@100", "ms", "p95"]
    body = [[engine, params, *cells(by_k)] for (engine, params), by_k in rows.items()]
    about = "50 queries of 32 tokens; recall is the overlap with exact f32 MaxSim."
    return f"{setting(found)} {about}\n\n" + table(head, body)


def build() -> str:
    """Cost of building and of opening."""
    built = records("search", "build") + records("rivals", "build")
    opened = {
        (record["engine"], record["params"]["nbits"]): record
        for record in records("search", "open") + records("rivals", "open")
    }
    rows = [
        [
            f"{record['engine']} {record['version']}",
            record["params"]["nbits"],
            f"{record['build_cpu_s']:.0f}",
            f"{record['tokens_per_cpu_s']:,}",
            f"{record['peak_rss'] / 1e6:,.0f}",
            record["bytes_per_token"],
            ms(
                opened.get((record["engine"], record["params"]["nbits"]), {}).get(
                    "open_and_first_query_cpu_ms"
                )
            ),
        ]
        for record in built
    ]
    head = ["engine", "bits", "build s", "tokens/s", "peak MB", "bytes/token", "open + first query ms"]
    return f"{setting(built)}\n\n" + table(head, rows)


def quality() -> str:
    """The nDCG@10 of each collection and way of searching."""
    found = records("quality", "quality")
    ways = [("exact", None), *(("default", nbits) for nbits in (8, 4, 2, 1)), ("BM25", None)]
    values = {
        (record["collection"], record["params"]["search"], record["params"].get("nbits")): record["nDCG@10"]
        for record in found
    }
    names = list(dict.fromkeys(record["collection"] for record in found))
    rows = [
        [name, *(f"{values[name, *way]:.3f}" if (name, *way) in values else "" for way in ways)]
        for name in names
    ]
    head = ["nDCG@10", "exact f32", "8 bits", "4 bits", "2 bits", "1 bit", "BM25"]
    model = f"Built-in model {found[0]['encoder']}." if found else "_No results yet._"
    return f"{model}\n\n" + table(head, rows)


def startup() -> str:
    """Start-up times and the weight of an installation."""
    found = records("startup", "startup")
    rows = [
        [record["params"]["what"], ms(record["cpu_ms"]), ms(record["process_cpu_ms"])] for record in found
    ]
    weights = [
        f"\n\nA base installation is {record['site_packages_mb']} MB."
        for record in records("startup", "weight")
    ]
    head = ["CPU ms in a fresh process", "itself", "with Python's start"]
    return f"{setting(found[:1])}\n\n" + table(head, rows) + "".join(weights)


def stages() -> str:
    """Where a search spends its time."""
    found = [r for r in records("stages", "stages") if r["params"]["queries"] == "padded"]
    found = [record for record in found if not record["params"]["scan"]]
    names = list(found[0]["stages_cpu_ms"]) if found else []
    rows = [[name, *(f"{record['stages_cpu_ms'][name]:.2f}" for record in found)] for name in names]
    rows.append(["whole search", *(f"{record['whole_cpu_ms']:.2f}" for record in found)])
    head = ["ms", *(f"k = {record['params']['k']}" for record in found)]
    return f"{setting(found)} Queries of 32 tokens, 4 bits.\n\n" + table(head, rows)


def scan_threshold() -> str:
    """Scanning and searching by size."""
    found = records("scan_threshold", "scan_threshold")
    rows = [
        [f"{tokens:,}", ms(scan), ms(searched), record["params"]["nbits"], record["params"]["queries"]]
        for record in found
        for tokens, scan, searched in zip(
            record["tokens"], record["scan_cpu_ms"], record["search_cpu_ms"], strict=True
        )
    ]
    return table(["tokens", "scan ms", "search ms", "bits", "queries"], rows)


def sweep() -> str:
    """Parameters for which no others are both faster and more faithful."""
    found = [record for record in records("sweep", "search") if record["params"]["name"] == "sweep"]
    rows = []
    for k in sorted({record["params"]["k"] for record in found}):
        best = 0.0
        for record in sorted(found, key=lambda record: record["cpu_ms"]):
            params = record["params"]
            if params["k"] == k and record["search_recall"] > best:
                best = record["search_recall"]
                chosen = [params[name] for name in ("nprobe", "ncandidates", "ndocs")]
                rows.append([k, *chosen, f"{best:.4f}", f"{record['cpu_ms']:.2f}"])
    head = ["k", "nprobe", "ncandidates", "ndocs", "search recall", "ms"]
    return f"{setting(found)}\n\n" + table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made for made in (search, build, quality, startup, stages, scan_threshold, sweep)
}


def updated(text: str) -> str:
    """The text with every marked part made again.

    Raises:
        SystemExit: a marked part names no table.
    """

    def replace(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise SystemExit(f"there is no table {match[2]!r}; there are {', '.join(TABLES)}")
        return f"{match[1]}{TABLES[match[2]]()}\n{match[3]}"

    return MARKED.sub(replace, text)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if not options.files:
        print("\n\n".join(f"## {name}\n\n{made()}" for name, made in TABLES.items()))
        return
    stale = []
    for path in options.files:
        old = path.read_text()
        new = updated(old)
        if new != old:
            stale.append(str(path))
            if not options.check:
                path.write_text(new)
    if stale and options.check:
        sys.exit(f"not up to date, run benchmarks/report.py on: {', '.join(stale)}")


if __name__ == "__main__":
    main()
