"""Below which size is scanning everything as fast as looking for candidates? `... scan_threshold.py VECTORS`.

Builds indexes of growing prefixes of the documents and times the default search with and without a scan;
those too small to be compressed are left out, since they are scanned anyway. The threshold is where the two
curves cross, interpolated in the logarithm of the tokens; SCAN_TOKENS in src/plait/search/params.py is set
from it.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import measure
import numpy as np
from vectors import VectorSet

import plait

SIZES = (250, 425, 500, 625, 750, 1000, 1500, 2000, 3000, 5000, 10_000)
K = 10


def cpu_ms(index: plait.Index, queries: list[np.ndarray], k: int, scan: bool) -> dict[str, float]:
    params = replace(plait.SearchParams.for_k(k), scan=scan)
    return measure.per_query(lambda query: index.search(query, k, params=params, threads=1), queries)


def crossing(tokens: list[int], scans: list[float], searches: list[float]) -> int | None:
    """Tokens where scanning becomes slower for good; the smallest if it always is, None if it never is."""
    gap = np.log(np.array(scans) / np.array(searches))
    faster = np.flatnonzero(gap <= 0)
    if not len(faster):
        return tokens[0]
    last = int(faster[-1])
    if last + 1 == len(gap):
        return None
    share = -gap[last] / (gap[last + 1] - gap[last])
    return round(tokens[last] * (tokens[last + 1] / tokens[last]) ** float(share))


def curve(source: VectorSet, made: dict[str, Any], k: int, kind: str) -> None:
    tokens, scans, searches = [], [], []
    queries = source.queries(kind)[::2]
    for ndocs in (size for size in SIZES if size <= len(source.doclens)):
        documents = plait.TokenEmbeddings(source.embeddings, source.doclens)[:ndocs]
        with tempfile.TemporaryDirectory() as folder:
            index = plait.Index.create(Path(folder) / "index", dim=documents.dim, **made)
            index.add(vectors=documents)
            if index.stats().centroids is None:  # too small to be compressed: always scanned
                continue
            scan, search = (cpu_ms(index, queries, k, scan) for scan in (True, False))
        tokens.append(documents.ntokens)
        scans.append(scan["cpu_ms"])
        searches.append(search["cpu_ms"])
    measure.emit(
        "scan_threshold",
        "plait",
        index=made,
        params={"k": k, "queries": kind},
        tokens=tokens,
        scan_cpu_ms=scans,
        search_cpu_ms=searches,
        threshold_tokens=crossing(tokens, scans, searches),
    )


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--made", nargs="+", default=["balanced", "4"], help="levels, or bits")
    options = parser.parse_args()
    for made in map(measure.made_with, options.made):
        for kind in ("padded", "ragged"):
            curve(VectorSet(options.vectors), made, K, kind)


if __name__ == "__main__":
    main()
