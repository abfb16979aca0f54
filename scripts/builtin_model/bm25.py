"""BM25 (Robertson and Zaragoza, 2009) over a few thousand texts: a part of the teacher."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import numpy.typing as npt

K1, B = 0.9, 0.4
_STOP_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they
this to was will with what which who how when where why do does did from has have had its can
"""
STOP = frozenset(_STOP_WORDS.split())
_ENDINGS = (("sses", "ss"), ("ies", "y"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", ""))


def words(text: str) -> list[str]:
    """Lower-case words less stop words, with common English endings cut off."""
    found = []
    for word in re.findall(r"[a-z0-9]+", text.lower()):
        if word in STOP:
            continue
        for ending, instead in _ENDINGS:
            if (
                word.endswith(ending)
                and len(word) - len(ending) >= 3
                and not word.endswith(("ss", "us", "is"))
            ):
                word = word[: -len(ending)] + instead
                break
        found.append(word.rstrip("e") if len(word) > 4 else word)
    return found


class Bm25:
    """An inverted index in memory."""

    def __init__(self, texts: list[str]) -> None:
        bags = [Counter(words(text)) for text in texts]
        self._size = len(texts)
        lengths = np.array([sum(bag.values()) for bag in bags], np.float32)
        self._norm = K1 * (1 - B + B * lengths / max(lengths.mean(), 1))
        self._postings: dict[str, tuple[list[int], list[int]]] = {}
        for row, bag in enumerate(bags):
            for word, count in bag.items():
                rows, counts = self._postings.setdefault(word, ([], []))
                rows.append(row)
                counts.append(count)

    def idf(self, word: str) -> float:
        """How rare a word is."""
        found = len(self._postings.get(word, ([], []))[0])
        return float(np.log(1 + (self._size - found + 0.5) / (found + 0.5)))

    def scores(self, query: str) -> npt.NDArray[np.float32]:
        """[texts] scores of a query."""
        total = np.zeros(self._size, np.float32)
        for word in words(query):
            if word in self._postings:
                rows, counts = (np.array(each) for each in self._postings[word])
                total[rows] += self.idf(word) * counts / (counts + self._norm[rows])
        return total
