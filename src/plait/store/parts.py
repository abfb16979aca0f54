"""Optional parts of segments: what an index keeps of its documents besides their token vectors.

A part is there in every segment of an index, or in none: a setting of the catalog, of the part's name, says
so. Its arrays lie in the segment's folder, named ``PART_...``; they are mapped, checked, verified, copied and
backed up with all others, so a part itself only says how they are made, merged and read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from plait.errors import IndexCorrupt, InvalidInput
from plait.store.bi_encoder import BiEncoderPart
from plait.store.bm25 import BM25Part
from plait.types import Document, TokenEmbeddings

if TYPE_CHECKING:
    from plait.store.opening import Segment

Array = npt.NDArray[Any]
Docs = npt.NDArray[np.uint32]
#: Texts -> their token vectors, and the single ones that some parts are made of.
Encode = Callable[[list[str]], TokenEmbeddings]
#: The token vectors of some documents, made when they are asked for: not every part needs them.
Embeddings = Callable[[], TokenEmbeddings]


class PartWriter(Protocol):
    """Writes one part of a new segment. Documents come in the order of the segment."""

    def add(self, documents: Sequence[Document], embeddings: Embeddings) -> None:
        """New documents, or some whose part can't be copied."""

    def copy(self, segment: Segment, docs: Docs) -> None:
        """Documents u32, ascending, of a segment that holds the part."""

    def finish(self) -> dict[str, int]:
        """Write what is left; returns the checksum of each array."""

    def abandon(self) -> None:
        """Let go of unfinished files; does nothing after ``finish``."""


class Part(Protocol):
    """One kind of part, with the settings of an index."""

    @property
    def name(self) -> str:
        """Of the setting; the arrays' names begin with it and "_"."""

    @property
    def read_whole(self) -> tuple[str, ...]:
        """Names of arrays that opening reads from end to end, so that their checksums cost little."""

    def writer(self, folder: Path) -> PartWriter:
        """Begin the part of a new segment, whose folder is there."""

    def open(self, folder: Path, ndocs: int) -> dict[str, Array]:
        """Map the arrays of a segment; each file's header is checked, and that they fit together.

        Raises:
            IndexCorrupt: a file is missing or does not fit.
        """

    def problems(self, segment: Segment) -> Iterator[tuple[str, str]]:
        """Names of arrays, and what is wrong with them though their checksums are right."""


#: By the name of the setting.
KINDS: dict[str, Callable[[Any], Part]] = {
    "bm25": BM25Part.from_json,
    "bi_encoder": BiEncoderPart.from_json,
}


def part_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say which parts there are, and how they are made."""
    return {name: settings.get(name) for name in KINDS}


def parts_of(settings: Mapping[str, Any], catalog: Path) -> list[Part]:
    """The parts that each segment of an index has.

    Raises:
        IndexCorrupt: the setting of one is not what it must be.
    """
    parts = []
    for name, kind in KINDS.items():
        if settings.get(name) is None:
            continue
        try:
            parts.append(kind(settings[name]))
        except InvalidInput as error:
            raise IndexCorrupt(catalog, f"the setting {name}: {error}") from error
    return parts
