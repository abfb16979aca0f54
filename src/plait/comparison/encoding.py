"""An encoder that is watched: how long it works, and which vectors the documents got."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from plait.encoder import Encoder
from plait.types import TokenEmbeddings

Progress: TypeAlias = Callable[[int, int], None]


def clocks() -> npt.NDArray[np.float64]:
    """Seconds of the wall clock, and of CPU of this process; two readings can be subtracted."""
    return np.array([time.perf_counter(), time.process_time()])


class WatchedEncoder:
    """Passes everything on to an encoder, and keeps account.

    Attributes:
        document_time: wall and CPU seconds spent on documents so far.
        keep: called with the vectors of documents, in the order in which they are encoded.
    """

    def __init__(self, encoder: Encoder, keep: Callable[[TokenEmbeddings], None] | None = None) -> None:
        self._encoder = encoder
        self._here = threading.local()
        self.document_time = np.zeros(2)
        self.keep = keep

    @property
    def dim(self) -> int:
        """Components per vector."""
        return self._encoder.dim

    @property
    def pooled_dim(self) -> int:
        """Components of the one vector of a text."""
        return int(getattr(self._encoder, "pooled_dim", self._encoder.dim))

    @property
    def name(self) -> str:
        """What the encoder is called."""
        return self._encoder.name

    @property
    def fingerprint(self) -> str:
        """That of the encoder."""
        return self._encoder.fingerprint

    def encode_queries(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Progress | None = None
    ) -> TokenEmbeddings:
        """Encode queries; ``query_time`` tells how long it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        found = self._encoder.encode_queries(texts, threads=threads, progress=progress)
        before = self.query_time()
        self._here.query = (before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu)
        return found

    def query_time(self) -> tuple[float, float]:
        """Seconds, and CPU seconds of the process, that this thread has spent on queries so far."""
        found: tuple[float, float] = getattr(self._here, "query", (0.0, 0.0))
        return found

    def encode_documents(
        self, texts: Sequence[str], *, threads: int | None = None, progress: Progress | None = None
    ) -> TokenEmbeddings:
        """Encode documents, and show what came out."""
        began = clocks()
        found = self._encoder.encode_documents(texts, threads=threads, progress=progress)
        self.document_time += clocks() - began
        if self.keep:
            self.keep(found)
        return found
