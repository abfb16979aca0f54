"""Teachers: models that say how well a document answers a query, for students to learn from.

A teacher is named ``KIND`` or ``KIND:PATH``:

=============  =======================================================================================
cross_encoder  a cross-encoder, by ``plait.CrossEncoder`` (logits), or by torch where that can't run it
bi_encoder     a single-vector model: the cosine of the two vectors. A checkpoint of sentence-transformers
               needs torch; one of plait gives its pooled vectors without
colbert        MaxSim by a checkpoint that plait loads; the built-in model without a path
bm25           BM25 by an index that holds the documents
=============  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from plait.encoder import CheckpointEncoder, CrossEncoder, Encoder, load_encoder
from plait.errors import CheckpointError, InvalidParameter
from plait.exact import maxsim
from plait.index import Index
from plait.train.hashing import hash_files, hash_of
from plait.train.retrieval import require_retriever, scores_of
from plait.types import FloatArray, TokenEmbeddings

#: Encoded texts that a teacher remembers; when there are so many it begins anew.
REMEMBERED = 8192

Pair: TypeAlias = tuple[str, str]
"""query and document"""


class Teacher(Protocol):
    """What scoring asks of a teacher."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal for two teachers only if they give the same scores."""
        ...

    def score_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        """f32 ``[len(pairs)]``: a score of each (query, document), higher is better."""
        ...


class EncoderTeacher:
    """MaxSim, or the cosine of single vectors, by an encoder of plait's."""

    def __init__(self, encoder: Encoder, *, single: bool = False, threads: int | None = None) -> None:
        """Wrap an encoder.

        Args:
            encoder: any.
            single: compare single vectors: the encoder's pooled ones, or the mean of its token vectors.
            threads: None for all cores.
        """
        self._encoder = encoder
        self._single = single
        self._threads = threads
        self._queries: dict[str, FloatArray] = {}
        self._documents: dict[str, FloatArray] = {}

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{'bi_encoder' if self._single else 'colbert'}:{self._encoder.name}"

    @property
    def fingerprint(self) -> str:
        """Of the encoder's files, and of what is done with its vectors."""
        return hash_of("single" if self._single else "maxsim", self._encoder.fingerprint)

    def score_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        """A score of each (query, document)."""
        queries = self._vectors([query for query, _ in pairs], self._queries, self._encoder.encode_queries)
        documents = self._vectors(
            [text for _, text in pairs], self._documents, self._encoder.encode_documents
        )
        score = _dot if self._single else maxsim
        return np.array([score(queries[query], documents[text]) for query, text in pairs], dtype=np.float32)

    def _vectors(
        self, texts: Sequence[str], known: dict[str, FloatArray], encode: Callable[..., TokenEmbeddings]
    ) -> dict[str, FloatArray]:
        if len(known) > REMEMBERED:
            known.clear()
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            embeddings = encode(new, threads=self._threads)
            pooled = embeddings.pooled
            for place, text in enumerate(new):
                vectors = embeddings[place]
                known[text] = (
                    vectors if not self._single else _mean(vectors) if pooled is None else pooled[place]
                )
        return known


def _mean(vectors: FloatArray) -> FloatArray:
    mean: FloatArray = vectors.mean(axis=0)
    return mean


def _dot(left: FloatArray, right: FloatArray) -> float:
    """The cosine of two vectors."""
    length = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / max(length, 1e-12)


class OnnxCrossEncoderTeacher:
    """A cross-encoder on ONNX Runtime."""

    def __init__(self, model: CrossEncoder, threads: int | None = None) -> None:
        """Wrap a ``plait.CrossEncoder``."""
        self._model = model
        self._threads = threads

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"cross_encoder:{self._model.name}"

    @property
    def fingerprint(self) -> str:
        """Of its files."""
        return hash_of("cross-encoder logits", self._model.fingerprint)

    def score_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        """A logit of each (query, document): in it two very good texts still differ."""
        texts: dict[str, list[str]] = {}
        for query, text in pairs:
            texts.setdefault(query, []).append(text)
        found = {
            query: dict(
                zip(some, self._model.score(query, some, logits=True, threads=self._threads), strict=True)
            )
            for query, some in texts.items()
        }
        return np.array([found[query][text] for query, text in pairs], dtype=np.float32)


