"""BM25's part of a segment: its terms, where they occur and how often (docs/index-format.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from plait.analysis import BM25, Analyzer
from plait.errors import IndexCorrupt
from plait.store import format as layout
from plait.store import postings
from plait.store.postings import GONE, Postings, Source

if TYPE_CHECKING:
    from plait.store.opening import Segment
    from plait.store.parts import Docs, Embeddings
    from plait.types import Document

Array = npt.NDArray[Any]

#: Words held in memory while a segment is written; then they are sorted, and wait on the disk.
WORDS_PER_RUN = 1 << 23
#: Postings looked at together.
POSTINGS_PER_LOOK = 1 << 22


@dataclass(frozen=True, eq=False)
class BM25Part:
    """How an index counts words."""

    settings: BM25
    name: ClassVar[str] = "bm25"
    read_whole: ClassVar[tuple[str, ...]] = ("bm25_doclens",)

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Of the setting in the catalog.

        Raises:
            InvalidParameter: it is malformed.
        """
        return cls(BM25.from_json(value))

    @cached_property
    def analyzer(self) -> Analyzer:
        """Splits texts and queries alike."""
        return Analyzer(self.settings)

    def writer(self, folder: Path) -> BM25Writer:
        """Begin the part of a new segment."""
        return BM25Writer(folder, self.analyzer)

    def open(self, folder: Path, ndocs: int) -> dict[str, Array]:
        """Map the arrays of a segment.

        Raises:
            IndexCorrupt: a file is missing or does not fit the others.
        """
        nbytes, dtype = layout.list_form(ndocs)
        # Ends first: they say how long the others must be, before these are mapped.
        ends = layout.read_array(folder, "bm25_list_ends", "<i8", (None,))
        term_ends = layout.read_array(folder, "bm25_term_ends", "<i8", (len(ends),))
        npostings, nbytes_terms = (int(last[-1]) if len(ends) else 0 for last in (ends, term_ends))
        tfs = layout.read_array(folder, "bm25_tfs", tuple(layout.BM25_TFS), (npostings,))
        docs = layout.read_array(folder, "bm25_docs", dtype, (len(tfs), 3) if nbytes == 3 else (len(tfs),))
        slots = postings.slots(len(tfs), len(ends))
        tf_dtype = tfs.dtype.str
        return {
            "bm25_tfs": tfs,
            "bm25_docs": docs,
            "bm25_list_ends": ends,
            "bm25_doclens": layout.read_array(folder, "bm25_doclens", "<u4", (ndocs,)),
            "bm25_terms": layout.read_array(folder, "bm25_terms", "|u1", (nbytes_terms,)),
            "bm25_term_ends": term_ends,
            "bm25_block_tfs": layout.read_array(folder, "bm25_block_tfs", tf_dtype, (slots,)),
            "bm25_block_doclens": layout.read_array(folder, "bm25_block_doclens", "<u2", (slots,)),
        }

    def problems(self, segment: Segment) -> Iterator[tuple[str, str]]:
        """What is wrong with the arrays though their checksums are right."""
        arrays = segment.arrays
        for ends in ("bm25_list_ends", "bm25_term_ends"):
            if (np.diff(arrays[ends], prepend=0) <= 0).any():
                yield ends, "is not ascending"
                return
        terms = postings.terms_of(arrays["bm25_terms"], arrays["bm25_term_ends"])
        if any(first >= second for first, second in pairwise(terms)):
            yield "bm25_terms", "is not in order"
        yield from _posting_problems(segment)


def _posting_problems(segment: Segment) -> Iterator[tuple[str, str]]:
    arrays = segment.arrays
    ends, counted = arrays["bm25_list_ends"], np.zeros(segment.ndocs, dtype=np.int64)
    for terms in postings.ranges(ends, POSTINGS_PER_LOOK):
        begin, end = postings.span(ends, terms)
        docs = postings.widened(arrays["bm25_docs"][begin:end])
        if len(docs) and int(docs.max()) >= segment.ndocs:
            yield "bm25_docs", "names a document that does not exist"
            return
        rising = np.diff(docs.astype(np.int64)) > 0
        rising[ends[terms.start : terms.stop - 1] - begin - 1] = True  # where the next list begins
        if not rising.all():
            yield "bm25_docs", "a list is not ascending"
            return
        tfs = arrays["bm25_tfs"][begin:end]
        counted += np.bincount(docs, weights=tfs, minlength=segment.ndocs).astype(np.int64)
        first, stop = postings.slots(begin, terms.start), postings.slots(end, terms.stop)
        largest, smallest = postings.block_bounds(ends, terms, docs, tfs, arrays["bm25_doclens"])
        found: dict[str, Array] = {"bm25_block_tfs": largest, "bm25_block_doclens": smallest}
        for name, bounds in found.items():
            if not np.array_equal(arrays[name][first:stop], bounds):
                yield name, "does not hold the largest and the smallest of each block"
                return
        layout.let_go(*arrays.values())
    if not np.array_equal(counted, arrays["bm25_doclens"]):
        yield "bm25_doclens", "does not hold the sums of bm25_tfs"


