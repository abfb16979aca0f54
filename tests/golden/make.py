"""Makes the golden index of the current format version; run once per version, never again.

python tests/golden/make.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import plait  # noqa: E402
from plait import SearchParams  # noqa: E402
from plait.store import FORMAT_VERSION  # noqa: E402
from tests.conftest import clustered  # noqa: E402


def main() -> None:
    kinds = {
        "exact": (1 << 30, 96, {"level": "balanced"}),
        "residual": (100, 96, {"nbits": 2}),
        "scaled": (100, 96, {"level": "balanced"}),
        "children": (100, 4, {"level": "compact"}),
    }
    for kind, (threshold, tokens_per_child, how) in kinds.items():
        path = HERE / f"v{FORMAT_VERSION}-{kind}"
        if path.exists():
            raise SystemExit(f"{path} exists; golden indexes are never made again")
        documents = clustered(60, dim=12, seed=1, doclen=(1, 9))
        with (
            mock.patch("plait.store.choice.MIN_CODEC_TOKENS", threshold),
            mock.patch("plait.codec.subdivide.TOKENS_PER_CHILD", tokens_per_child),
            plait.Index.create(path, dim=12, seed=7, **how) as index,
        ):
            texts = [f"text {number}, ü" for number in range(60)]
            index.add(vectors=documents[:40], texts=texts[:40], metadata=[{"number": n} for n in range(40)])
            index.add(vectors=documents[40:], ids=[f"later {n}" for n in range(20)])
            index.delete(["3", "later 7"])
            cases = [
                {
                    "query": documents[n].tolist(),
                    "scan": scan,
                    "hits": [
                        list(hit) for hit in index.search(documents[n], 5, params=SearchParams(scan=scan))
                    ],
                }
                for n in (0, 3, 41)
                for scan in (True, False)
            ]
        (HERE / f"v{FORMAT_VERSION}-{kind}.json").write_text(json.dumps(cases) + "\n")
        for leftover in path.glob("*.sqlite-*"):
            leftover.unlink()
    living()


def living() -> None:
    """The same documents after a life: declared fields, two codecs, several segments, tombstones, a merge."""
    path = HERE / f"v{FORMAT_VERSION}-living"
    if path.exists():
        raise SystemExit(f"{path} exists; golden indexes are never made again")
    documents = clustered(60, dim=12, seed=1, doclen=(1, 9))
    with (
        mock.patch("plait.store.choice.MIN_CODEC_TOKENS", 100),
        mock.patch("plait.store.choice.RETRAIN_FACTOR", 2),
        plait.Index.create(path, dim=12, seed=7, level="balanced", fields={"number": int}) as index,
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
        cases = [
            {
                "query": documents[n].tolist(),
                "scan": scan,
                "hits": [list(hit) for hit in index.search(documents[n], 5, params=SearchParams(scan=scan))],
            }
            for n in (0, 3, 41)
            for scan in (True, False)
        ]
    (HERE / f"v{FORMAT_VERSION}-living.json").write_text(json.dumps(cases) + "\n")
    for leftover in path.glob("*.sqlite-*"):
        leftover.unlink()


if __name__ == "__main__":
    main()