class TorchTeacher:
    """A model of sentence-transformers, on the GPU if there is one."""

    def __init__(self, kind: str, path: str, batch_size: int = 64) -> None:
        """Load a ``CrossEncoder`` or a ``SentenceTransformer``; MissingExtra without ``plait[train]``."""
        from plait.train.torch_teachers import load_torch_teacher

        self._kind = kind
        self._path = path
        self._score = load_torch_teacher(kind, path, batch_size)

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self._kind}:{Path(self._path).name}"

    @property
    def fingerprint(self) -> str:
        """Of its files, or of its name if it is none of a folder."""
        folder = Path(self._path)
        return hash_of("torch", self._kind, hash_files(folder) if folder.is_dir() else self._path)

    def score_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        """A score of each (query, document)."""
        return self._score(pairs)


class IndexTeacher:
    """A retriever of an index that holds the documents: nothing is encoded but the queries."""

    def __init__(self, index: Index, retriever: str = "bm25") -> None:
        """Read where each text stands.

        Args:
            index: with texts.
            retriever: "bm25", "colbert" or "bi_encoder".
        """
        require_retriever(index, retriever)
        self.name = retriever
        self._index = index
        self._ids: dict[str, str] = {}
        for document in index.documents():
            self._ids.setdefault(document.text or "", document.id)
        encoder = None if retriever == "bm25" else index.encoder
        known = [] if encoder is None else [encoder.fingerprint]
        self.fingerprint = hash_of(retriever, list(self._ids.items()), *known)

    def score_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        """A score of each (query, document); of BM25 0 where they share no word."""
        asked: dict[str, list[str]] = {}
        for query, text in pairs:
            if text not in self._ids:
                raise InvalidParameter(
                    f"{self._index.path} does not hold the document {text[:60]!r}: its {self.name} scores "
                    f"only documents of its own"
                )
            asked.setdefault(query, []).append(self._ids[text])
        found = {query: scores_of(self._index, self.name, query, ids) for query, ids in asked.items()}
        return np.array([found[query][self._ids[text]] for query, text in pairs], dtype=np.float32)


def load_teacher(text: str, threads: int | None = None) -> Teacher:
    """Load what is named ``KIND`` or ``KIND:PATH``.

    Raises:
        InvalidParameter: it is no such name.
        SourceNotFound, CheckpointError: there is nothing there, or it can't be loaded.
        MissingExtra: torch is needed.
    """
    kind, _, path = text.partition(":")
    if kind not in _KINDS:
        raise InvalidParameter(f"a teacher is KIND:PATH with one of {', '.join(_KINDS)}, not {text!r}")
    if not path and kind in ("cross_encoder", "bm25"):
        raise InvalidParameter(f"the teacher {kind} needs a path: {kind}:PATH")
    return _KINDS[kind](path, threads)


def _load_colbert(path: str, threads: int | None) -> Teacher:
    return EncoderTeacher(load_encoder(path or None), threads=threads)


def _load_bm25(path: str, threads: int | None) -> Teacher:
    return IndexTeacher(Index.open(path))


def _load_cross_encoder(path: str, threads: int | None) -> Teacher:
    try:
        return OnnxCrossEncoderTeacher(CrossEncoder(path), threads)
    except CheckpointError as error:
        try:
            return TorchTeacher("cross_encoder", path)
        except ImportError:
            raise error from None  # torch might run it, but what is wrong stands in the first error


def _load_bi_encoder(path: str, threads: int | None) -> Teacher:
    if path and Path(path, "modules.json").is_file():  # sentence-transformers' own mark
        return TorchTeacher("bi_encoder", path)
    encoder: CheckpointEncoder = load_encoder(path or None)
    return EncoderTeacher(encoder, single=True, threads=threads)


_KINDS: dict[str, Callable[[str, int | None], Teacher]] = {
    "cross_encoder": _load_cross_encoder,
    "bi_encoder": _load_bi_encoder,
    "colbert": _load_colbert,
    "bm25": _load_bm25,
}
