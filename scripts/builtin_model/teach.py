"""Add the cosine of a larger bi-encoder to the teacher's features of what is cached.

    python scripts/builtin_model/teach.py --model all-mpnet-base-v2 --work work --batches 300

The files of ``cache/`` get one more feature, in the last place. ``--feature`` says which place that must be,
so that a second call, or one that goes on, adds nothing twice. Texts are cut where the student's are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

sys.path.insert(0, str(Path(__file__).parents[1]))
from builtin_model.cache import DOCUMENT_LENGTH, POOL_DOCUMENT_LENGTH, QUERY_LENGTH

FEATURE = 3
TOGETHER = 16


class Teacher:
    """A bi-encoder in bfloat16, and the time that it takes."""

    def __init__(self, folder: Path) -> None:
        self.model = SentenceTransformer(
            str(folder), device="cpu", model_kwargs={"dtype": torch.bfloat16}, local_files_only=True
        )

    def encode(self, texts: list[str], length: int) -> torch.Tensor:
        """f32 [texts, width], unit length."""
        self.model.max_seq_length = length
        found = self.model.encode(texts, batch_size=TOGETHER, convert_to_tensor=True, show_progress_bar=False)
        return torch.nn.functional.normalize(found.float(), dim=-1)

    def cosines(self, queries: list[str], documents: list[str], length: int) -> torch.Tensor:
        """f32 [queries, documents]."""
        return self.encode(queries, QUERY_LENGTH) @ self.encode(documents, length).T


def add(path: Path, texts: dict[str, Any], length: int, teacher: Teacher, place: int) -> None:
    """Add the feature to one file, unless it is there or the file is not."""
    if not path.exists():
        return
    cached = torch.load(path)
    count = cached["features"].shape[-1]
    if count > place:
        return
    if count < place:
        raise SystemExit(f"{path} has {count} features, and {place} were to be there")
    documents = texts["documents"][: cached["features"].shape[1]]
    began = time.process_time()
    cosines = teacher.cosines(texts["queries"], documents, length)
    cached["features"] = torch.cat([cached["features"], cosines[..., None]], -1)
    torch.save(cached, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)
    print(path.stem, round(time.process_time() - began, 1), flush=True)


def main() -> None:
    """Validation pools first, then batches in their order."""
    parser = argparse.ArgumentParser(description="Add a teacher's feature.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--batches", type=int, help="how many, from the first")
    parser.add_argument("--feature", type=int, default=FEATURE, help="its place behind MaxSim, cosine, BM25")
    options = parser.parse_args()
    torch.set_num_threads(1)
    teacher = Teacher(options.model)
    cache, data = options.work / "cache", options.work / "data"
    for line in (data / "validation.jsonl").open():
        pool = json.loads(line)
        add(cache / f"pool-{pool['source']}.pt", pool, POOL_DOCUMENT_LENGTH, teacher, options.feature)
    for number, line in enumerate((data / "batches.jsonl").open()):
        if options.batches is not None and number >= options.batches:
            break
        add(cache / f"batch-{number}.pt", json.loads(line), DOCUMENT_LENGTH, teacher, options.feature)


if __name__ == "__main__":
    main()
