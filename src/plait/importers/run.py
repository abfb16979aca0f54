"""Taking an index over: the tool's codes become a segment, its documents rows of the catalog."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from plait.codec import ResidualTokens
from plait.encoder import Encoder
from plait.errors import (
    DimensionMismatch,
    DuplicateId,
    EmptyCorpus,
    ForeignIndexError,
    ForeignIndexWarning,
    IndexAlreadyExists,
)
from plait.importers.collection import checked_texts, read_collection
from plait.importers.foreign import Array, Chunk, Doclens, ForeignIndex
from plait.importers.tools import open_foreign
from plait.index import Index
from plait.inputs import as_id, as_metadata
from plait.search import SCAN_TOKENS
from plait.store import WriteOptions, writing
from plait.types import Document, Progress

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


def import_index(
    source: str | Path,
    destination: str | Path,
    *,
    model: str | Path | Encoder | None = None,
    texts: str | Path | Sequence[str] | None = None,
    id_field: str | None = None,
    text_field: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Index:
    """Make an index from one of colbert-ai, RAGatouille, PyLate, fast-plaid or next-plaid.

    Codes and residuals are taken over as they are, so scores are those of the tool's own rescoring. Nothing
    in the source is run, and neither torch nor the tool is needed (docs/importing.md).

    Args:
        source: the folder of the tool's index; it is only read.
        destination: a folder that does not exist yet, or is empty.
        model: the checkpoint that the vectors came from, to ask and add with texts; it is remembered.
            Without one the index takes vectors only.
        texts: of the documents, where the source has none: colbert-ai's ``collection.tsv``, a JSON file with
            a list of strings, or a list, in the order of the source.
        id_field, text_field: the keys in the tool's metadata that hold ids and texts (fast-plaid,
            next-plaid).
        threads: None for all cores.
        progress: called with "import", how many documents are done, and how many there are.

    Returns:
        The new index, open.

    Raises:
        SourceNotFound: there is no such source.
        ForeignIndexError: it is not an index of a known tool, or a file in it is missing, damaged or does not
            fit the others; the file is named.
        DimensionMismatch: ``model`` gives vectors of another width.
        IndexAlreadyExists: something is at ``destination``.
        DuplicateId, EmptyCorpus, InvalidParameter.

    After an error there is nothing at ``destination``.
    """
    folder, path = Path(source), Path(destination)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise IndexAlreadyExists(f"{path} exists already; choose another folder")
    foreign = open_foreign(folder)
    documents, keep = _documents(folder, foreign, texts, id_field, text_field)
    there = path.exists()
    try:
        return _make(path, foreign, documents, keep, model, WriteOptions(threads, progress))
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        if there:
            path.mkdir()
        raise


def _make(
    path: Path,
    foreign: ForeignIndex,
    documents: list[Document],
    keep: Mask,
    model: str | Path | Encoder | None,
    options: WriteOptions,
) -> Index:
    codec = foreign.codec
    index = Index.create(
        path,
        model,
        dim=None if model is not None else codec.dim,
        nbits=codec.nbits,
        bm25=any(document.text for document in documents),
        bi_encoder=False,
    )
    try:
        if index.stats().dim != codec.dim:
            raise DimensionMismatch(expected=codec.dim, given=index.stats().dim, what=f"the model {model}")
        kept = int(foreign.doclens[keep].sum())
        with writing(path, options) as writer:
            chunks = _adopted(foreign, keep, options.threads)
            writer.adopt(codec, kept, chunks, documents, stage="import", expected=len(documents))
            origin = {"tool": foreign.tool, "checkpoint": foreign.checkpoint}
            writer.catalog.set_setting("imported", origin)
        index.refresh()
        if kept > SCAN_TOKENS:
            index.calibrate(threads=options.threads)
    except BaseException:
        index.close()
        raise
    return index


def _adopted(
    foreign: ForeignIndex, keep: Mask, threads: int | None
) -> Iterator[tuple[ResidualTokens, Doclens]]:
    done = 0
    for chunk in foreign.chunks():
        kept = _kept(chunk, keep[done : done + len(chunk.doclens)])
        done += len(chunk.doclens)
        yield foreign.codec.adopt(kept.codes, kept.residuals, threads), kept.doclens


def _kept(chunk: Chunk, keep: Mask) -> Chunk:
    if keep.all():
        return chunk
    rows: Array = np.repeat(keep, chunk.doclens)
    return Chunk(chunk.codes[rows], chunk.residuals[rows], chunk.doclens[keep])


def _documents(
    folder: Path,
    foreign: ForeignIndex,
    texts: str | Path | Sequence[str] | None,
    id_field: str | None,
    text_field: str | None,
) -> tuple[list[Document], Mask]:
    """Keys, texts and metadata of the documents that are taken over, and which those are."""
    documents = list(foreign.documents)
    if texts is not None:
        read = (
            read_collection(Path(texts), len(documents))
            if isinstance(texts, str | Path)
            else checked_texts(texts, len(documents), folder)
        )
        documents = [one and replace(one, text=text) for one, text in zip(documents, read, strict=True)]
    keep = np.array([one is not None for one in documents], dtype=bool) & (foreign.doclens > 0)
    if not keep.any():
        raise EmptyCorpus(f"{folder}: the index holds no documents")
    notes = list(foreign.notes)
    empty = sum(one is not None for one in documents) - int(keep.sum())
    if empty:
        notes.append(f"{empty} documents without tokens (removed by the tool, or empty): left out")
    for note in notes:
        warnings.warn(f"{folder}: {note}", ForeignIndexWarning, stacklevel=3)
    found = [one for one, kept in zip(documents, keep, strict=True) if kept and one is not None]
    return _checked(folder, [_with_fields(folder, one, id_field, text_field) for one in found]), keep


def _with_fields(folder: Path, document: Document, id_field: str | None, text_field: str | None) -> Document:
    """The document with its id or text from its metadata, which then holds them no more."""
    metadata = dict(document.metadata)
    taken = {}
    for name, field in (("id", id_field), ("text", text_field)):
        if field is None:
            continue
        if metadata.get(field) is None:
            raise ForeignIndexError(folder, f"the document {document.id!r} has no {field!r} in its metadata")
        taken[name] = str(metadata.pop(field))
    return replace(document, metadata=metadata, **taken)


def _checked(folder: Path, documents: list[Document]) -> list[Document]:
    """Documents that the catalog can hold, each under its own id."""
    seen = set()
    for place, document in enumerate(documents):
        as_id(document.id, place)
        as_metadata(document.metadata, place)
        if document.id in seen:
            raise DuplicateId(f"{folder}: the id {document.id!r} is there twice")
        seen.add(document.id)
    return documents