class BM25Writer:
    """Counts the words of new documents, and takes those of copied ones over."""

    def __init__(self, folder: Path, analyzer: Analyzer) -> None:
        self._folder = folder
        self._run = _Run(analyzer)
        self._doclens: list[npt.NDArray[np.uint32]] = []
        self._ndocs = 0
        self._sources: list[Source] = []
        self._copied: dict[int, npt.NDArray[np.uint32]] = {}
        self._streams: dict[str, layout.ArrayStream] = {}

    def add(self, documents: Sequence[Document], embeddings: Embeddings) -> None:
        """New documents; one without a text has no words."""
        lengths = []
        for document in documents:
            lengths.append(self._run.add(self._ndocs, document.text or ""))
            self._ndocs += 1
            if self._run.nwords >= WORDS_PER_RUN:
                self._end_run()
        self._doclens.append(np.array(lengths, dtype=np.uint32))

    def copy(self, segment: Segment, docs: Docs) -> None:
        """Documents of a segment that has counted them."""
        numbers = self._copied.get(id(segment))
        if numbers is None:
            numbers = np.full(segment.ndocs, GONE, dtype=np.uint32)
            self._copied[id(segment)] = numbers
            self._sources.append(Source(Postings.of_segment(segment.arrays), numbers))
        numbers[docs] = np.arange(self._ndocs, self._ndocs + len(docs), dtype=np.uint32)
        self._doclens.append(np.asarray(segment.arrays["bm25_doclens"][docs]))
        self._ndocs += len(docs)

    def _end_run(self) -> None:
        if self._run.nwords:
            self._sources.append(Source(self._run.postings()))
        self._run = _Run(self._run.analyzer)

    def finish(self) -> dict[str, int]:
        """Write the arrays; returns their checksums."""
        self._end_run()
        doclens = np.concatenate([np.empty(0, dtype=np.uint32), *self._doclens])
        nbytes, dtype = layout.list_form(self._ndocs)
        largest = max((int(source.postings.tfs.max(initial=0)) for source in self._sources), default=0)
        tf_dtype = next(kind for kind, most in layout.BM25_TFS.items() if largest <= most)
        self._stream("bm25_docs", dtype, (3,) if nbytes == 3 else ())
        for name, kind in (("tfs", tf_dtype), ("block_tfs", tf_dtype), ("block_doclens", "<u2")):
            self._stream(f"bm25_{name}", kind)
        terms: list[bytes] = []
        ends = np.empty(0, dtype=np.int64)
        for merged in self._merged():
            some = slice(len(terms), len(terms) + len(merged.terms))
            terms += merged.terms
            last = int(ends[-1]) if len(ends) else 0
            ends = np.concatenate([ends, last + np.cumsum(merged.lengths)])
            bounds = postings.block_bounds(ends, some, merged.docs, merged.tfs, doclens)
            rows: list[Array] = [postings.narrowed(merged.docs, nbytes), merged.tfs, *bounds]
            for stream, values in zip(self._streams.values(), rows, strict=True):
                stream.append(values)
        checksums = {name: stream.close() for name, stream in self._streams.items()}
        arrays: dict[str, tuple[Array, str]] = {
            "bm25_doclens": (doclens, "<u4"),
            "bm25_list_ends": (ends, "<i8"),
            "bm25_terms": (np.frombuffer(b"".join(terms), dtype=np.uint8), "|u1"),
            "bm25_term_ends": (np.cumsum([len(term) for term in terms], dtype=np.int64), "<i8"),
        }
        for name, (array, kind) in arrays.items():
            checksums[name] = layout.write_array(self._folder, name, array, kind)
        return checksums

    def _merged(self) -> Iterator[postings.Merged]:
        try:
            yield from postings.merge(self._sources)
        except (ValueError, IndexError) as error:  # a forged list: checksums were compared before
            raise IndexCorrupt(self._folder.parent, f"postings of merged segments: {error}") from error

    def _stream(self, name: str, dtype: str, row_shape: tuple[int, ...] = ()) -> None:
        self._streams[name] = layout.ArrayStream(self._folder, name, dtype, row_shape)

    def abandon(self) -> None:
        """Let go of unfinished files."""
        for stream in self._streams.values():
            stream.abandon()


class _Run(dict[str, int]):
    """Words of some documents in memory: word -> number of its term, -1 for stop words."""

    def __init__(self, analyzer: Analyzer) -> None:
        super().__init__()
        self.analyzer = analyzer
        self.nwords = 0
        self._terms: dict[str, int] = {}
        self._words: list[npt.NDArray[np.int64]] = []
        self._docs: list[npt.NDArray[np.uint32]] = []

    def __missing__(self, word: str) -> int:
        term = self.analyzer.term(word)
        number = -1 if term is None else self._terms.setdefault(term, len(self._terms))
        self[word] = number
        return number

    def add(self, doc: int, text: str) -> int:
        """Count the words of a document; returns how many there are."""
        words = self.analyzer.words(text)
        numbers = np.fromiter(map(self.__getitem__, words), dtype=np.int64, count=len(words))
        numbers = numbers[numbers >= 0]
        self._words.append(numbers.astype(np.uint32))
        self._docs.append(np.full(len(numbers), doc, dtype=np.uint32))
        self.nwords += len(numbers)
        return len(numbers)

    def postings(self) -> Postings:
        """The lists."""
        terms = [term.encode() for term in self._terms]
        return Postings.of_words(np.concatenate(self._words), np.concatenate(self._docs), terms)
