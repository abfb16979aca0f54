"""The way back: an index in colbert-ai's layout, which colbert-ai, RAGatouille and plait open."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec import ResidualCodec, require_nbits
from plait.errors import EmptyCorpus, IndexAlreadyExists, InvalidParameter
from plait.importers import ragatouille
from plait.importers.foreign import Chunk, Doclens
from plait.importers.torch_writer import write_torch_file
from plait.store import Segment, Snapshot, open_snapshot
from plait.types import Document, FloatArray, Progress, offsets_of

#: Passages in a chunk, as in colbert-ai.
CHUNK = 25_000
DEFAULT_NBITS = 4
#: Vectors that a codec is trained on, at most.
MAX_TRAINING_TOKENS = 1_048_576


def export_colbert(
    source: str | Path,
    destination: str | Path,
    *,
    nbits: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write an index in colbert-ai's layout, with ids, texts and metadata in RAGatouille's files.

    The codes of an index with ColBERTv2's residual codec are written as they are. Those of any other are made
    anew from the vectors as they are stored, which loses as much as that codec does.

    Args:
        source: the folder of an index.
        destination: a folder that does not exist yet; it appears when it is complete.
        nbits: 1, 2, 4 or 8; by default those of the index, or 4 if its codes are made anew.
        threads: None for all cores.
        progress: called with "export", how many documents are done, and how many there are.

    Returns:
        How many documents were written; passages are numbered from 0 in order of insertion.

    Raises:
        IndexAlreadyExists: something is at ``destination``.
        InvalidParameter: the vectors' width is not a multiple of ``8 * nbits``, as colbert-ai needs it.
        EmptyCorpus, IndexNotFound, IndexCorrupt.
    """
    path = Path(destination)
    if path.exists():
        raise IndexAlreadyExists(f"{path} exists already; choose another folder")
    snapshot = open_snapshot(Path(source))
    beside = path.with_name(path.name + ".new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        written = _write(snapshot, beside, nbits, threads, progress)
        beside.rename(path)
    finally:
        snapshot.close()
        shutil.rmtree(beside, ignore_errors=True)
    return written


def _write(
    snapshot: Snapshot, folder: Path, nbits: int | None, threads: int | None, progress: Progress | None
) -> int:
    if not snapshot.ndocs:
        raise EmptyCorpus(f"{snapshot.folder} holds no documents")
    codec, kept = _codec(snapshot, nbits, threads)
    if snapshot.dim % (8 * codec.nbits):
        raise InvalidParameter(
            f"colbert-ai needs vectors of a multiple of {8 * codec.nbits} components for "
            f"nbits={codec.nbits}, but these have {snapshot.dim}"
        )
    lists = _Lists()
    texts = _Texts(folder)
    chunks = 0
    for pids, chunk in _chunks(snapshot, codec, kept, threads):
        _write_chunk(folder, chunks, chunk, lists)
        documents = snapshot.documents(pids.tolist())
        texts.add([documents[pid] for pid in pids.tolist()])
        lists.add(chunk)
        chunks += 1
        if progress:
            progress("export", lists.ndocs, snapshot.ndocs)
    _write_codec(folder, codec)
    lengths, docs = kernels.invert(
        np.concatenate(lists.codes), offsets_of(lists.doclens), codec.ncentroids, 4
    )
    write_torch_file(folder / "ivf.pid.pt", (docs.astype("<i4"), lengths.astype("<i8")))
    has_texts = texts.finish()
    _write_facts(folder, snapshot, codec, chunks, lists, has_texts)
    return lists.ndocs


class _Lists:
    """Codes and lengths of all documents: what the inverted lists are made of."""

    def __init__(self) -> None:
        self.codes: list[npt.NDArray[np.uint32]] = []
        self.doclens = np.empty(0, dtype=np.int64)
        self.ntokens = 0

    @property
    def ndocs(self) -> int:
        return len(self.doclens)

    def add(self, chunk: Chunk) -> None:
        self.codes.append(chunk.codes)
        self.doclens = np.concatenate([self.doclens, chunk.doclens])
        self.ntokens += len(chunk.codes)


def _codec(snapshot: Snapshot, nbits: int | None, threads: int | None) -> tuple[ResidualCodec, bool]:
    """The codec of the new index, and whether codes are kept as they are."""
    first = snapshot.segments[0].codec
    same = all(segment.codec is first for segment in snapshot.segments)
    if same and isinstance(first, ResidualCodec) and nbits in (None, first.nbits):
        return first, True
    nbits = DEFAULT_NBITS if nbits is None else nbits
    require_nbits(nbits)
    tokens = sum(int(segment.offsets[-1]) for segment in snapshot.segments)
    sample = _sample(snapshot, min(1.0, MAX_TRAINING_TOKENS / max(1, tokens)))
    return ResidualCodec.fit(sample, nbits=nbits, ntokens=tokens, threads=threads), False


def _sample(snapshot: Snapshot, share: float) -> FloatArray:
    rng = np.random.default_rng(0)
    found = []
    for segment in snapshot.segments:
        docs = _live(segment)
        chosen = np.sort(rng.choice(docs, size=int(np.ceil(share * len(docs))), replace=False))
        found.append(segment.vectors(chosen)[0])
    return np.concatenate(found)


def _live(segment: Segment) -> npt.NDArray[np.uint32]:
    everything = np.arange(segment.ndocs, dtype=np.uint32)
    return everything if segment.alive is None else everything[segment.alive != 0]


def _chunks(
    snapshot: Snapshot, codec: ResidualCodec, kept: bool, threads: int | None
) -> Iterator[tuple[npt.NDArray[np.int64], Chunk]]:
    """Live documents in the order of their pids within segments, some at a time."""
    for segment in snapshot.segments:
        live = _live(segment)
        for start in range(0, len(live), CHUNK):
            docs = live[start : start + CHUNK]
            if kept:
                yield segment.pids[docs], _taken(segment, docs)
                continue
            vectors, offsets = segment.vectors(docs)
            tokens = codec.compress(vectors, threads)
            yield segment.pids[docs], Chunk(tokens.codes, tokens.residuals, np.diff(offsets))


def _taken(segment: Segment, docs: npt.NDArray[np.uint32]) -> Chunk:
    doclens: Doclens = np.diff(segment.offsets)[docs]
    starts = segment.offsets[docs] - offsets_of(doclens)[:-1]
    rows = np.arange(doclens.sum()) + np.repeat(starts, doclens)
    return Chunk(segment.arrays["codes"][rows], segment.arrays["residuals"][rows], doclens)


def _write_chunk(folder: Path, number: int, chunk: Chunk, before: _Lists) -> None:
    write_torch_file(folder / f"{number}.codes.pt", chunk.codes.astype("<i4"))
    write_torch_file(folder / f"{number}.residuals.pt", chunk.residuals)
    _write_json(folder / f"doclens.{number}.json", chunk.doclens.tolist())
    facts = {
        "passage_offset": before.ndocs,
        "num_passages": len(chunk.doclens),
        "num_embeddings": len(chunk.codes),
        "embedding_offset": before.ntokens,
    }
    _write_json(folder / f"{number}.metadata.json", facts)


def _write_codec(folder: Path, codec: ResidualCodec) -> None:
    write_torch_file(folder / "centroids.pt", codec.centroids.astype("<f2"))
    write_torch_file(folder / "buckets.pt", (codec.cutoffs.astype("<f4"), codec.weights.astype("<f4")))
    average = np.array([np.abs(codec.weights).mean()], dtype="<f4")  # colbert-ai loads it, and never uses it
    write_torch_file(folder / "avg_residual.pt", average)


def _write_facts(
    folder: Path, snapshot: Snapshot, codec: ResidualCodec, chunks: int, lists: _Lists, has_texts: bool
) -> None:
    encoder = snapshot.settings.get("encoder") or {}
    imported = snapshot.settings.get("imported") or {}
    lengths = snapshot.settings.get("colbert") or {}
    config: dict[str, Any] = {
        "dim": snapshot.dim,
        "nbits": codec.nbits,
        "checkpoint": encoder.get("path") or imported.get("checkpoint"),
        "collection": "collection.tsv" if has_texts else None,
        **{name: value for name, value in lengths.items() if value is not None},
    }
    facts = {"config": config, "num_chunks": chunks, "num_partitions": codec.ncentroids}
    mean = lists.ntokens / lists.ndocs
    _write_json(folder / "plan.json", {**facts, "num_embeddings_est": lists.ntokens, "avg_doclen_est": mean})
    _write_json(folder / "metadata.json", {**facts, "num_embeddings": lists.ntokens, "avg_doclen": mean})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


class _Texts:
    """Ids, texts and metadata of the documents, in the files where the field looks for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids: list[str] = []
        self.texts: list[str | None] = []
        self.metadata: dict[str, Any] = {}

    def add(self, documents: list[Document]) -> None:
        for document in documents:
            self.ids.append(document.id)
            self.texts.append(document.text)
            if document.metadata:
                self.metadata[document.id] = document.metadata

    def finish(self) -> bool:
        """Write them; returns whether every document has a text."""
        names = {str(pid): key for pid, key in enumerate(self.ids)}
        _write_json(self.folder / ragatouille.IDS, names)
        if self.metadata:
            _write_json(self.folder / ragatouille.METADATA, self.metadata)
        if not all(text is not None for text in self.texts):
            return False
        _write_json(self.folder / ragatouille.TEXTS, self.texts)
        lines = [f"{pid}\t{' '.join(str(text).split())}\n" for pid, text in enumerate(self.texts)]
        (self.folder / "collection.tsv").write_text("".join(lines), encoding="utf-8")
        return True
