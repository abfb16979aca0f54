"""What 8-bit weights cost a checkpoint in retrieval: nDCG@10 by exact MaxSim, and tokens per second.

    python benchmarks/int8_loss.py CHECKPOINT DATASET...

A DATASET is a folder in BEIR's form. A single-vector model (``modules.json`` with Pooling) is measured by
MaxSim over its token vectors as they are: the projection is then the identity.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from exact import best
from judged import Judged

from plait.encoder import CheckpointEncoder, convert, load_encoder
from plait.errors import CheckpointWarning
from plait.evaluate import evaluate
from plait.types import TokenEmbeddings


def with_identity(source: Path, folder: Path) -> Path:
    """A single-vector model as a checkpoint of PyLate whose only projection changes nothing."""
    shutil.copytree(source, folder)
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    entries = json.loads((folder / "modules.json").read_text())[:1]
    entries.append({"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"})
    (folder / "modules.json").write_text(json.dumps(entries))
    settings = {"query_prefix": "", "document_prefix": "", "query_length": 64, "document_length": 256}
    settings |= {"model_type": "ColBERT", "do_query_expansion": False}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    (folder / "1_Dense").mkdir()
    dense = {"in_features": width, "out_features": width, "bias": False}
    dense["activation_function"] = "torch.nn.modules.linear.Identity"
    (folder / "1_Dense" / "config.json").write_text(json.dumps(dense))
    entry = {"dtype": "F32", "shape": [width, width], "data_offsets": [0, 4 * width * width]}
    header = json.dumps({"linear.weight": entry}).encode()
    numbers = np.eye(width, dtype="<f4").tobytes()
    weights = len(header).to_bytes(8, "little") + header + numbers
    (folder / "1_Dense" / "model.safetensors").write_bytes(weights)
    return folder


def measure(encoder: CheckpointEncoder, dataset: Path) -> tuple[float, float, TokenEmbeddings]:
    """NDCG@10, document tokens per second of wall time, and the documents' vectors."""
    collection = Judged.read(dataset)
    start = time.perf_counter()
    vectors = encoder.encode_documents(collection.texts)
    speed = vectors.ntokens / (time.perf_counter() - start)
    asked = list(encoder.encode_queries(list(collection.queries.values())))
    run = collection.run(best(vectors.vectors, vectors.offsets, asked, 10))
    return evaluate(collection.qrels, run, ["nDCG@10"])["nDCG@10"], speed, vectors


def main(checkpoint: Path, datasets: list[Path]) -> None:
    """Print one line per data set and precision."""
    warnings.simplefilter("ignore", CheckpointWarning)
    with tempfile.TemporaryDirectory() as work:
        if "Pooling" in (checkpoint / "modules.json").read_text():
            checkpoint = with_identity(checkpoint, Path(work) / "source")
        for precision in ("f32", "int8"):
            convert(checkpoint, Path(work) / precision, int8=precision == "int8")
        for dataset in datasets:
            exact_vectors = None
            for precision in ("f32", "int8"):
                figure, speed, found = measure(load_encoder(Path(work) / precision), dataset)
                line = f"{dataset.name:12} {precision:5} nDCG@10 {figure:.4f}  {speed:8,.0f} tokens/s"
                if exact_vectors is None:
                    exact_vectors = found.vectors
                else:
                    cosines = (exact_vectors * found.vectors).sum(axis=1)
                    line += f"  cosine to f32: mean {cosines.mean():.4f}, least {cosines.min():.4f}"
                print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
