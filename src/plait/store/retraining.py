"""Retraining: a new codec for the whole index, from vectors made anew of the texts.

Codes can't be turned back into the vectors that they were made of, and compressing them a second time loses a
second time. So the texts are encoded again: all documents get what a fresh build would give them.
docs/decisions/0017-drift.md says when that is worth its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait.store.choice import MAX_TRAINING_TOKENS, Choice, CodecChoice
from plait.store.parts import Encode
from plait.store.reader import Snapshot
from plait.store.writer import IndexWriter
from plait.types import Document, TokenEmbeddings

#: Texts encoded at a time.
TEXTS_PER_CHUNK = 1024

Pids = npt.NDArray[np.int64]


def retrain(writer: IndexWriter, encode: Encode) -> int:
    """Encode all documents again, train a codec for all of them, and write them as one segment.

    Inside a write transaction. Ids, order, texts and metadata stay; deleted documents and older codecs go.

    Args:
        writer: the transaction.
        encode: makes the token vectors of texts; every document has one.

    Returns:
        How many documents there are.
    """
    pids, tokens = _live(writer.snapshot)
    if len(pids):
        work = _Retraining(writer, encode, pids, tokens)
        work.write(*work.train())
    return len(pids)


def _live(snapshot: Snapshot) -> tuple[Pids, npt.NDArray[np.int64]]:
    """The live documents, ascending, and how many tokens each has."""
    pids, tokens = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for segment in snapshot.segments:
        alive = slice(None) if segment.alive is None else segment.alive != 0
        pids.append(segment.pids[alive])
        tokens.append(np.diff(segment.offsets)[alive])
    found = np.concatenate(pids)
    order = np.argsort(found)
    return found[order], np.concatenate(tokens)[order]


@dataclass(slots=True, eq=False)
class _Retraining:
    """One of them.

    Attributes:
        writer, encode: as for ``retrain``.
        pids: i64 ``[ndocs]`` of the live documents, ascending.
        tokens: i64 ``[ndocs]``, how many each has.
    """

    writer: IndexWriter
    encode: Encode
    pids: Pids
    tokens: npt.NDArray[np.int64]

    def train(self) -> tuple[Choice, list[TokenEmbeddings] | None]:
        """The new codec, and the vectors of all documents, if so few that they were all trained on."""
        total = int(self.tokens.sum())
        if total <= MAX_TRAINING_TOKENS:
            held = [self._vectors(documents) for documents in self._documents(self.pids)]
            sample = [chunk.vectors for chunk in held]
        else:
            held = None
            order = np.random.default_rng(0).permutation(len(self.pids))
            few = order[: int(np.searchsorted(np.cumsum(self.tokens[order]), MAX_TRAINING_TOKENS))]
            chosen = self.pids[np.sort(few)]
            sample = [self._vectors(documents).vectors for documents in self._documents(chosen)]
        return CodecChoice(self.writer, [], None, total).anew(np.concatenate(sample)), held

    def write(self, choice: Choice, held: list[TokenEmbeddings] | None) -> None:
        """All documents as one segment of that codec, in place of all others."""
        writer, catalog = self.writer, self.writer.catalog
        number, codec = choice
        for old in writer.snapshot.segment_rows:
            catalog.remove_segment(old.segment)
        catalog.forget_tombstones(writer.snapshot.tombstones.tolist())
        with writer.new_segment(number, codec) as segment:
            for place, documents in enumerate(self._documents(self.pids)):
                vectors = held[place] if held else self._vectors(documents)
                segment.add(vectors, documents, writer.options.threads)
                if writer.options.progress:
                    writer.options.progress("compress", segment.ndocs, len(self.pids))
            writer.finish(segment, self.pids)
        for row in catalog.codecs():
            if row.codec != number:
                catalog.remove_codec(row.codec)
        writer.replaced_segments = True
        writer.changed()

    def _documents(self, pids: Pids) -> Iterator[list[Document]]:
        for begin in range(0, len(pids), TEXTS_PER_CHUNK):
            some = pids[begin : begin + TEXTS_PER_CHUNK].tolist()
            found = self.writer.catalog.documents(some)
            yield [found[pid] for pid in some]

    def _vectors(self, documents: list[Document]) -> TokenEmbeddings:
        return self.encode([document.text or "" for document in documents])
