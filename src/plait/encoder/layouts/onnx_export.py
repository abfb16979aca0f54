"""ONNX exports for next-plaid (``pylate-onnx-export``): the graph is there, and ends with unit vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plait.encoder.json_file import JsonFile
from plait.encoder.layouts.layout import Checkpoint
from plait.encoder.layouts.tokens import find_tokenizer, unread_keys
from plait.encoder.settings import EncoderSettings
from plait.encoder.tokenizer import read_tokenizer
from plait.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EXPORT = "onnx_config.json"
_GRAPHS = ("model.onnx", "model_int8.onnx")
_KEYS = {
    *("model_type", "model_name", "model_class", "uses_token_type_ids", "query_prefix", "document_prefix"),
    *(
        "query_length",
        "document_length",
        "do_query_expansion",
        "attend_to_expansion_tokens",
        "skiplist_words",
    ),
    *(
        "embedding_dim",
        "mask_token_id",
        "pad_token_id",
        "query_prefix_id",
        "document_prefix_id",
        "do_lower_case",
    ),
}


def read_onnx_export(folder: Path, name: str) -> Checkpoint:
    """Find the parts of an export; what next-plaid assumes for missing keys is assumed here, and remarked."""
    config = JsonFile.read(folder / EXPORT)
    graph = next((folder / file for file in _GRAPHS if (folder / file).is_file()), None)
    if graph is None:
        raise CheckpointError(f"{folder}: has {EXPORT}, but neither {' nor '.join(_GRAPHS)}")
    tokenizer_file = find_tokenizer(folder)
    tokenizer = read_tokenizer(tokenizer_file)
    remarks = unread_keys(config, _KEYS)
    if graph.name != _GRAPHS[0]:
        remarks.append(f"{folder}: {_GRAPHS[0]} is not there; {graph.name}, with weights in 8 bits, is used")
    for key, default in (("query_length", 48), ("document_length", 300)):
        if not config.has(key):
            remarks.append(f"{config.path}: {key} is missing; next-plaid's default, {default}, is taken")
    expanded = config.flag("do_query_expansion", False)
    attend = config.flag("attend_to_expansion_tokens", False)
    remarks.extend(_expansion_remarks(config, expanded, attend))
    if config.flag("do_lower_case", False) and tokenizer.encode("A").ids != tokenizer.encode("a").ids:
        remarks.append(
            f"{config.path}: do_lower_case is true, but {tokenizer_file.name} tells A from a, and holds"
        )
    settings = EncoderSettings(
        name=config.text("model_name", name) or name,
        dim=config.count("embedding_dim"),
        query_length=config.count("query_length", 48),
        document_length=config.count("document_length", 300),
        query_prefix=_prefix(config, "query_prefix", tokenizer),
        document_prefix=_prefix(config, "document_prefix", tokenizer),
        query_expansion=expanded,
        attend_to_expansion_tokens=attend and expanded,
        mask_token=_token(config, "mask_token_id", tokenizer) if expanded else None,
        skiplist_words=config.texts("skiplist_words", ()),
        skiplist_match="word",
        strip=True,
    )
    return Checkpoint(settings, config.path, tokenizer_file, graph, remarks=tuple(remarks))


def _expansion_remarks(config: JsonFile, expanded: bool, attend: bool) -> list[str]:
    if not expanded:
        return [
            f"{config.path}: do_query_expansion is false; next-plaid's exporter writes so of every model, "
            f"also of those "
            f"trained with expansion. If this one was, set it to true (its "
            f"config_sentence_transformers.json tells)"
        ]
    if not attend:
        return [
            f"{config.path}: attend_to_expansion_tokens is false, and is followed; next-plaid itself "
            f"attends to them "
            f"whatever it says"
        ]
    return []


def _prefix(config: JsonFile, key: str, tokenizer: Tokenizer) -> str | None:
    """The marker token, after checking it against its id."""
    prefix, number = config.text(key, ""), f"{key}_id"
    if not config.has(number):
        return prefix or None
    if not prefix:
        return _token(config, number, tokenizer)
    # By the token's id: for an id, the tokenizer gives an added token back as its normaliser has changed it.
    if tokenizer.token_to_id(prefix) != config.count(number, least=0):
        raise config.error(
            number, f"is {config.count(number, least=0)}, but {prefix!r} is {tokenizer.token_to_id(prefix)}"
        )
    return prefix


def _token(config: JsonFile, key: str, tokenizer: Tokenizer) -> str:
    number = config.count(key, 103, least=0)
    token = tokenizer.id_to_token(number)
    if not isinstance(token, str):
        raise config.error(key, f"is {number}, which is not in the tokenizer's vocabulary")
    return token
