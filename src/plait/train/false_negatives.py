"""Candidates that may well be answers: which are dropped, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plait.errors import InvalidParameter
from plait.train.judged import normalised

#: A query of fewer words stands in many documents that do not answer it.
FEWEST_WORDS = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that may become a negative."""

    id: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Margin:
    """How far below the positive's score a negative's must be.

    Attributes:
        absolute: the score must be at most the positive's minus this.
        relative: the score must be at most this share of the positive's, such as 0.95 (Moreira et al. 2024,
            NV-Retriever, section 4: "TopK-PercPos"); meant for scores that are not negative.
    """

    absolute: float | None = None
    relative: float | None = None

    def __post_init__(self) -> None:
        """Raise InvalidParameter for what can't be meant."""
        if self.absolute is not None and self.absolute < 0:
            raise InvalidParameter(f"the margin must not be negative, but is {self.absolute}")
        if self.relative is not None and not 0 < self.relative <= 1:
            raise InvalidParameter(f"the share of the positive's score must be up to 1, not {self.relative}")

    @property
    def is_set(self) -> bool:
        """Whether scores matter at all."""
        return self.absolute is not None or self.relative is not None

    def is_too_close(self, score: float, positive: float) -> bool:
        """Whether a candidate's score makes it a likely answer."""
        if self.absolute is not None and score > positive - self.absolute:
            return True
        # abs: of a negative score the share would lie above it
        return self.relative is not None and score > positive - (1 - self.relative) * abs(positive)


class Suspicion:
    """What of a document's text says that it answers the query, or is the positive once more."""

    def __init__(
        self, query: str, ids: Sequence[str], positives: Sequence[str], near_duplicate: float
    ) -> None:
        """Prepare to look at candidates.

        Args:
            query: its text.
            ids: all its positives.
            positives: their texts.
            near_duplicate: share of common words from which two texts are the same.
        """
        self._ids = set(ids)
        self._near_duplicate = near_duplicate
        self._query = f" {normalised(query)} "
        self._positives = [set(normalised(text).split()) for text in positives]

    def reason(self, candidate: Candidate) -> str | None:
        """Why the candidate is left out; None if it is not."""
        if candidate.id in self._ids:
            return "positive of the query"
        text = normalised(candidate.text)
        if not text:
            return "empty"
        words = set(text.split())
        if any(_jaccard(words, positive) >= self._near_duplicate for positive in self._positives):
            return "duplicate of a positive"
        if len(self._query.split()) >= FEWEST_WORDS and self._query in f" {text} ":
            return "contains the query"
        return None


def _jaccard(left: set[str], right: set[str]) -> float:
    either = len(left | right)
    return len(left & right) / either if either else 1.0
