"""Recall of an index whose documents change their subject: `python benchmarks/drift.py DATA --work DIR`.

DATA holds `eval/NAME/` in BEIR's form. An index begins with Cranfield (aerodynamics); NFCorpus (medicine) and
MS MARCO-DL (the web) are added: with what plait does about drift, and without it; and, to compare, one index
is built of everything at once. Reported is the share of the exact best 10 (MaxSim on the original vectors)
that the default search finds, for the queries of each collection.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import measure
from exact import best
from judged import Judged

import numpy as np  # isort: skip
import plait
from plait.store import choice
from plait.types import TokenEmbeddings

FIRST, ADDED = "cranfield", ("nfcorpus", "msmarco-dl")
K = 10
#: Documents of each add after the first collection.
BATCHES = (1_000_000, 100)

Collections = dict[str, tuple[TokenEmbeddings, TokenEmbeddings]]


def collections(data: Path, cache: Path | None) -> Collections:
    """Token vectors of the documents and of the judged queries."""
    encoder, found = plait.load_encoder(), {}
    for name in (FIRST, *ADDED):
        documents, queries, _ = Judged.read(data / "eval" / name).encoded(encoder, cache)
        found[name] = documents, queries
    return found


def joined(parts: list[TokenEmbeddings]) -> TokenEmbeddings:
    vectors = np.concatenate([part.vectors for part in parts])
    return TokenEmbeddings(vectors, np.concatenate([part.doclens for part in parts]))


def grown(path: Path, sets: Collections, batch: int, handled: bool, made: dict[str, Any]) -> plait.Index:
    """The first collection, then the others in adds of so many documents."""
    with mock.patch("plait.store.choice.MOST_MISFIT", choice.MOST_MISFIT if handled else math.inf):
        index = plait.Index.create(path, dim=sets[FIRST][0].dim, **made)
        index.add(vectors=sets[FIRST][0])
        for name in ADDED:
            documents = sets[name][0]
            for begin in range(0, len(documents), batch):
                index.add(vectors=documents[begin : begin + batch])
    return index


def report(searched: plait.Index, sets: Collections, truth: dict[str, Any], **facts: Any) -> None:
    stats = searched.stats()
    for name, (_, queries) in sets.items():
        found = [[int(hit.id) for hit in hits] for hits in searched.search_all(queries, K)]
        measure.emit(
            "drift",
            "plait",
            collection=name,
            queries=len(queries),
            **facts,
            recall=measure.overlap(found, truth[name], K),
            codecs=len(list((searched.path / "codecs").iterdir())),
            segments=stats.segments,
            documents=stats.documents,
            tokens=stats.tokens,
            bytes_per_token=stats.bytes_per_token,
        )


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, help="keep token vectors here")
    parser.add_argument("--made", nargs="+", default=["balanced", "compact", "4"])
    options = parser.parse_args()
    sets = collections(options.data, options.work and options.work / "encoded")
    everything = joined([documents for documents, _ in sets.values()])
    truth = {
        name: best(everything.vectors, everything.offsets, list(queries), K)
        for name, (_, queries) in sets.items()
    }
    for made in map(measure.made_with, options.made):
        with tempfile.TemporaryDirectory() as folder:
            index = plait.Index.create(Path(folder) / "rebuilt", dim=everything.dim, **made)
            index.add(vectors=everything)
            report(index, sets, truth, index=made, way="rebuilt", batch=None)
            for batch in BATCHES:
                for handled in (True, False):
                    way = "handled" if handled else "ignored"
                    path = Path(folder) / f"{way} {batch}"
                    index = grown(path, sets, batch, handled, made)
                    report(index, sets, truth, index=made, way=way, batch=batch if batch < 10**6 else None)


if __name__ == "__main__":
    main()
