"""A reader written from docs/index-format.md alone: NumPy, SQLite and JSON, nothing of plait's.

It shows that the page is complete: it finds the documents of the golden indexes, and scores them.
"""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

LEVELS = {
    4: np.array([-63, -48, -37, -29, -22, -15, -9, -3, 3, 9, 15, 22, 29, 37, 48, 63]),
    2: np.array([-35, -10, 10, 35]),
    1: np.array([-18, 18]),
}


def unpack(packed: np.ndarray, count: int, nbits: int) -> np.ndarray:
    """Numbers ``[n, count]``: bit j of dimension d is bit ``7 - (p & 7)`` of byte ``p >> 3``."""
    places = np.arange(count)[:, None] * nbits + np.arange(nbits)
    bits = packed[:, places >> 3] >> (7 - (places & 7)) & 1
    return (bits << np.arange(nbits)).sum(axis=-1)


class Reader:
    """All documents of an index, with their vectors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = sqlite3.connect(f"file:{folder}/catalog.sqlite?mode=ro&immutable=1", uri=True)
        assert self._value("PRAGMA application_id") == 0x504C4149
        self.version = self._value("PRAGMA user_version")
        settings = self.catalog.execute("SELECT key, value FROM setting")
        self.settings = {key: json.loads(value) for key, value in settings}
        self.codecs = {}
        query = "SELECT codec, kind, nbits, checksums FROM codec"
        for codec, kind, nbits, checksums in self.catalog.execute(query).fetchall():
            self.codecs[codec] = kind, nbits, self._arrays(f"codecs/{codec:06d}", checksums)
        self.documents: dict[str, tuple[str | None, dict[str, Any]]] = {}
        self.ids: dict[int, str] = {}
        for pid, key, text, metadata in self.catalog.execute("SELECT pid, id, text, metadata FROM document"):
            self.documents[key] = text, json.loads(metadata) if metadata else {}
            self.ids[pid] = key
        self.singles: dict[str, np.ndarray] = {}
        self.words: dict[str, Counter[str]] = {}
        self.vectors = dict(self._vectors())
        self.catalog.close()

    def _value(self, query: str) -> Any:
        return self.catalog.execute(query).fetchone()[0]

    def _arrays(self, folder: str, checksums: str) -> dict[str, np.ndarray]:
        arrays = {}
        for name, crc in json.loads(checksums).items():
            arrays[name] = np.load(self.folder / folder / f"{name}.npy", allow_pickle=False)
            assert zlib.crc32(arrays[name].tobytes()) == crc, f"{folder}/{name}.npy"
        return arrays

    def _vectors(self) -> Any:
        """(id, vectors ``[ntokens, dim]``) of the live documents, in order of insertion."""
        dead = {pid for (pid,) in self.catalog.execute("SELECT pid FROM tombstone")}
        found = {}
        query = "SELECT segment, codec, ndocs, ntokens, checksums FROM segment"
        for segment, codec, ndocs, ntokens, checksums in self.catalog.execute(query).fetchall():
            arrays = self._arrays(f"segments/{segment:06d}", checksums)
            assert arrays["doclens"].shape == arrays["pids"].shape == (ndocs,)
            assert arrays["doclens"].sum() == ntokens
            kind, nbits, codec_arrays = self.codecs[codec]
            rows = getattr(self, f"_{kind}")(arrays, codec_arrays, nbits)
            self._check_lists(kind, arrays, codec_arrays)
            self._keep_singles(arrays, dead)
            self._keep_words(arrays, dead)
            ends = arrays["doclens"].astype(np.int64).cumsum()
            for pid, begin, end in zip(arrays["pids"].tolist(), ends - arrays["doclens"], ends, strict=True):
                if pid not in dead:
                    found[pid] = rows[begin:end]
        assert found.keys() == self.ids.keys()
        return ((self.ids[pid], found[pid]) for pid in sorted(found))

    def _float32(self, arrays: dict[str, np.ndarray], *_: Any) -> np.ndarray:
        return arrays["vectors"]

    def _residual(
        self, arrays: dict[str, np.ndarray], codec: dict[str, np.ndarray], nbits: int
    ) -> np.ndarray:
        centroids = codec["centroids"].astype(np.float32)[arrays["codes"]]
        rows = centroids + codec["weights"][unpack(arrays["residuals"], self.settings["dim"], nbits)]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _scaled(self, arrays: dict[str, np.ndarray], codec: dict[str, np.ndarray], _: Any) -> np.ndarray:
        centroids = (codec["centroids"].astype(np.float32) - 128) * codec["centroid_scales"][:, None]
        levels = np.zeros((len(arrays["codes"]), centroids.shape[1]))
        dimension = byte = 0
        for nbits, count in zip((4, 2, 1), codec["bits"].tolist(), strict=True):
            part = arrays["residuals"][:, byte : byte + count * nbits // 8]
            levels[:, dimension : dimension + count] = LEVELS[nbits][unpack(part, count, nbits)]
            dimension, byte = dimension + count, byte + count * nbits // 8
        gains = codec["gain_values"][arrays["gains"]]
        rows = gains[:, :1] * centroids[arrays["codes"]] + gains[:, 1:] * (codec["sigma"] * levels)
        return rows @ codec["rotation"].T

    def _check_lists(self, kind: str, arrays: dict[str, np.ndarray], codec: dict[str, np.ndarray]) -> None:
        """Every document is in the list of each of its tokens' centroids, as far as the page promises it."""
        if kind == "float32":
            return
        docs = arrays["ivf_docs"]
        if docs.ndim == 2:
            docs = docs.astype(np.int64) @ [1, 1 << 8, 1 << 16]
        lists = np.split(docs.astype(np.int64), arrays["ivf_lengths"].astype(np.int64).cumsum()[:-1])
        assert all((np.diff(one) > 0).all() for one in lists)
        places = np.repeat(np.arange(len(arrays["doclens"])), arrays["doclens"])
        if len(arrays.get("child_counts", ())):
            assert arrays["child_counts"].sum() == len(lists) == len(arrays["child_centroids"])
            assert {*docs.tolist()} == {*places.tolist()}
            return
        assert len(lists) == len(codec["centroids"])
        for number, one in enumerate(lists):
            assert one.tolist() == sorted({*places[arrays["codes"] == number].tolist()})

    def _keep_singles(self, arrays: dict[str, np.ndarray], dead: set[int]) -> None:
        """The single vectors of a segment's live documents, if the index has the part."""
        if "bi_encoder" not in self.settings:
            assert not any(name.startswith("bi_encoder_") for name in arrays)
            return
        codes, scales = arrays["bi_encoder_codes"], arrays["bi_encoder_scales"]
        numbers = np.concatenate([codes & 15, codes >> 4], axis=1)[:, : self.settings["bi_encoder"]["dim"]]
        rows = scales[:, None] * (2 * numbers.astype(np.float64) - 15)
        for pid, row in zip(arrays["pids"].tolist(), rows, strict=True):
            if pid not in dead:
                self.singles[self.ids[pid]] = row

    def _keep_words(self, arrays: dict[str, np.ndarray], dead: set[int]) -> None:
        """How often each term is in a segment's live documents, if the index has the part."""
        if "bm25" not in self.settings:
            assert not any(name.startswith("bm25_") for name in arrays)
            return
        docs, tfs, doclens = (arrays[f"bm25_{name}"] for name in ("docs", "tfs", "doclens"))
        if docs.ndim == 2:
            docs = docs.astype(np.int64) @ [1, 1 << 8, 1 << 16]
        counts = [Counter() for _ in doclens]
        blob, begin = arrays["bm25_terms"].tobytes(), 0
        starts = [0, *arrays["bm25_list_ends"].tolist()]
        for number, end in enumerate(arrays["bm25_term_ends"].tolist()):
            term, begin = blob[begin:end].decode(), end
            first, last = starts[number], starts[number + 1]
            assert (np.diff(docs[first:last].astype(np.int64)) > 0).all()
            for doc, tf in zip(docs[first:last].tolist(), tfs[first:last].tolist(), strict=True):
                counts[doc][term] = tf
            for block, at in enumerate(range(first, last, 128)):
                place, rows = first // 128 + number + block, slice(at, min(at + 128, last))
                assert arrays["bm25_block_tfs"][place] == tfs[rows].max()
                smallest = doclens[docs[rows].astype(np.int64)].min()
                assert arrays["bm25_block_doclens"][place] == min(smallest, 65_535)
        assert [count.total() for count in counts] == doclens.tolist()
        for pid, count in zip(arrays["pids"].tolist(), counts, strict=True):
            if pid not in dead:
                self.words[self.ids[pid]] = count

    def search_words(self, terms: list[str], k: int) -> list[tuple[str, float]]:
        """The best k of the documents that have one of the terms, by BM25 as Lucene computes it."""
        k1, b = self.settings["bm25"]["k1"], self.settings["bm25"]["b"]
        average = sum(count.total() for count in self.words.values()) / len(self.words)
        scores = []
        for key in sorted(self.words, key=list(self.ids.values()).index):
            count, score = self.words[key], 0.0
            for term in terms:
                df = sum(term in other for other in self.words.values())
                idf = math.log(1 + (len(self.words) - df + 0.5) / (df + 0.5))
                norm = k1 * (1 - b + b * count.total() / average)
                score += idf * count[term] / (count[term] + norm) if term in count else 0.0
            if score:
                scores.append((key, score))
        return sorted(scores, key=lambda pair: -np.float32(pair[1]))[:k]

    def search_singles(self, query: Any, k: int) -> list[tuple[str, float]]:
        """The best k by the cosine of single vectors."""
        query = np.asarray(query, dtype=np.float64)
        query = query / np.linalg.norm(query)
        scores = [(key, float(row @ query)) for key, row in self.singles.items()]
        return sorted(scores, key=lambda pair: -pair[1])[:k]

    def search(self, query: Any, k: int) -> list[tuple[str, float]]:
        """The best k by MaxSim, ties in order of insertion."""
        rows = np.asarray(query, dtype=np.float64)
        scores = [(key, float((rows @ vectors.T).max(axis=1).sum())) for key, vectors in self.vectors.items()]
        return sorted(scores, key=lambda pair: -pair[1])[:k]
