"""Groups: a query, a document that answers it, and documents that do not; as JSON lines.

``{"query": str, "documents": [str, ...], "scores": [float, ...], "id": str, "sources": [str, ...]}``, where
``documents[0]`` is the positive and the rest are negatives. Optional are ``scores``, one per document, given
by a teacher; ``id``; and ``sources``, one per negative: what it was found by.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.errors import BadRecord, EmptyCorpus, InvalidParameter
from plait.sources import read_json_lines

_KEYS = ("query", "documents", "scores", "id", "sources")


@dataclass(frozen=True, slots=True)
class Group:
    """A query and its documents, the positive first.

    Attributes:
        query: the query's text.
        documents: the positive, then the negatives; none of them empty.
        scores: what a teacher says of each document, higher is better; None without a teacher.
        id: the query's name, if it has one.
        sources: what each negative was found by ("bm25", "colbert", "bi_encoder", "random", ...).
    """

    query: str
    documents: tuple[str, ...]
    scores: tuple[float, ...] | None = None
    id: str | None = None
    sources: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check what belongs together; raises InvalidParameter."""
        _require_text(self.query, "query")
        if not self.documents:
            raise InvalidParameter("documents must hold at least the positive")
        for place, document in enumerate(self.documents):
            _require_text(document, f"documents[{place}]")
        self._check_scores()
        if self.id is not None and not isinstance(self.id, str):
            raise InvalidParameter(f"id must be a string, not {self.id!r}")
        if self.sources is not None and len(self.sources) != len(self.documents) - 1:
            raise InvalidParameter(
                f"sources must name one source per negative: there are {len(self.sources)} for "
                f"{len(self.documents) - 1}"
            )

    def _check_scores(self) -> None:
        if self.scores is None:
            return
        if len(self.scores) != len(self.documents):
            raise InvalidParameter(
                f"scores must hold one number per document: there are {len(self.scores)} for "
                f"{len(self.documents)}"
            )
        for place, score in enumerate(self.scores):
            if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
                raise InvalidParameter(f"scores[{place}] must be a finite number, not {score!r}")


def read_groups(source: str | Path) -> list[Group]:
    """Read a file of groups, plain or compressed (.gz, .bz2, .xz). A text that comes often is held once.

    Raises:
        SourceNotFound: there is no such file.
        BadRecord: a line is no group; the file, the line and the key are named.
        EmptyCorpus: there is no group in it.
    """
    texts: dict[str, str] = {}
    groups = []
    for line, values in read_json_lines(source):
        try:
            groups.append(_group(values, texts))
        except InvalidParameter as error:
            raise BadRecord(source, line, str(error)) from None
    if not groups:
        raise EmptyCorpus(f"{source} holds no group")
    return groups


def write_groups(path: str | Path, groups: Iterable[Group]) -> int:
    """Write groups as JSON lines; the file appears when it is complete. Returns how many there were."""
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    count = 0
    with unfinished.open("w", encoding="utf-8") as file:
        for group in groups:
            values = {key: getattr(group, key) for key in _KEYS if getattr(group, key) is not None}
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return count


def split_groups(
    groups: Sequence[Group], held_out: float | int, seed: int = 0
) -> tuple[list[Group], list[Group]]:
    """Part groups in those to train on and those held out, in their order.

    Groups with the same positive or the same query stay together, so that nothing held out was trained on.

    Args:
        groups: what to part.
        held_out: how many groups to hold out, or (a float below 1) which share; a little more where
            groups belong together.
        seed: chooses which.

    Raises:
        InvalidParameter: ``held_out`` leaves nothing to train on, or is not positive.
    """
    wanted = round(held_out * len(groups)) if isinstance(held_out, float) else held_out
    if not 0 < wanted < len(groups):
        raise InvalidParameter(
            f"held_out must leave some of the {len(groups)} groups on both sides, not {held_out!r}"
        )
    together = _together(groups)
    random.Random(seed).shuffle(together)
    chosen: set[int] = set()
    for members in together:
        if len(chosen) >= wanted:
            break
        chosen.update(members)
    if len(chosen) == len(groups):
        raise InvalidParameter("all groups share documents or queries with each other: none can be held out")
    train = [group for place, group in enumerate(groups) if place not in chosen]
    return train, [groups[place] for place in sorted(chosen)]


def _together(groups: Sequence[Group]) -> list[list[int]]:
    """Places of groups that share a positive or a query, directly or through others (union-find)."""
    parent = list(range(len(groups)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    seen: dict[tuple[str, str], int] = {}
    for place, group in enumerate(groups):
        for key in (("query", group.query), ("positive", group.documents[0])):
            other = root(seen.setdefault(key, place))
            mine = root(place)
            parent[max(other, mine)] = min(other, mine)
    found: dict[int, list[int]] = {}
    for place in range(len(groups)):
        found.setdefault(root(place), []).append(place)
    return list(found.values())


def _group(values: dict[str, Any], texts: dict[str, str]) -> Group:
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        raise InvalidParameter(f"unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}")
    for key in ("query", "documents"):
        if key not in values:
            raise InvalidParameter(f"the key {key!r} is missing")
    documents = _list(values, "documents", str)
    return Group(
        query=values["query"],
        documents=tuple(texts.setdefault(text, text) for text in documents),
        scores=_list(values, "scores", int | float) if values.get("scores") is not None else None,
        id=values.get("id"),
        sources=_list(values, "sources", str) if values.get("sources") is not None else None,
    )


def _list(values: dict[str, Any], key: str, kind: Any) -> tuple[Any, ...]:
    found = values[key]
    if not isinstance(found, list) or not all(isinstance(value, kind) for value in found):
        raise InvalidParameter(f"{key} must be a list of {'strings' if kind is str else 'numbers'}")
    return tuple(found)


def _require_text(text: object, what: str) -> None:
    if not isinstance(text, str):
        raise InvalidParameter(f"{what} must be a string, not {text!r}")
    if not text or text.isspace():
        raise InvalidParameter(f"{what} is empty")
