"""Scores that a teacher gave, kept on disk: a rerun costs nothing, and a killed run goes on."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from plait.train.teachers import Pair, Teacher
from plait.types import FloatArray

#: Pairs scored together; they are on the disk before the next ones are begun.
BATCH = 512
_LOOKED_UP = 500  # parameters that every SQLite takes


class ScoreCache:
    """One SQLite file of (teacher, query and document) -> score. A context manager.

    What is kept is the teacher's fingerprint and a hash of the texts, so any change of either asks again.
    """

    def __init__(self, path: str | Path | None) -> None:
        """Open or make the file; None keeps the scores in memory only."""
        self._connection = sqlite3.connect(":memory:" if path is None else path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS scores (teacher TEXT, pair BLOB, score REAL, "
            "PRIMARY KEY (teacher, pair)) WITHOUT ROWID"
        )

    def score(
        self, teacher: Teacher, pairs: Sequence[Pair], done: Callable[[int], None] | None = None
    ) -> tuple[FloatArray, int]:
        """The scores of all pairs, and how many of them had to be computed.

        Args:
            teacher: asked for what is not known yet.
            pairs: (query, document), any number of times each.
            done: called with the number of different pairs known so far.
        """
        keys = [_key(pair) for pair in pairs]
        wanted = dict(zip(keys, pairs, strict=True))
        known = self._known(teacher.fingerprint, list(wanted))
        if done:
            done(len(known))
        missing = [key for key in wanted if key not in known]
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            scores = teacher.score_pairs([wanted[key] for key in batch])
            rows = [
                (teacher.fingerprint, key, float(score)) for key, score in zip(batch, scores, strict=True)
            ]
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows)
            known.update((key, score) for _, key, score in rows)
            if done:
                done(len(known))
        return np.array([known[key] for key in keys], dtype=np.float32), len(missing)

    def _known(self, teacher: str, keys: Sequence[bytes]) -> dict[bytes, float]:
        found: dict[bytes, float] = {}
        for start in range(0, len(keys), _LOOKED_UP):
            some = keys[start : start + _LOOKED_UP]
            places = ",".join("?" * len(some))
            query = f"SELECT pair, score FROM scores WHERE teacher = ? AND pair IN ({places})"
            found.update(self._connection.execute(query, [teacher, *some]).fetchall())
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RememberedTeacher:
    """A teacher whose scores are kept."""

    def __init__(self, teacher: Teacher, cache: ScoreCache) -> None:
        self._teacher = teacher
        self._cache = cache

    @property
    def name(self) -> str:
        """That of the teacher."""
        return self._teacher.name

    @property
    def fingerprint(self) -> str:
        """That of the teacher."""
        return self._teacher.fingerprint

    def score_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        """Scores, of which those known are not computed again."""
        return self._cache.score(self._teacher, pairs)[0]


def _key(pair: Pair) -> bytes:
    query, text = pair
    return hashlib.sha256(f"{len(query)} {query} {text}".encode()).digest()[:20]
