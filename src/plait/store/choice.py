"""Which codec new documents get: the newest that fits them, none yet, or one that is trained now.

docs/decisions/0007-small-and-growing-indexes.md and 0017-drift.md say why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plait.codec import MAX_CENTROIDS, Codec, ResidualCodec, ScaledCodec
from plait.store.rows import CodecRow
from plait.types import FloatArray, TokenEmbeddings

if TYPE_CHECKING:
    from plait.store.writer import IndexWriter

#: Below this many tokens an index keeps the original f32 vectors and scores them exactly: a codec
#: trained on so few would serve badly when the index grows. So do documents that no codec fits.
MIN_CODEC_TOKENS = 32_768
#: Documents that no codec fits are kept exact until they have so many times as many.
APART_FACTOR = 2
#: When the segments of the newest codec hold so many times the tokens it was trained for, new segments get a
#: new codec.
RETRAIN_FACTOR = 8
#: Vectors held in memory to train a codec on, at most.
MAX_TRAINING_TOKENS = 2_097_152
#: Vectors that were stored before, in what a codec is trained on: one for so many tokens of the index.
TOKENS_PER_SAMPLE = 3
#: New vectors fit no codec if the best one's centroids leave more of them than this times what centroids
#: leave of the vectors they were trained on (decision 0017).
MOST_MISFIT = 1.75
#: A newer codec is taken if it leaves at most this times what the best one leaves.
ABOUT_AS_GOOD = 1.1
#: Vectors that are looked at for that.
MISFIT_SAMPLE = 8192
#: Documents that fit no codec get a new one until there are so many; each is one more for searches to meet.
MAX_CODECS = 8

Choice = tuple[int, Codec | None]


@dataclass(frozen=True, slots=True)
class CodecChoice:
    """The choice for one new segment, inside a write transaction.

    Attributes:
        writer: the transaction.
        held: the first embeddings of the new documents.
        sample: gives vectors of all of them to train on; by default those held are used.
        estimate: how many tokens there will be.
    """

    writer: IndexWriter
    held: list[TokenEmbeddings]
    sample: Callable[[], FloatArray] | None
    estimate: int

    def codec(self) -> Choice:
        """Its number, and the codec, None for exact vectors; one that is trained now replaces those."""
        rows, stored = self._trained(), self._tokens_by_codec()
        if self.wanted():
            return self._train(sum(stored.values()) + self.estimate)
        if not rows:
            return self._exact()
        misfit, number = self._best_fit(rows)
        if misfit <= MOST_MISFIT or len(rows) >= MAX_CODECS:
            return number, self.writer.snapshot.codec(number)
        kinds = {row.codec: row.kind for row in self.writer.catalog.codecs()}
        apart = sum(tokens for codec, tokens in stored.items() if kinds.get(codec) == "float32")
        if apart + self.estimate < APART_FACTOR * MIN_CODEC_TOKENS:
            return self._exact()
        return self._train(2 * (apart + self.estimate), alone=True)

    def wanted(self) -> bool:
        """Whether the size of the index asks for a new codec."""
        rows, stored = self._trained(), self._tokens_by_codec()
        if sum(stored.values()) + self.estimate < MIN_CODEC_TOKENS:
            return False
        return not rows or _outgrown(rows[-1], stored.get(rows[-1].codec, 0) + self.estimate)

    def _trained(self) -> list[CodecRow]:
        return [row for row in self.writer.catalog.codecs() if row.kind != "float32"]

    def _tokens_by_codec(self) -> dict[int, int]:
        stored: dict[int, int] = {}
        for row in self.writer.catalog.segments():
            stored[row.codec] = stored.get(row.codec, 0) + row.ntokens
        return stored

    def _exact(self) -> Choice:
        for row in self.writer.catalog.codecs():
            if row.kind == "float32":
                return row.codec, None
        return self.writer.catalog.add_codec("float32", None, None, 0), None

    def _best_fit(self, rows: list[CodecRow]) -> tuple[float, int]:
        """How badly the centroids of the codec that explains the new vectors best do, and its number.

        The former is 1 if as well as any codec of the index explains what it was trained on. One alone is no
        measure: a codec of many centroids knows its own vectors so well that all others seem strange.
        """
        vectors = np.concatenate([chunk.vectors for chunk in self.held])
        vectors = np.ascontiguousarray(vectors[:: max(1, len(vectors) // MISFIT_SAMPLE)])
        found, known = [], 0.0
        for row in reversed(rows):
            codec = self.writer.snapshot.codec(row.codec)
            assert codec is not None
            found.append((codec.unexplained(vectors, self.writer.options.threads), row.codec))
            known = max(known, codec.unexplained_known)
        left, number = next(pair for pair in found if pair[0] <= ABOUT_AS_GOOD * min(found)[0])
        return (left / known if known > 0 else 0.0), number

    def anew(self, vectors: FloatArray) -> Choice:
        """What documents get that are all that will be in the index, trained on vectors f32 ``[n, dim]``."""
        if self.estimate < MIN_CODEC_TOKENS:
            return self._exact()
        codec = self._fit(vectors, self.estimate)
        return self.writer.list_codec(codec, self.estimate), codec

    # Training --------------------------------------------------------------------------------

    def _train(self, ntokens: int, *, alone: bool = False) -> Choice:
        """A codec for so many tokens: the new ones and those that have none; trained on others too or not."""
        new = self.sample() if self.sample else _joined([chunk.vectors for chunk in self.held])
        apart = self._stored(MAX_TRAINING_TOKENS, exact=True)
        fresh = _joined([apart, new])
        most = max(len(fresh), min(MAX_TRAINING_TOKENS, ntokens // TOKENS_PER_SAMPLE))
        older = self._stored(0 if alone else most, exact=False)
        codec = self._fit(_joined([older, fresh]), ntokens)
        number = self.writer.list_codec(codec, ntokens)
        self._compress_exact_segments(number, codec)
        return number, codec

    def _fit(self, vectors: FloatArray, ntokens: int) -> Codec:
        settings, options = self.writer.snapshot.settings, self.writer.options
        progress = options.progress
        how = {
            "ntokens": ntokens,
            "seed": settings["seed"],
            "threads": options.threads,
            "progress": (lambda done, all_: progress("train", done, all_)) if progress else None,
        }
        if settings.get("level"):
            return ScaledCodec.fit(vectors, level=settings["level"], **how)
        return ResidualCodec.fit(vectors, nbits=settings["nbits"], **how)

    def _stored(self, most: int, *, exact: bool) -> FloatArray:
        """About ``most`` vectors of random documents of the exact segments, or of the compressed ones."""
        snapshot = self.writer.snapshot
        rng = np.random.default_rng(snapshot.settings["seed"])
        found = [np.empty((0, snapshot.dim), dtype=np.float32)]
        segments = [segment for segment in snapshot.segments if (segment.codec is None) == exact]
        share = min(1.0, most / max(1, sum(int(segment.offsets[-1]) for segment in segments)))
        for segment in segments:
            count = int(np.ceil(share * segment.ndocs))
            docs = np.sort(rng.choice(segment.ndocs, size=count, replace=False)).astype(np.uint32)
            found.append(segment.vectors(docs)[0])
        return np.concatenate(found)

    def _compress_exact_segments(self, number: int, codec: Codec) -> None:
        """Rewrite the segments that hold f32 vectors, now that there is a codec for them."""
        writer = self.writer
        for row, segment in zip(writer.snapshot.segment_rows, writer.snapshot.segments, strict=True):
            if segment.codec is not None:
                continue
            alive = np.arange(segment.ndocs) if segment.alive is None else np.flatnonzero(segment.alive)
            writer.catalog.remove_segment(row.segment)
            writer.replaced_segments = True
            writer.catalog.forget_tombstones(np.delete(segment.pids, alive).tolist())
            if len(alive):
                with writer.new_segment(number, codec) as rewritten:
                    rewritten.compress(segment, alive.astype(np.uint32), writer.options.threads)
                    writer.finish(rewritten, np.array(segment.pids[alive]))


def _joined(parts: list[FloatArray]) -> FloatArray:
    """All rows; not copied if one part has them all, which may be a gigabyte."""
    filled = [part for part in parts if len(part)] or parts[:1]
    return filled[0] if len(filled) == 1 else np.concatenate(filled)


def _outgrown(codec: CodecRow, tokens: int) -> bool:
    """Whether so many tokens deserve more centroids than a codec has."""
    if codec.kind == "scaled" and codec.ncentroids == MAX_CENTROIDS:
        return False
    return tokens >= RETRAIN_FACTOR * codec.trained_for
