"""Makes the golden index of the current format version; run once per version, never again.

python tests/golden/make.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import plait  # noqa: E402
from plait import SearchParams  # noqa: E402
from plait.store import FORMAT_VERSION  # noqa: E402
from plait.types import TokenEmbeddings  # noqa: E402
from tests.conftest import clustered  # noqa: E402

#: Components of the single vectors, which are others than those of the tokens.
SINGLE = 20
QUERIES = (0, 3, 41)


def golden_documents() -> TokenEmbeddings:
    """60 small documents, each with a single vector."""
    tokens = clustered(60, dim=12, seed=1, doclen=(1, 9))
    single = np.random.default_rng(5).normal(size=(60, SINGLE)).astype(np.float32)
    return TokenEmbeddings(tokens.vectors, tokens.doclens, single)


def answers(index: plait.Index, documents: TokenEmbeddings) -> list[dict[str, Any]]:
    """What the index answers by its token vectors, and by its optional parts if it has them."""
    cases: list[dict[str, Any]] = []
    for number in QUERIES:
        query = documents[number]
        for scan in (True, False):
            hits = index.search(query, 5, params=SearchParams(scan=scan))
            cases.append({"query": query.tolist(), "scan": scan, "hits": [list(hit) for hit in hits]})
    if index.stats().bytes_bi_encoder is not None:
        for number in QUERIES:
            single = documents.single_vectors()[number]
            hits = index.search_bi_encoder(single, 5)
            cases.append({"single": single.tolist(), "hits": [list(hit) for hit in hits]})
        cases += [
            {"words": words, "hits": [list(hit) for hit in index.search_bm25(words, 5)]}
            for words in ("text 5", "ü 17 text 5", "nothing")
        ]
    return cases


def main() -> None:
    parts = {"bm25": True, "bi_encoder": SINGLE}
    kinds = {
        "exact": (1 << 30, 96, {"level": "balanced", **parts}),
        "residual": (100, 96, {"nbits": 2}),
        "scaled": (100, 96, {"level": "balanced", **parts}),
        "children": (100, 4, {"level": "compact"}),
    }
    for kind, (threshold, tokens_per_child, how) in kinds.items():
        path = HERE / f"v{FORMAT_VERSION}-{kind}"
        if path.exists():
            raise SystemExit(f"{path} exists; golden indexes are never made again")
        documents = golden_documents()
        with (
            mock.patch("plait.store.choice.MIN_CODEC_TOKENS", threshold),
            mock.patch("plait.codec.subdivide.TOKENS_PER_CHILD", tokens_per_child),
            plait.Index.create(path, dim=12, seed=7, **how) as index,
        ):
            texts = [f"text {number}, ü" for number in range(60)]
            index.add(vectors=documents[:40], texts=texts[:40], metadata=[{"number": n} for n in range(40)])
            index.add(vectors=documents[40:], ids=[f"later {n}" for n in range(20)])
            index.delete(["3", "later 7"])
            cases = answers(index, documents)
        (HERE / f"v{FORMAT_VERSION}-{kind}.json").write_text(json.dumps(cases) + "\n")
        for leftover in path.glob("*.sqlite-*"):
            leftover.unlink()
    living()


def living() -> None:
    """The same documents after a life: declared fields, two codecs, several segments, tombstones, a merge."""
    path = HERE / f"v{FORMAT_VERSION}-living"
    if path.exists():
        raise SystemExit(f"{path} exists; golden indexes are never made again")
    documents = golden_documents()
    parts = {"bm25": True, "bi_encoder": SINGLE}
    with (
        mock.patch("plait.store.choice.MIN_CODEC_TOKENS", 100),
        mock.patch("plait.store.choice.RETRAIN_FACTOR", 2),
        plait.Index.create(path, dim=12, seed=7, level="balanced", fields={"number": int}, **parts) as index,
    ):
        for begin in range(0, 40, 5):
            some = slice(begin, begin + 5)
            texts = [f"text {number}, ü" for number in range(begin, begin + 5)]
            numbers = [{"number": number} for number in range(begin, begin + 5)]
            index.add(vectors=documents[some], texts=texts, metadata=numbers)
            if begin == 10:
                index.upsert(vectors=documents[begin : begin + 5], ids=["0", "1", "2", "3", "4"])
                index.compact()
                index.upsert(
                    vectors=documents[:5],
                    ids=["0", "1", "2", "3", "4"],
                    texts=[f"text {number}, ü" for number in range(5)],
                    metadata=[{"number": number} for number in range(5)],
                )
        index.add(vectors=documents[40:], ids=[f"later {n}" for n in range(20)])
        index.delete(["3", "later 7"])
        cases = answers(index, documents)
    (HERE / f"v{FORMAT_VERSION}-living.json").write_text(json.dumps(cases) + "\n")
    for leftover in path.glob("*.sqlite-*"):
        leftover.unlink()


if __name__ == "__main__":
    main()
