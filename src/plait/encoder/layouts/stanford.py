"""Checkpoints of colbert-ai: one network with ``linear.weight`` in it, and settings in
``artifact.metadata``.
"""

from __future__ import annotations

import string
from pathlib import Path

from plait.encoder.graph import Projection
from plait.encoder.json_file import JsonFile
from plait.encoder.layouts.layout import Checkpoint, NetworkFiles
from plait.encoder.layouts.tokens import filling_token, find_tokenizer
from plait.encoder.settings import EncoderSettings
from plait.encoder.tokenizer import read_tokenizer
from plait.encoder.weights import Weights, weight_files
from plait.errors import CheckpointError

METADATA = "artifact.metadata"
ARCHITECTURE = "HF_ColBERT"


def is_stanford(folder: Path) -> bool:
    """Whether ``config.json`` or a metadata file says that this is a model of colbert-ai."""
    if (folder / METADATA).is_file():
        return True
    return ARCHITECTURE in JsonFile.read(folder / "config.json").texts("architectures", ())


def read_stanford(folder: Path, name: str) -> Checkpoint:
    """Find the parts of a checkpoint of colbert-ai.

    What a missing metadata file would say is assumed to be the library's default, and remarked.
    """
    config = JsonFile.read(folder / "config.json")
    remarks: list[str] = []
    if (folder / METADATA).is_file():
        metadata = JsonFile.read(folder / METADATA)
    else:
        metadata = JsonFile(config.path, {})
        remarks.append(f"{folder}: {METADATA} is missing; the settings are taken to be colbert-ai's defaults")
    weights = weight_files(folder)
    dim = Weights(weights).shape("linear.weight")[0]
    if metadata.has("dim") and metadata.count("dim") != dim:
        raise metadata.error("dim", f"is {metadata.count('dim')}, but linear.weight gives {dim} components")
    tokenizer = find_tokenizer(folder)
    remarks.extend(_remarks(metadata))
    settings = _settings(folder, name, metadata, dim, read_tokenizer(tokenizer).get_vocab(), remarks)
    network = NetworkFiles(config, weights, (Projection(weights),))
    return Checkpoint(settings, metadata.path, tokenizer, network, remarks=tuple(remarks))


def _settings(
    folder: Path, name: str, metadata: JsonFile, dim: int, vocabulary: dict[str, int], remarks: list[str]
) -> EncoderSettings:
    mask = filling_token(folder, vocabulary)
    if mask is None:
        raise CheckpointError(f"{folder}: the tokenizer names no mask_token, with which queries are filled")
    prefixes = []
    for key, default in (("query_token_id", "[unused0]"), ("doc_token_id", "[unused1]")):
        prefix = metadata.text(key, default)
        if prefix not in vocabulary:
            unknown = next((token for token in ("[UNK]", "<unk>") if token in vocabulary), None)
            if unknown is None:
                raise metadata.error(key, f"is {prefix!r}, which is not in the tokenizer's vocabulary")
            remarks.append(
                f"{metadata.path}: {key} is {prefix!r}, which is not in the vocabulary; {unknown} is the "
                f"marker, "
                f"as in colbert-ai"
            )
            prefix = unknown
        prefixes.append(prefix)
    return EncoderSettings(
        name=name,
        dim=dim,
        query_length=metadata.count("query_maxlen", 32),
        document_length=metadata.count("doc_maxlen", 220),
        query_prefix=prefixes[0],
        document_prefix=prefixes[1],
        query_expansion=True,
        attend_to_expansion_tokens=metadata.flag("attend_to_mask_tokens", False),
        mask_token=mask,
        skiplist_match="first_token",
        skiplist_words=tuple(string.punctuation) if metadata.flag("mask_punctuation", True) else (),
    )


def _remarks(metadata: JsonFile) -> list[str]:
    """Settings that mean something else here than in colbert-ai."""
    remarks = []
    if metadata.text("similarity", "cosine") != "cosine":
        remarks.append(
            f"{metadata.path}: similarity is {metadata.text('similarity')!r}; vectors are scaled to unit "
            f"length and "
            f"compared by cosine, which gives the same order but other scores"
        )
    if metadata.text("interaction", "colbert") != "colbert":
        remarks.append(
            f"{metadata.path}: interaction is {metadata.text('interaction')!r}; the scores here are plain "
            f"MaxSim"
        )
    return remarks
