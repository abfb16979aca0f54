"""The tables of the report: each function makes the Markdown of one from the result lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from compare_tables import compare, compare_all
from living_tables import drift, living
from records import Record, engine, machines, mean_of, records, settings


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
    return f"{machines(found)}, one thread, CPU time{size}."


def ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def parameters(record: Record) -> str:
    hidden = {"nbits", "k", "query_tokens", "queries", "name", "default", "scan"}
    params = record["params"]
    name = params.get("name") or ("default" if params.get("default") else "")
    shown = "" if name else ", ".join(f"{key} {value}" for key, value in params.items() if key not in hidden)
    return f"{settings(record)}, {name or shown}"


def search() -> str:
    """plait and rivals: recall against exact MaxSim, and CPU time."""
    found = [
        record
        for record in records("search", "search") + records("rivals", "search")
        if record["params"]["query_tokens"] == 32
    ]
    rows: dict[tuple[str, str], dict[int, Record]] = {}
    for record in found:
        rows.setdefault((engine(record), parameters(record)), {})[record["params"]["k"]] = record

    def cells(by_k: dict[int, Record]) -> list[str]:
        shown = []
        for k in (10, 100):
            record = by_k.get(k, {})
            # The same 50 queries for all engines.
            recall = f"{record.get('recall_every_4th', record['recall']):.3f}" if record else ""
            shown += [recall, ms(record.get("cpu_ms")), ms(record.get("cpu_ms_p95"))]
        return shown

    head = ["engine", "parameters", "recall@10", "ms", "p95", "recall@100", "ms", "p95"]
    body = [[name, params, *cells(by_k)] for (name, params), by_k in rows.items()]
    about = "50 queries of 32 tokens; recall is the overlap with exact f32 MaxSim."
    return f"{setting(found)} {about}\n\n" + table(head, body)


def build() -> str:
    """Cost of building and of opening."""
    built = records("search", "build") + records("rivals", "build")
    opened = {
        (record["engine"], settings(record)): record["open_and_first_query_cpu_ms"]
        for record in records("search", "open") + records("rivals", "open")
    }
    rows = [
        [
            engine(record),
            settings(record),
            f"{record['build_cpu_s']:.0f}",
            f"{record['tokens_per_cpu_s']:,}",
            f"{record['peak_rss'] / 1e6:,.0f}",
            record["bytes_per_token"],
            ms(opened.get((record["engine"], settings(record)))),
        ]
        for record in built
    ]
    head = ["engine", "index", "build s", "tokens/s", "peak MB", "bytes/token", "open + first query ms"]
    return f"{setting(built)}\n\n" + table(head, rows)


def quality() -> str:
    """The nDCG@10 of each collection and way of searching."""
    found = records("quality", "quality")
    ways = {way_of(record): None for record in found}
    values = {(record["collection"], way_of(record)): record["nDCG@10"] for record in found}
    names = list(dict.fromkeys(record["collection"] for record in found))
    rows = [
        [name, *(f"{values[name, way]:.3f}" if (name, way) in values else "" for way in ways)]
        for name in names
    ]
    model = f"Built-in model {found[0]['encoder']}." if found else "_No results yet._"
    return f"{model}\n\n" + table(["nDCG@10", *ways], rows)


def way_of(record: Record) -> str:
    """How a collection was searched: "exact f32", "BM25", or what the index was made with."""
    way = record["params"]["search"]
    return {"exact": "exact f32"}.get(way, way) if way != "default" else settings(record)


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
    made = settings(found[0]) if found else ""
    return f"{setting(found)} Queries of 32 tokens, {made}.\n\n" + table(head, rows)


def scan_threshold() -> str:
    """Scanning and searching by size."""
    found = records("scan_threshold", "scan_threshold")
    rows = [
        [f"{tokens:,}", ms(scan), ms(searched), settings(record), record["params"]["queries"]]
        for record in found
        for tokens, scan, searched in zip(
            record["tokens"], record["scan_cpu_ms"], record["search_cpu_ms"], strict=True
        )
    ]
    return table(["tokens", "scan ms", "search ms", "index", "queries"], rows)


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
                chosen = [params.get(name, "") for name in ("nprobe", "ngroups", "ndocs")]
                rows.append([k, *chosen, f"{best:.4f}", f"{record['cpu_ms']:.2f}"])
    head = ["k", "nprobe", "ngroups", "ndocs", "search recall", "ms"]
    return f"{setting(found)}\n\n" + table(head, rows)


def scale_build() -> str:
    """Building by size."""
    found = records("scale", "scale_build")
    rows = [
        [
            f"{record['documents']:,}",
            settings(record),
            f"{record['build_cpu_s']:.0f}",
            f"{record['build_wall_s']:.0f}",
            f"{record['tokens_per_cpu_s']:,}",
            f"{record['peak_rss'] / 1e6:,.0f}",
            f"{record['bytes_per_token']:.1f}",
            f"{record['bytes_per_million_documents'] / 1e9:.2f}",
        ]
        for record in found
    ]
    head = [
        "documents",
        "index",
        "CPU s",
        "wall s",
        "tokens / CPU s",
        "peak MB",
        "bytes/token",
        "GB per 1M docs",
    ]
    threads = f", {found[0]['threads']} threads" if found else ""
    return f"{machines(found) or '_No results yet_'}{threads}.\n\n" + table(head, rows)


def scale() -> str:
    """Searching by size."""
    found = [record for record in records("scale", "scale") if record["params"]["name"] == "default"]
    rates = {
        (record["documents"], settings(record), record["params"]["k"], record["threads"]): record["qps"]
        for record in records("scale", "throughput")
    }
    rows = []
    for record in found:
        key = (record["documents"], settings(record), record["params"]["k"])
        recall = record.get("recall")
        rows.append(
            [
                f"{record['documents']:,}",
                *key[1:],
                f"{record['search_recall']:.3f}",
                "" if recall is None else f"{recall:.3f}",
                *(ms(record[name]) for name in ("cpu_ms", "cpu_ms_p95", "wall_ms", "wall_ms_p95")),
                *(ms(rates.get((*key, threads))) for threads in (1, 2)),
            ]
        )
    head = ["documents", "index", "k", "search recall", "recall", "CPU ms", "p95", "wall ms", "p95"]
    head += ["queries/s, 1 thread", "2 threads"]
    return f"{machines(found) or '_No results yet_'}, queries of 32 tokens.\n\n" + table(head, rows)


def alternatives() -> str:
    """What users would take instead."""
    found = records("alternatives", "alternatives")
    names = {"k", "method", "segments", "vectors"}
    rows = [
        [
            engine(record),
            ", ".join(f"{name} {value}" for name, value in record["params"].items() if name not in names),
            f"{record['build_cpu_s']:.1f}",
            f"{record['cpu_ms']:.2f}",
            f"{record['cpu_ms_p95']:.2f}",
            record.get("recall_of_pooled", ""),
        ]
        for record in found
    ]
    head = ["engine", "parameters", "build s", "ms", "p95", "recall@10 of pooled vectors"]
    return f"{setting(found)} The best 10.\n\n" + table(head, rows)


def bm25() -> str:
    """BM25 by plait and others, on the same texts."""
    found = records("bm25", "bm25")
    rows = [
        [
            engine(record),
            record["answer"],
            record["k"],
            f"{record['build_cpu_s']:.1f}",
            f"{record['bytes_per_document']:.0f}",
            f"{record['cpu_ms']:.2f}",
            f"{record['cpu_ms_p95']:.2f}",
            record["agreement"],
        ]
        for record in found
    ]
    head = ["engine", "answer", "k", "build s", "bytes a document", "ms", "p95", "hits shared with plait"]
    return f"{setting(found)}\n\n" + table(head, rows)


def rescoring() -> str:
    """MaxSim of 1000 candidates."""
    found = records("rescoring", "rescoring")
    rows = [
        [
            engine(record),
            record["params"]["way"],
            ms(record["cpu_ms"]),
            f"{record['largest_error']:.2g}",
            f"{record['rank_correlation']:.3f}",
            f"{record['best_10']:.2f}",
        ]
        for record in sorted(found, key=lambda record: record["cpu_ms"])
    ]
    head = ["engine", "way", "ms", "largest error", "rank correlation", "best 10 right"]
    return f"{setting(found)}\n\n" + table(head, rows)


def limits() -> str:
    """Rescoring beside the processor's peak."""
    found = records("limits", "limits")
    pairs: dict[str, dict[str, Record]] = {}
    for record in found:
        pairs.setdefault(settings(record), {})[record["cache"]] = record
    rows = [
        [
            name,
            f"{caches['hot']['tokens_per_s'] / 1e6:.1f}",
            share(caches["hot"]),
            f"{caches['cold']['tokens_per_s'] / 1e6:.1f}",
            share(caches["cold"]),
            f"{caches['hot']['tokens_per_s'] / caches['cold']['tokens_per_s']:.2f}",
            caches["cold"]["read_gb_s"],
        ]
        for name, caches in pairs.items()
    ]
    head = ["index", "hot, M tokens/s", "of peak", "cold, M tokens/s", "of peak", "hot / cold", "GB/s read"]
    if not found:
        return f"_No results yet._\n\n{table(head, rows)}"
    peak = found[0]
    most = f"; at most {peak['peak_gops']} GOPS, {peak['memory_gb_s']} GB/s" if "peak_gops" in peak else ""
    asked = f"{peak['query_tokens']} query tokens, {peak['dim']} dimensions"
    return f"{machines(found)}, one thread, {peak['isa']}; {asked}{most}.\n\n{table(head, rows)}"


def share(record: Record) -> str:
    return f"{record['of_peak']:.0%}" if "of_peak" in record else ""


def codecs() -> str:
    """Compression: size, and relevance that is left."""
    found = [record for record in records("codecs", "codecs") if record["dim"] == 128]
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in found:
        groups.setdefault((record["codec"], record["bits"]), []).append(record)
    rows = []
    for (codec, bits), group in groups.items():
        names = ("bytes_per_token", "kept", "overlap_10", "overlap_100")
        cells = [f"{mean_of(group, name):.4g}" if name in group[0] else "" for name in names]
        rows.append([codec, bits, *cells])
    collections = ", ".join(dict.fromkeys(record["collection"] for record in found))
    head = ["codec", "bits", "bytes/token", "nDCG@10 kept", "overlap@10", "overlap@100"]
    return f"Means over {collections or 'nothing yet'}; 128 dimensions.\n\n" + table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        search,
        build,
        quality,
        startup,
        stages,
        scan_threshold,
        sweep,
        scale_build,
        scale,
        alternatives,
        bm25,
        rescoring,
        limits,
        codecs,
        living,
        drift,
        compare,
        compare_all,
    )
}
