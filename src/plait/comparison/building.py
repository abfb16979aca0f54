"""Make what the methods search: one index for all of them, and the original vectors for exact MaxSim."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plait.comparison.encoding import WatchedEncoder, clocks
from plait.comparison.judged import JudgedCollection
from plait.comparison.work import Work
from plait.index import Index
from plait.ingest import CHARACTERS_PER_TOKEN, surveyed
from plait.streaming import batches
from plait.types import Progress, TokenEmbeddings

#: Vectors of a corpus are held for exact MaxSim up to so many bytes, unless it is asked for.
MOST_EXACT_BYTES = 1 << 30
#: Texts encoded at a time; documents whose index is a commit.
ENCODED, COMMITTED = 1024, 10_000


@dataclass
class Built:
    """What methods search in, and what it took.

    Attributes:
        index: with BM25 and a bi-encoder.
        documents: the original vectors, if they were wanted.
        seconds: of the wall clock and of CPU, for "bm25" (an index of the words alone), "encode" and "index"
            (everything but encoding); None where a build was cut off.
        bytes: what each part takes on the disk: "bm25", "bi_encoder", "colbert", "exact", "texts".
    """

    index: Index
    documents: TokenEmbeddings | None
    seconds: dict[str, list[float] | None] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)


def exact_bytes(collection: JudgedCollection, encoder: WatchedEncoder) -> int:
    """About how many bytes the original vectors of a corpus take."""
    return collection.characters // CHARACTERS_PER_TOKEN * encoder.dim * 4


def build_words(collection: JudgedCollection, work: Work) -> Built:
    """An index for methods that read words alone: nothing is encoded."""
    if not work.fact("words"):
        if work.words.exists():  # of a build that was cut off
            shutil.rmtree(work.words)
        work.record(bm25_seconds=_index_words(collection, work.words), words=True)
    index = Index.open(work.words)
    return Built(index, None, {"bm25": work.fact("bm25_seconds")}, _bytes(index, None))


def build(
    collection: JudgedCollection,
    encoder: WatchedEncoder,
    work: Work,
    *,
    level: str | None,
    exact: bool,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Built:
    """Make the index, or open the one that is in the work folder.

    The documents are encoded once: held in memory if their original vectors are wanted, and else encoded and
    compressed batch by batch. A build that was cut off goes on with the batches that are missing.
    """
    documents = work.vectors() if exact else None
    if exact and documents is None:
        documents = _encoded(collection, encoder, work, threads, progress)
    if not work.fact("built"):
        if documents is None:
            _build_stream(collection, encoder, work, level, threads, progress)
        else:
            _build_held(collection, encoder, work, documents, level, threads, progress)
    if work.fact("bm25_seconds") is None:
        with tempfile.TemporaryDirectory(dir=work.folder) as beside:
            work.record(bm25_seconds=_index_words(collection, Path(beside) / "index"))
    index = Index.open(work.index, model=encoder)
    seconds = {name: work.fact(f"{name}_seconds") for name in ("bm25", "encode", "index")}
    return Built(index, documents, seconds, _bytes(index, documents))


def _encoded(
    collection: JudgedCollection,
    encoder: WatchedEncoder,
    work: Work,
    threads: int | None,
    progress: Progress | None,
) -> TokenEmbeddings:
    before = encoder.document_time.copy()
    texts = [document.text or "" for document in collection.documents()]
    parts = []
    for start in range(0, len(texts), ENCODED):

        def report(done: int, _: int, start: int = start) -> None:
            if progress:
                progress("encode", start + done, len(texts))

        some = texts[start : start + ENCODED]
        parts.append(encoder.encode_documents(some, threads=threads, progress=report))
    pooled = [part.pooled for part in parts if part.pooled is not None]
    documents = TokenEmbeddings(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.doclens for part in parts]),
        np.concatenate(pooled) if len(pooled) == len(parts) else None,
    )
    work.keep_vectors(documents, (encoder.document_time - before).tolist())
    return documents


def _build_held(
    collection: JudgedCollection,
    encoder: WatchedEncoder,
    work: Work,
    documents: TokenEmbeddings,
    level: str | None,
    threads: int | None,
    progress: Progress | None,
) -> None:
    if work.index.exists():  # of a build that was cut off: one commit, so nothing is lost
        shutil.rmtree(work.index)
    given = list(collection.documents())
    began = clocks()
    with Index.create(work.index, encoder, level=level, bm25=True, bi_encoder=True) as index:
        index.add(
            [document.text or "" for document in given],
            vectors=documents,
            ids=[document.id for document in given],
            threads=threads,
            progress=progress,
        )
    work.record(built=True, index_seconds=(clocks() - began).tolist())


def _build_stream(
    collection: JudgedCollection,
    encoder: WatchedEncoder,
    work: Work,
    level: str | None,
    threads: int | None,
    progress: Progress | None,
) -> None:
    cut_off = work.index.exists()
    before, began = encoder.document_time.copy(), clocks()
    with (
        Index.open(work.index, model=encoder)
        if cut_off
        else Index.create(work.index, encoder, level=level, bm25=True, bi_encoder=True)
    ) as index:
        if collection.ndocs > COMMITTED:
            _, sample = surveyed(collection.documents())
            index.train(sample, expected=collection.ndocs, threads=threads, progress=progress)
        index.add(
            ({"id": document.id, "text": document.text} for document in collection.documents()),
            batch_size=COMMITTED,
            skip_existing=True,
            expected=collection.ndocs,
            threads=threads,
            progress=progress,
        )
    encode = encoder.document_time - before
    spent = clocks() - began
    work.record(
        built=True,
        encode_seconds=None if cut_off else encode.tolist(),
        index_seconds=None if cut_off else (spent - encode).tolist(),
    )


def _index_words(collection: JudgedCollection, path: Path) -> list[float]:
    """Make an index of texts and their words, whose vectors are nothing; wall and CPU seconds."""
    began = clocks()
    with Index.create(path, dim=1, bm25=True) as index:
        for some in batches(collection.documents(), COMMITTED):
            nothing = TokenEmbeddings(np.ones((len(some), 1), np.float32), np.ones(len(some), np.int64))
            index.add(
                [document.text or "" for document in some],
                vectors=nothing,
                ids=[document.id for document in some],
            )
    found: list[float] = (clocks() - began).tolist()
    return found


def _bytes(index: Index, documents: TokenEmbeddings | None) -> dict[str, int]:
    figures = index.stats()
    parts = {"bm25": figures.bytes_bm25 or 0, "bi_encoder": figures.bytes_bi_encoder or 0}
    exact = {} if documents is None else {"exact": documents.vectors.nbytes + documents.doclens.nbytes}
    return {**parts, "colbert": figures.bytes_vectors, "texts": figures.bytes_catalog, **exact}
