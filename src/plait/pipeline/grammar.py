"""The string form of a pipeline: ``bm25:1000 + bi:1000 > colbert:100 > cross:10``.

::

    pipeline  = source {"+" source} {">" reranker} ["within" NUMBER "ms"]
    source    = retriever ":" HITS [weight] [budget]
              | method "(" source {"," source} ")" [":" HITS] [weight] [budget]
    reranker  = NAME ":" HITS [weight] [budget]
    weight    = "*" NUMBER
    budget    = "@" NUMBER "ms"

Lists joined by ``+`` are fused by reciprocal ranks. Methods are ``rrf``, ``minmax`` and ``z``.
A reranker's weight is its share of the order, at most 1; the rest is that of the stage before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Never, Protocol, TypeVar

from plait.errors import InvalidParameter
from plait.pipeline.fusion import METHODS
from plait.pipeline.protocols import Reranker, Retriever
from plait.pipeline.stages import Fuse, Rerank, Retrieve, Source

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[^\W\d][\w-]*)|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<sign>[:*@+>(),]))"
)
Component = TypeVar("Component")
#: No pipeline is nested deeper, and no hostile string exhausts the stack.
DEEPEST = 20
#: Digits of a number of hits.
LONGEST_NUMBER = 9


class Names(Protocol):
    """What the names in a string stand for."""

    def retriever(self, name: str) -> Retriever:
        """The retriever of that name; InvalidParameter lists those that there are."""
        ...

    def reranker(self, name: str) -> Reranker:
        """Likewise."""
        ...


@dataclass(frozen=True)
class Token:
    """A word, a number or a sign, and its column, from 1."""

    kind: str
    text: str
    column: int


def parse(text: str, names: Names) -> tuple[Source, list[Rerank], float | None]:
    """The stages of a string, and its budget in milliseconds.

    Raises:
        InvalidParameter: it is not of the form above; the column is told.
    """
    return _Parser(text, names).pipeline()


class _Parser:
    def __init__(self, text: str, names: Names) -> None:
        self._text = text
        self._names = names
        self._tokens = list(self._read())
        self._place = 0

    def _read(self) -> list[Token]:
        tokens = []
        at = 0
        end = len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None:
                column = at + len(self._text[at:]) - len(self._text[at:].lstrip()) + 1
                self._fail(column, f"{self._text[column - 1]!r} has no meaning here")
            kind = str(match.lastgroup)
            tokens.append(Token(kind, match[kind], match.start(kind) + 1))
            at = match.end()
        tokens.append(Token("end", "the end", end + 1))
        return tokens

    def pipeline(self) -> tuple[Source, list[Rerank], float | None]:
        sources = [self._source(0)]
        while self._take("+"):
            sources.append(self._source(0))
        rerankers = []
        while self._take(">"):
            rerankers.append(self._reranker())
        budget = self._milliseconds() if self._take("within") else None
        if self._next.kind != "end":
            self._expected("> and a reranker, + and another list, or the end")
        return sources[0] if len(sources) == 1 else Fuse(tuple(sources)), rerankers, budget

    def _source(self, depth: int) -> Source:
        name = self._name("a retriever, such as bm25:1000")
        if name.text not in METHODS:
            retriever = self._known(name, self._names.retriever)
            return Retrieve(retriever, self._hits(name.text), self._weight(), self._budget())
        if depth == DEEPEST:
            self._fail(name.column, "too many parentheses")
        self._require("(")
        lists = [self._source(depth + 1)]
        while self._take(","):
            lists.append(self._source(depth + 1))
        self._require(")")
        k = self._hits(name.text) if self._next.text == ":" else None
        return Fuse(tuple(lists), name.text, k, self._weight(), self._budget())

    def _reranker(self) -> Rerank:
        name = self._name("a reranker, such as colbert:100")
        reranker, k = self._known(name, self._names.reranker), self._hits(name.text)
        column = self._next.column
        weight = self._weight()
        if not 0 < weight <= 1:
            self._fail(column, f"the weight of a reranker is its share, above 0 and up to 1, not {weight:g}")
        return Rerank(reranker, k, self._budget(), weight)

    def _known(self, name: Token, find: Callable[[str], Component]) -> Component:
        try:
            return find(name.text)
        except InvalidParameter as error:
            self._fail(name.column, str(error))

    def _hits(self, name: str) -> int:
        self._require(":", f": and how many hits to pass on, such as {name}:100")
        token = self._next
        if not token.text.isdigit() or len(token.text) > LONGEST_NUMBER or int(token.text) < 1:
            self._expected(f"how many hits {name} passes on, a whole number of at least 1")
        self._place += 1
        return int(token.text)

    def _weight(self) -> float:
        return self._number("a weight") if self._take("*") else 1.0

    def _budget(self) -> float | None:
        return self._milliseconds() if self._take("@") else None

    def _milliseconds(self) -> float:
        column = self._next.column
        value = self._number("a time, such as 50ms")
        if not value:
            self._fail(column, "a budget must be longer than 0ms")
        self._require("ms", "ms after a time")
        return value

    def _number(self, what: str) -> float:
        if self._next.kind != "number" or not math.isfinite(float(self._next.text)):
            self._expected(what)
        self._place += 1
        return float(self._tokens[self._place - 1].text)

    def _name(self, what: str) -> Token:
        if self._next.kind != "name":
            self._expected(what)
        self._place += 1
        return self._tokens[self._place - 1]

    def _require(self, text: str, what: str | None = None) -> None:
        if not self._take(text):
            self._expected(what or text)

    def _take(self, text: str) -> bool:
        found = self._next.text == text and self._next.kind != "end"
        self._place += found
        return found

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _expected(self, what: str) -> Never:
        token = self._next
        found = token.text if token.kind == "end" else repr(token.text)
        self._fail(token.column, f"expected is {what}, not {found}")

    def _fail(self, column: int, reason: str) -> Never:
        raise InvalidParameter(f"pipeline {self._text!r}, column {column}: {reason}")
