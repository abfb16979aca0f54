"""xtr-warp-rs on the vectors of vectors.py; started by run_rivals.py in its own environment.

WARP imputes the scores of tokens it did not visit, so its results differ from MaxSim by design; it was made
for models trained with XTR's objective.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rival
import torch
from vectors import VectorSet
from xtr_warp import search

#: nprobe; None is the default, chosen by the engine.
SWEEP = (None, 8, 32, 64)


def build(source: VectorSet, index: Path, nbits: int) -> None:
    documents = [torch.from_numpy(rows) for rows in rival.documents(source)]
    search.XTRWarp(index=str(index)).create(documents, device="cpu", nbits=nbits, show_progress=False)


def open_index(index: Path) -> Any:
    return search.XTRWarp(index=str(index)).load(device="cpu")


def searches(opened: Any) -> rival.Searches:
    for nprobe in SWEEP:
        for k in (10, 100):

            def run(query: Any, k: int = k, nprobe: int | None = nprobe) -> list[int]:
                batch = torch.from_numpy(query)[None]
                hits = opened.search(batch, top_k=k, nprobe=nprobe, num_threads=1, show_progress=False)
                return [pid for pid, _ in hits[0]]

            yield {"nprobe": nprobe, "default": nprobe is None}, k, run


if __name__ == "__main__":
    torch.set_num_threads(1)
    rival.main("xtr-warp-rs", build, open_index, searches)
