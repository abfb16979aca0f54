"""The negatives of one positive: where they are drawn from, and which are taken."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from plait.errors import InvalidParameter
from plait.index import Index
from plait.train.false_negatives import Candidate, Margin, Suspicion
from plait.train.groups import Group
from plait.train.retrieval import RANKINGS, scores_of
from plait.train.teachers import Teacher
from plait.types import Document, Hit

RANDOM = "random"
#: Tries for each random negative, so that a tiny corpus ends.
TRIES = 20


@dataclass(frozen=True, slots=True)
class Source:
    """Where negatives come from.

    Attributes:
        name: "colbert", "bm25", "bi_encoder", or "random".
        negatives: how many for each positive.
        ranks: the window (first, last), counted from 1, that they are drawn from.
    """

    name: str
    negatives: int = 4
    ranks: tuple[int, int] = (10, 100)

    def __post_init__(self) -> None:
        """Raise InvalidParameter for what can't be meant."""
        if self.name != RANDOM and self.name not in RANKINGS:
            known = ", ".join([*RANKINGS, RANDOM])
            raise InvalidParameter(f"a source of negatives must be one of {known}, not {self.name!r}")
        if self.negatives < 1:
            raise InvalidParameter(f"{self.name}: negatives must be at least 1, not {self.negatives}")
        first, last = self.ranks
        if not 1 <= first <= last:
            raise InvalidParameter(f"{self.name}: ranks must be first-last from 1 on, not {first}-{last}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME``, ``NAME:NEGATIVES`` or ``NAME:NEGATIVES:FIRST-LAST``, such as ``bm25:4:10-100``."""
        name, *numbers = text.split(":")
        try:
            values: dict[str, Any] = {}
            if numbers:
                values["negatives"] = int(numbers[0])
            if len(numbers) > 1:
                first, last = numbers[1].split("-")
                values["ranks"] = (int(first), int(last))
            if len(numbers) > 2:
                raise ValueError
        except ValueError:
            raise InvalidParameter(
                f"a source is NAME, NAME:NEGATIVES or NAME:NEGATIVES:FIRST-LAST, not {text!r}"
            ) from None
        return cls(name, **values)


#: The defaults of mining.
SOURCES = (Source("colbert", 4), Source("bm25", 3), Source(RANDOM, 1))


@dataclass(frozen=True, slots=True)
class Mining:
    """How negatives are chosen.

    Attributes:
        sources: where from, in order; what an earlier one gave is not taken again.
        margin: what may be an answer by its score.
        near_duplicate: share of common words (Jaccard) from which a document counts as the positive itself.
        pick: "random" in the window, or "top": its best.
        fill: where a window yields too few, random documents take the empty places, so that all groups have
            the same number.
        positives: groups per query at most, one for each positive; None for all.
        seed: of every choice.
    """

    sources: Sequence[Source] = SOURCES
    margin: Margin = field(default_factory=Margin)
    near_duplicate: float = 0.9
    pick: str = "random"
    fill: bool = True
    positives: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise InvalidParameter for what can't be meant."""
        if not self.sources:
            raise InvalidParameter("give at least one source of negatives")
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise InvalidParameter(f"each source of negatives can be given once, not {', '.join(names)}")
        if self.pick not in ("random", "top"):
            raise InvalidParameter(f'pick must be "random" or "top", not {self.pick!r}')
        if not 0 < self.near_duplicate <= 1:
            raise InvalidParameter(f"near_duplicate must be above 0, up to 1, not {self.near_duplicate}")
        if self.positives is not None and self.positives < 1:
            raise InvalidParameter(f"positives must be at least 1, not {self.positives}")


@dataclass(frozen=True, slots=True)
class Corpus:
    """What negatives are taken from.

    Attributes:
        index: of the corpus.
        ids: of all its documents.
        judge: whose scores decide about margins; None for each retriever's own.
    """

    index: Index
    ids: Sequence[str]
    judge: Teacher | None


class Choice:
    """The negatives of one positive of one query."""

    def __init__(
        self,
        corpus: Corpus,
        mining: Mining,
        key: str,
        query: str,
        positive: Document,
        suspicion: Suspicion,
        counts: Counter[str],
    ) -> None:
        self.corpus = corpus
        self.mining = mining
        self.key = key
        self.query = query
        self.positive = positive
        self.suspicion = suspicion
        self.counts = counts
        self.rng = random.Random(f"{self.mining.seed} {key} {positive.id}")
        self.negatives: dict[str, tuple[str, str]] = {}  # id -> (text, source)

    def group(self, rankings: Mapping[str, list[Hit]]) -> Group:
        """Fill the group from the sources in turn."""
        for source in self.mining.sources:
            if source.name == RANDOM:
                self._take(self._random(source.negatives), source.negatives, RANDOM, None)
                continue
            first, last = source.ranks
            window = rankings[source.name][first - 1 : last]
            if self.mining.pick == "random":
                self.rng.shuffle(window)
            candidates = (Candidate(hit.id, hit.text or "", float(hit.score)) for hit in window)
            self._take(candidates, source.negatives, source.name, self._limit(source.name))
        wanted = sum(source.negatives for source in self.mining.sources)
        if self.mining.fill:
            missing = wanted - len(self.negatives)
            self._take(self._random(missing), missing, "fill", None)
        self.counts["short"] += len(self.negatives) < wanted
        texts = [text for text, _ in self.negatives.values()]
        sources = [RANDOM if source == "fill" else source for _, source in self.negatives.values()]
        return Group(self.query, (self.positive.text or "", *texts), None, self.key, tuple(sources))

    def _take(
        self,
        candidates: Iterator[Candidate],
        wanted: int,
        source: str,
        limit: Callable[[Candidate], bool] | None,
    ) -> None:
        """Take candidates until there are enough."""
        taken = 0
        while taken < wanted and (candidate := next(candidates, None)):
            if candidate.id in self.negatives:
                continue
            self.counts["looked at"] += 1
            reason = self.suspicion.reason(candidate)
            if reason is None and limit and limit(candidate):
                reason = "score too close to the positive's"
            if reason:
                self.counts[f"dropped {reason}"] += 1
                continue
            self.negatives[candidate.id] = (candidate.text, source)
            self.counts[f"from {source}"] += 1
            taken += 1

    def _limit(self, source: str) -> Callable[[Candidate], bool] | None:
        """Whether a candidate scores too close to the positive, by the judge or by the source itself."""
        margin = self.mining.margin
        if not margin.is_set:
            return None
        judge = self.corpus.judge
        if judge is None:
            own = scores_of(self.corpus.index, source, self.query, [self.positive.id])[self.positive.id]
            return lambda candidate: margin.is_too_close(candidate.score, own)
        of_positive = float(judge.score_pairs([(self.query, self.positive.text or "")])[0])
        return lambda candidate: margin.is_too_close(
            float(judge.score_pairs([(self.query, candidate.text)])[0]), of_positive
        )

    def _random(self, wanted: int) -> Iterator[Candidate]:
        for _ in range(wanted * TRIES):
            key = self.rng.choice(self.corpus.ids)
            document = None if key in self.negatives else self.corpus.index.get(key)
            if document is not None and document.text:
                yield Candidate(document.id, document.text, 0.0)
