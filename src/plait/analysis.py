"""Text -> the terms that BM25 counts: words in any script, without stop words, stemmed.

Words are what Unicode calls letters, digits and the marks on them, after NFKC and case folding. Scripts that
write no spaces between words (Chinese, Japanese, Thai ...) give overlapping pairs of characters, as is usual
where there is no dictionary. Stems are those of Snowball (Porter 1980, 2001), by PyStemmer.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Self

from plait.errors import InvalidParameter

#: Words that English sentences are held together by, and what apostrophes leave of others.
ENGLISH_STOPWORDS = frozenset(
    """a an and are as at be but by for if in into is it no not of on or s such t that the their then there
    these they this to was will with""".split()  # noqa: SIM905
)
#: Blocks of scripts that write no spaces: Thai to Lao, Myanmar, Khmer, kana, Han and its extensions.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U000323af"
)
#: Words whose terms are remembered.
REMEMBERED = 1 << 18


@dataclass(frozen=True, slots=True)
class BM25:
    """How an index counts words: ``Index.create(..., bm25=plait.BM25(language="german"))``.

    Attributes:
        language: of the stemmer, by name or ISO 639 code ("english", "de", ...); None stems nothing.
        stemming: False keeps words as they are.
        stopwords: words that are passed over: True for the language's own list, which only English has;
            False for none; or a list.
        k1: how soon more of the same word stops to count, at least 0.
        b: how much long documents are marked down, 0 to 1.

    k1 and b are those of Robertson and Zaragoza (2009).
    """

    language: str | None = "english"
    stemming: bool = True
    stopwords: bool | Sequence[str] = True
    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self) -> None:
        if not (isinstance(self.k1, int | float) and 0 <= self.k1 < 1e6):
            raise InvalidParameter(f"k1 must be a number of at least 0, not {self.k1!r}")
        if not (isinstance(self.b, int | float) and 0 <= self.b <= 1):
            raise InvalidParameter(f"b must be a number from 0 to 1, not {self.b!r}")
        if not isinstance(self.stopwords, bool) and (
            isinstance(self.stopwords, str) or not all(isinstance(word, str) for word in self.stopwords)
        ):
            raise InvalidParameter(f"stopwords must be True, False or a list, not {self.stopwords!r}")
        if self.language is not None:
            _require_language(self.language)

    @property
    def stems(self) -> bool:
        """Whether words are stemmed."""
        return self.stemming and self.language is not None

    def listed_stopwords(self) -> list[str]:
        """The words themselves."""
        if isinstance(self.stopwords, bool):
            english = self.language in ("english", "eng", "en")
            return sorted(ENGLISH_STOPWORDS) if self.stopwords and english else []
        return sorted({word for given in self.stopwords for word in _words(given)})

    def as_json(self) -> dict[str, Any]:
        """What is kept in the index: with the stop words, so that a later list changes nothing."""
        return {**dataclasses.asdict(self), "stopwords": self.listed_stopwords()}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """What ``as_json`` made.

        Raises:
            InvalidParameter: it made something else.
        """
        names = {entry.name for entry in dataclasses.fields(cls)}
        if not isinstance(value, Mapping) or set(value) != names or not isinstance(value["stemming"], bool):
            raise InvalidParameter(f"{str(value)[:80]!r} are no settings of BM25")
        if isinstance(value["k1"], bool) or isinstance(value["b"], bool):
            raise InvalidParameter("k1 and b must be numbers")
        if not isinstance(value["stopwords"], list) or not isinstance(value["language"], str | None):
            raise InvalidParameter("stopwords must be a list, and language a name")
        return cls(**{**value, "stopwords": tuple(value["stopwords"])})


class Analyzer:
    """Splits texts into terms as the settings say. Safe to use from several threads."""

    def __init__(self, settings: BM25) -> None:
        self._settings = settings
        self._stopwords = frozenset(settings.listed_stopwords())
        self._known: dict[str, str | None] = {}
        self._lock = threading.Lock()  # a stemmer belongs to one thread at a time

    @cached_property
    def _stemmer(self) -> Any:
        import Stemmer

        return Stemmer.Stemmer(self._settings.language)

    def words(self, text: str) -> list[str]:
        """The words of a text, with stop words, in order."""
        return _words(text)

    def term(self, word: str) -> str | None:
        """What is counted for a word: its stem; None for a stop word. Each word is stemmed once."""
        try:
            return self._known[word]
        except KeyError:
            pass
        with self._lock:
            if len(self._known) >= REMEMBERED:
                self._known = {}
            stem = None if word in self._stopwords else word
            if stem and self._settings.stems:
                stem = self._stemmer.stemWord(word) or word
            self._known[word] = stem
            return stem

    def terms(self, text: str) -> list[str]:
        """The terms of a text in order, repeated ones as often as they are there."""
        return [term for word in self.words(text) if (term := self.term(word)) is not None]


def _require_language(language: Any) -> None:
    import Stemmer

    try:
        Stemmer.Stemmer(language)
    except (KeyError, TypeError) as error:
        known = ", ".join(Stemmer.algorithms())
        raise InvalidParameter(
            f"there is no stemmer for the language {language!r}; there is for {known}"
        ) from error


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ascii_words().findall(text.lower())
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    found: list[str] = []
    for word, unspaced in _all_words().findall(text):
        if word:
            found.append(word)
        elif len(unspaced) == 1:
            found.append(unspaced)
        else:
            found.extend(unspaced[place : place + 2] for place in range(len(unspaced) - 1))
    return found


@cache
def _ascii_words() -> re.Pattern[str]:
    return re.compile(r"[a-z0-9]+")


@cache
def _all_words() -> re.Pattern[str]:
    r"""Words in scripts with spaces, or runs of characters in scripts without.

    ``\w`` knows no marks, which stand for vowels in many scripts: they are collected here, once.
    """
    marks = _marks()
    return re.compile(rf"((?:(?![{UNSPACED}_])[\w{marks}])+)|([{UNSPACED}](?:[{UNSPACED}]|[{marks}])*)")


def _marks() -> str:
    """Ranges of a character class: all marks (categories Mn, Mc, Me)."""
    ranges: list[list[int]] = []
    for code in range(0x300, min(sys.maxunicode, 0x1FFFF)):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
