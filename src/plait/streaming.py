"""Documents, or vectors, that come one after the other, in batches that are a commit each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from plait.errors import InvalidParameter, InvalidVectors
from plait.inputs import as_id, as_metadata, require_string
from plait.types import Document, Progress, TokenEmbeddings

#: Documents per commit of a stream, unless the caller says another number.
BATCH = 10_000
#: A stream of unknown length that fills a batch is taken to have so many batches.
UNKNOWN_BATCHES = 8

Entry = TypeVar("Entry")
#: What a stream of documents may consist of.
Item = str | Document | Mapping[str, Any]
#: Given ids, those that the index holds already.
Held = Callable[[Sequence[str]], set[str]]


def require_batch_size(size: int) -> int:
    """The size, if it is one."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise InvalidParameter(f"batch_size must be a whole number of at least 1, not {size!r}")
    return size


def batches(items: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Lists of ``size`` items; the source is read no further than the batch that is asked for."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def as_document(item: Item, position: int) -> Document:
    """An item of a stream as a document, with an empty id if it is to be numbered.

    Args:
        item: a text, a Document, or a dict with "text" and perhaps "id" and "metadata".
        position: in the stream, for messages.
    """
    if isinstance(item, str):
        return Document("", item)
    if isinstance(item, Document):
        return Document(
            as_id(item.id, position), _text(item.text, position), as_metadata(item.metadata, position)
        )
    if not isinstance(item, Mapping) or "text" not in item:
        raise InvalidParameter(
            f'document {position} must be a string, a plait.Document, or a dict with "text", not {item!r}'
        )
    key = "" if item.get("id") is None else as_id(item["id"], position)
    return Document(key, _text(item["text"], position), as_metadata(item.get("metadata"), position))


def numbered(documents: list[Document], first: int) -> list[Document]:
    """Documents without an id get the number they would have in the order of insertion, from ``first`` on."""
    return [
        document if document.id else Document(str(number), document.text, document.metadata)
        for number, document in enumerate(documents, start=first)
    ]


def _text(text: str | None, position: int) -> str:
    if text is None:
        raise InvalidParameter(f"document {position} has no text to encode")
    require_string(text, f"the text of document {position}")
    return text


def expected_documents(expected: int | None, done: int, batch: int, size: int) -> int:
    """Documents that there will be in this batch and after it."""
    if expected is not None and expected - done > batch:
        return expected - done
    return UNKNOWN_BATCHES * batch if expected is None and batch == size else batch


def further(progress: Progress | None, done: int, total: int | None) -> Progress | None:
    """Progress of a batch told as progress of all.

    Args:
        progress: the caller's.
        done: documents of earlier batches.
        total: documents of all batches, if that is known.
    """
    if progress is None:
        return None

    def report(stage: str, here: int, all_here: int) -> None:
        if stage in ("encode", "compress"):
            progress(stage, done + here, max(total or 0, done + all_here))
        else:
            progress(stage, here, all_here)

    return report


class VectorStream:
    """Chunks of vectors with their ids, read as they are needed, in batches.

    Args:
        chunks: checked vectors of some documents at a time.
        keys: an id for each document.
        held: finds the ids that are in the index, whose documents are left out; None leaves none out.
    """

    def __init__(
        self, chunks: Iterator[TokenEmbeddings], keys: Iterator[str], held: Held | None = None
    ) -> None:
        self._chunks = chunks
        self._keys = keys
        self._held = held
        self._next: tuple[list[str], TokenEmbeddings] | None = None
        self._waiting: deque[Document] = deque()

    def more(self) -> bool:
        """Whether there are further documents; reads one chunk ahead."""
        while self._next is None:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            keys = list(islice(self._keys, len(chunk)))
            if len(keys) < len(chunk):
                raise InvalidVectors("there are vectors for more documents than there are ids")
            keys, chunk = self._new(keys, chunk)
            if keys:
                self._next = (keys, chunk)
        return True

    def require_no_more_keys(self) -> None:
        """Raise InvalidVectors if there are ids without vectors."""
        if next(self._keys, None) is not None:
            raise InvalidVectors("there are more documents than vectors")

    def batch(self, size: int | None) -> tuple[Iterator[Document], Iterator[TokenEmbeddings]]:
        """The documents and vectors of whole chunks until there are ``size`` documents; None for all.

        The documents of a chunk can be taken once the chunk was.
        """
        return self._taken(), self._until(size)

    def _taken(self) -> Iterator[Document]:
        while self._waiting:
            yield self._waiting.popleft()

    def _until(self, size: int | None) -> Iterator[TokenEmbeddings]:
        taken = 0
        while (size is None or taken < size) and self.more() and self._next is not None:
            keys, chunk = self._next
            self._next = None
            self._waiting.extend(map(Document, keys))
            taken += len(keys)
            yield chunk

    def _new(self, keys: list[str], chunk: TokenEmbeddings) -> tuple[list[str], TokenEmbeddings]:
        held = self._held(keys) if self._held else set()
        if not held:
            return keys, chunk
        places = [place for place, key in enumerate(keys) if key not in held]
        rows = [np.arange(chunk.offsets[place], chunk.offsets[place + 1]) for place in places]
        vectors = chunk.vectors[np.concatenate([np.empty(0, dtype=np.int64), *rows])]
        pooled = None if chunk.pooled is None else chunk.pooled[places]
        return [keys[place] for place in places], TokenEmbeddings(vectors, chunk.doclens[places], pooled)
