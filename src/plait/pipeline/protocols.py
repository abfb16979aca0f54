"""What a pipeline asks of its stages. Anything with these methods can be one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from plait.types import Hit


class Retriever(Protocol):
    """Finds documents."""

    @property
    def name(self) -> str:
        """What it is called in ``Hit.scores``, ``Hits.timings`` and in the pipeline's string form."""
        ...

    def search(
        self,
        query: str,
        k: int,
        *,
        filter: Mapping[str, Any] | None = None,
        ids: Iterable[str] | None = None,
    ) -> Sequence[Hit]:
        """The best ``k`` documents, best first, of those that match the filter and are among the ids."""
        ...


class Reranker(Protocol):
    """Puts hits of any origin in a better order.

    One that has an attribute ``reads_texts`` of False may be given hits of the index without their texts.
    """

    @property
    def name(self) -> str:
        """As a retriever's."""
        ...

    @property
    def batch_size(self) -> int | None:
        """How many hits to rerank at most between two looks at the clock, if there is a time budget.

        None if the score of a hit depends on the others: then they are reranked together, and the stage
        can't be stopped.
        """
        ...

    def rerank(self, query: str, hits: Sequence[Hit], k: int) -> Sequence[Hit]:
        """The best ``k`` of the hits by this one's own scores, best first, ties in the order given."""
        ...
