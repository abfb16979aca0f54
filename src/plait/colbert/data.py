"""``colbert.data``: passages, queries and rankings, in memory or in tab-separated files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

from plait.errors import BadRecord, InvalidParameter
from plait.importers.collection import read_collection_file
from plait.sources import read_lines

Passage: TypeAlias = "tuple[int | str, int, float]"


class Collection(Sequence[str]):
    """Passages by their number, from a list or from ``collection.tsv`` (number, text and maybe title)."""

    def __init__(self, path: str | Path | None = None, data: Sequence[str] | None = None) -> None:
        if (path is None) == (data is None):
            raise InvalidParameter("give a path or data to a Collection")
        self.path = path
        self.data = list(data) if data is not None else read_collection_file(Path(str(path)))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, pid: Any) -> Any:
        """The passage of that number."""
        return self.data[pid]

    @classmethod
    def cast(cls, given: str | Path | Sequence[str] | Collection) -> Collection:
        """A collection from its path, from a list, or itself."""
        if isinstance(given, Collection):
            return given
        return cls(path=given) if isinstance(given, str | Path) else cls(data=given)


class Queries(Mapping[Any, str]):
    """Queries by their id, from a dict, a list (numbered from 0), or a file of ``id<TAB>query`` lines."""

    def __init__(self, path: str | Path | None = None, data: Any = None) -> None:
        if (path is None) == (data is None):
            raise InvalidParameter("give a path or data to Queries")
        self.path = path
        self.data: dict[Any, str] = _read_queries(Path(str(path))) if data is None else _as_dict(data)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __getitem__(self, qid: Any) -> str:
        """The query of that id."""
        return self.data[qid]

    @classmethod
    def cast(cls, given: Any) -> Queries:
        """Queries from their path, from a dict or a list, or themselves."""
        if isinstance(given, Queries):
            return given
        return cls(path=given) if isinstance(given, str | Path) else cls(data=given)


def _as_dict(data: Any) -> dict[Any, str]:
    pairs = data.items() if isinstance(data, Mapping) else enumerate(data)
    return {qid: query["question"] if isinstance(query, Mapping) else query for qid, query in pairs}


def _read_queries(path: Path) -> dict[Any, str]:
    """By colbert-ai's rules: ids are numbers."""
    found: dict[Any, str] = {}
    for number, line in read_lines(path):
        qid, separator, query = line.partition("\t")
        if not separator:
            raise BadRecord(path, number, "must be an id, a tab and a query")
        found[number_if_it_is(qid.strip())] = query.split("\t")[0].strip()
    return found


class Ranking:
    """What ``search_all`` finds: for each query its passages, as (passage_id, rank, score), best first.

    Attributes:
        data: query id -> passages.
        flat_ranking: the same as one list of (query id, passage_id, rank, score).
    """

    def __init__(
        self,
        path: str | Path | None = None,
        data: Mapping[Any, Iterable[Passage]] | None = None,
    ) -> None:
        if (path is None) == (data is None):
            raise InvalidParameter("give a path or data to a Ranking")
        rows = _read_ranking(Path(str(path))) if data is None else data
        self.data = {qid: [(pid, rank, score) for pid, rank, score in found] for qid, found in rows.items()}
        self.flat_ranking = [(qid, *passage) for qid, found in self.data.items() for passage in found]

    def todict(self) -> dict[Any, list[Passage]]:
        """Query id -> passages."""
        return dict(self.data)

    def tolist(self) -> list[tuple[Any, int | str, int, float]]:
        """One list of (query id, passage_id, rank, score)."""
        return list(self.flat_ranking)

    def items(self) -> Any:
        """Pairs of a query id and its passages."""
        return self.data.items()

    def save(self, new_path: str | Path) -> str:
        """Write ``qid<TAB>pid<TAB>rank<TAB>score`` lines, and return the path: that given."""
        path = Path(new_path)
        if path.suffix != ".tsv":
            raise InvalidParameter(f"the name of a ranking's file must end in .tsv, not {path.name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["\t".join(map(str, row)) + "\n" for row in self.flat_ranking]
        path.write_text("".join(lines), encoding="utf-8")
        return str(path)

    @classmethod
    def cast(cls, given: Any) -> Self | Ranking:
        """A ranking from its path, from a dict, or itself."""
        if isinstance(given, Ranking):
            return given
        return cls(path=given) if isinstance(given, str | Path) else cls(data=given)


def _read_ranking(path: Path) -> dict[Any, list[Passage]]:
    found: dict[Any, list[Passage]] = {}
    for number, line in read_lines(path):
        parts = line.split("\t")
        try:
            qid, pid, rank, score = parts
            row = (number_if_it_is(pid), int(rank), float(score))
        except ValueError:
            raise BadRecord(path, number, "must be qid, pid, rank and score with tabs between them") from None
        found.setdefault(number_if_it_is(qid), []).append(row)
    return found


def number_if_it_is(key: str) -> int | str:
    """A number where the key is one, as colbert-ai calls passages and queries."""
    return int(key) if key.isdecimal() and str(int(key)) == key else key
