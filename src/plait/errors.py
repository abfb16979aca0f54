"""Every error plait raises on purpose.

PlaitError
├── InvalidInput (also a ValueError)
│   ├── InvalidParameter         k <= 0, unknown nbits, ids and texts of different lengths ...
│   ├── InvalidFilter            names the place in the filter
│   ├── InvalidVectors           not a ragged set of matrices
│   │   ├── DimensionMismatch    the vectors have another width than the index
│   │   └── NonFiniteVectors     NaN or infinity
│   ├── EmptyText                a text without any character to encode
│   ├── EmptyCorpus              nothing to add
│   ├── DuplicateId              the id is in the index already, or twice in one call
│   └── UnknownId                there is no document of that id to change
├── SourceError                  a corpus, query or judgement file can't be used
│   ├── SourceNotFound           (also a FileNotFoundError)
│   ├── BadRecord                one record is broken: names the file and the line
│   └── ForeignIndexError        an index of another tool can't be read: names the file
├── CheckpointError              an encoder folder is incomplete, or its settings contradict
├── TensorFileError              a file of tensors is damaged, or holds what is not read: names the file
├── StoreError
│   ├── IndexNotFound            there is no plait index at that path (also a FileNotFoundError)
│   ├── IndexAlreadyExists       (also a FileExistsError)
│   ├── IndexTooNew              written by a later plait
│   ├── IndexCorrupt             names the file and what is wrong with it
│   ├── IndexLocked              another writer holds the index
│   ├── IndexClosed              used after close()
│   ├── EncoderMismatch          the encoder is not the one the index was made with
│   ├── NoEncoder                text was given to an index that has no encoder
│   └── PartMissing              the index was made without what this search needs
└── MissingExtra                 an optional package is not installed: names the pip command

CheckpointWarning (a UserWarning) tells what was assumed about a checkpoint, or is done otherwise here.
ForeignIndexWarning (a UserWarning) tells what of another tool's index was not taken over.
"""

from __future__ import annotations

from pathlib import Path


class PlaitError(Exception):
    """The root: catch this to catch everything that plait raises on purpose."""


class InvalidInput(PlaitError, ValueError):
    """The caller's value can't be used; nothing was changed."""


class InvalidParameter(InvalidInput):
    """An argument is out of its range."""


class InvalidFilter(InvalidInput):
    """A metadata filter is malformed, or asks for what the documents can't have."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} {reason}")
        self.where = where
        self.reason = reason


class InvalidVectors(InvalidInput):
    """The vectors are not a ragged set of ``[ntokens, dim]`` matrices."""


class DimensionMismatch(InvalidVectors):
    """The vectors have another width than is expected here."""

    def __init__(self, expected: int, given: int, what: str = "the vectors") -> None:
        super().__init__(f"{what} must have {expected} components each, but has {given}")
        self.expected = expected
        self.given = given


class NonFiniteVectors(InvalidVectors):
    """A vector holds NaN or infinity."""


class EmptyText(InvalidInput):
    """A text is empty or only white space."""


class EmptyCorpus(InvalidInput):
    """There is no document in what was given."""


class DuplicateId(InvalidInput):
    """An id is in the index already, or stands twice in one call."""


class UnknownId(InvalidInput):
    """There is no document of that id in the index."""


class SourceError(PlaitError):
    """A file of documents, queries or judgements can't be used."""


class SourceNotFound(SourceError, FileNotFoundError):
    """The file or folder is not there."""


class BadRecord(SourceError):
    """One record of a source is broken."""

    def __init__(self, path: str | Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = str(path)
        self.line = line
        self.reason = reason


class ForeignIndexError(SourceError):
    """An index of another tool is damaged, mixed with another, or not known."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class CheckpointError(PlaitError):
    """An encoder can't be loaded from this folder."""


class ForeignIndexWarning(UserWarning):
    """What of an index of another tool was not taken over."""


class CheckpointWarning(UserWarning):
    """Something about a checkpoint was assumed, or is done otherwise than by the tool that wrote it."""


class TensorFileError(PlaitError):
    """A file of tensors is damaged, or holds something that is not read."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class StoreError(PlaitError):
    """Something is wrong with an index as a whole."""


class IndexNotFound(StoreError, FileNotFoundError):
    """There is no plait index at this path."""


class IndexAlreadyExists(StoreError, FileExistsError):
    """A plait index, or something else, is at this path already."""


class IndexTooNew(StoreError):
    """The index was written by a later version of plait."""


class IndexCorrupt(StoreError):
    """A file of the index is damaged, or does not fit the others."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


class IndexLocked(StoreError):
    """Another process is writing to the index."""


class IndexClosed(StoreError):
    """The index was closed."""


class EncoderMismatch(StoreError):
    """The encoder's vectors do not belong with those in the index."""


class NoEncoder(StoreError):
    """The index was made for vectors, and was given text."""


class PartMissing(StoreError):
    """The index was made without what is asked for, such as BM25: says how to get it."""


class MissingExtra(PlaitError, ImportError):
    """A package that plait does not install by default is needed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is needed for this: pip install 'plait[{extra}]'")
        self.extra = extra
