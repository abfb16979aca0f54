"""The methods that are compared: pipelines, of which exact MaxSim may be a stage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from plait.errors import InvalidParameter
from plait.pipeline.grammar import parse

EXACT = "exact"
#: Name of a method -> its pipeline.
METHODS = {
    "BM25": "bm25:100",
    "bi-encoder": "bi:100",
    "exact MaxSim": "exact:100",
    "ColBERT": "colbert:100",
    "BM25 + bi-encoder": "bm25:1000 + bi:1000",
    "BM25 + ColBERT": "bm25:100 + colbert:100",
    "bi-encoder > ColBERT": "bi:1000 > colbert:100",
    "BM25 > ColBERT": "bm25:1000 > colbert:100",
    "BM25 + bi-encoder > ColBERT": "bm25:1000 + bi:1000 > colbert:100",
}
#: Those with a cross-encoder, which are added when there is one.
CROSS_ENCODER_METHODS = {
    "BM25 > cross-encoder": "bm25:100 > cross:100",
    "ColBERT > cross-encoder": "colbert:100 > cross:100",
    "BM25 + bi-encoder > ColBERT > cross": "bm25:1000 + bi:1000 > colbert:100 > cross:100",
}
#: Words of a pipeline's string -> what of an index its stage reads.
_STAGES = {
    "bm25": "bm25",
    "bi": "bi_encoder",
    "bi_encoder": "bi_encoder",
    "colbert": "colbert",
    "cross": "cross_encoder",
    "cross_encoder": "cross_encoder",
    EXACT: EXACT,
}


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        name: in tables.
        pipeline: its string form (``plait.Pipeline.from_string``), in which "exact" finds by exact MaxSim.
    """

    name: str
    pipeline: str

    @property
    def needs(self) -> frozenset[str]:
        """What it reads: "bm25", "bi_encoder", "colbert", "cross_encoder", "exact"."""
        words = re.findall(r"[a-z_]\w*", self.pipeline.lower())
        return frozenset(_STAGES[word] for word in words if word in _STAGES)

    def require_readable(self) -> None:
        """Raise InvalidParameter if the pipeline's string has not the form of one."""
        parse(self.pipeline, _AnyStage())


class _AnyStage:
    """Stands in for stages while the form of a string is checked: there is no index yet."""

    def retriever(self, name: str) -> Any:
        return self._known(name)

    def reranker(self, name: str) -> Any:
        return self._known(name)

    def _known(self, name: str) -> Any:
        if name not in _STAGES:
            raise InvalidParameter(f"there is no stage {name!r}; there are {', '.join(_STAGES)}")
        return SimpleNamespace(name=name)


def chosen_methods(names: Iterable[str] | None, cross_encoder: bool) -> list[Method]:
    """The methods of these names.

    Args:
        names: names of ``METHODS`` and ``CROSS_ENCODER_METHODS``; their pipelines, with or without numbers
            of hits; or other pipelines. None for all.
        cross_encoder: whether there is a cross-encoder.

    Raises:
        InvalidParameter: a name is given twice, or a cross-encoder is needed.
    """
    known = METHODS | CROSS_ENCODER_METHODS
    if names is None:
        return [Method(*pair) for pair in (known if cross_encoder else METHODS).items()]
    by_folded = {folded(name): name for name in known}
    for usual, pipeline in known.items():
        by_folded[folded(pipeline)] = by_folded[re.sub(r":\d+", "", folded(pipeline))] = usual
    found: list[Method] = []
    for given in names:
        name = by_folded.get(folded(given))
        method = Method(given.strip(), given.strip()) if name is None else Method(name, known[name])
        if method in found:
            raise InvalidParameter(f"the method {given!r} is named twice")
        if "cross_encoder" in method.needs and not cross_encoder:
            raise InvalidParameter(f"the method {given!r} needs a cross-encoder: say where one is")
        found.append(method)
    if not found:
        raise InvalidParameter(f"name at least one method, such as {', '.join(METHODS)}")
    return found


def folded(name: str) -> str:
    """A name without capitals and spaces, by which it is found."""
    return "".join(name.lower().split())
