"""fast-plaid on the vectors of vectors.py; started by rivals/run.py in fast-plaid's own environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rival
import torch
from fast_plaid import search
from vectors import VectorSet

#: n_ivf_probe, n_full_scores; the first pair is the default.
SWEEP = ((8, 4096), (4, 1024), (16, 8192))


def build(source: VectorSet, index: Path, nbits: int) -> None:
    documents = [torch.from_numpy(rows) for rows in rival.documents(source)]
    search.FastPlaid(index=str(index), device="cpu").create(documents_embeddings=documents, nbits=nbits)


def open_index(index: Path) -> Any:
    return search.FastPlaid(index=str(index), device="cpu")


def searches(opened: Any) -> rival.Searches:
    for nprobe, full in SWEEP:
        for k in (10, 100):

            def run(query: Any, k: int = k, nprobe: int = nprobe, full: int = full) -> list[int]:
                batch = torch.from_numpy(query)[None]
                hits = opened.search(
                    batch, top_k=k, n_ivf_probe=nprobe, n_full_scores=full, show_progress=False
                )
                return [pid for pid, _ in hits[0]]

            params = {"n_ivf_probe": nprobe, "n_full_scores": full, "default": (nprobe, full) == SWEEP[0]}
            yield params, k, run


if __name__ == "__main__":
    torch.set_num_threads(1)
    rival.main("fast-plaid", build, open_index, searches)
