"""Oracle: colbert-ai 0.2.22 with transformers 4.57. Writes its checkpoints and what it makes of the texts."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from colbert.infra import ColBERTConfig
from colbert.modeling.base_colbert import BaseColBERT
from colbert.modeling.checkpoint import Checkpoint
from colbert.modeling.colbert import ColBERT
from models import save

ColBERT.loaded_extensions = True  # a kernel that is compiled at first use, which only searching needs
CHECKPOINTS = {
    "stanford-bert": ("bert", {"attend_to_mask_tokens": False}),
    "stanford-electra": ("electra", {"attend_to_mask_tokens": True}),
    "stanford-xlm-roberta": ("xlm-roberta", {"query_token_id": "<s>", "doc_token_id": "</s>"}),
}


def main(folder: Path, texts: dict[str, list[str]]) -> None:
    for seed, (name, (family, changes)) in enumerate(CHECKPOINTS.items()):
        base, target = folder / f"{name}-base", folder / name
        save(family, base, seed)
        config = ColBERTConfig(query_maxlen=24, doc_maxlen=40, dim=16, checkpoint=str(base), **changes)
        model = BaseColBERT(str(base), colbert_config=config)
        model.save(str(target))
        shutil.rmtree(base)
        encoder = Checkpoint(str(target), colbert_config=ColBERTConfig(), verbose=0)
        found = {}
        for place, text in enumerate(texts["queries"]):
            found[f"query{place}"] = encoder.queryFromText([text])[0].numpy()
        for place, text in enumerate(texts["documents"]):
            found[f"document{place}"] = encoder.docFromText([text], keep_dims=False)[0].numpy()
        np.savez_compressed(target / "expected.npz", **found)
        _without_paths(target / "artifact.metadata")


def _without_paths(metadata: Path) -> None:
    """The library notes paths and versions of the machine that wrote a checkpoint."""
    values = json.loads(metadata.read_text())
    for key in ("meta", "checkpoint", "root", "experiment", "name", "triples", "collection", "queries"):
        values.pop(key, None)
    metadata.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
