"""Checkpoints of PyLate: ``modules.json`` with Dense modules, and ColBERT's settings at the top."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

from plait.encoder.json_file import JsonFile
from plait.encoder.layouts.layout import Checkpoint, NetworkFiles
from plait.encoder.layouts.modules import read_modules
from plait.encoder.layouts.tokens import filling_token, find_tokenizer, unread_keys
from plait.encoder.settings import EncoderSettings
from plait.encoder.tokenizer import read_tokenizer
from plait.encoder.weights import weight_files
from plait.errors import CheckpointError

CONFIG = "config_sentence_transformers.json"
_DEFAULTS: dict[str, Any] = {
    "query_prefix": "[Q] ",
    "document_prefix": "[D] ",
    "query_length": 32,
    "document_length": 180,
    "do_query_expansion": True,
    "attend_to_expansion_tokens": False,
    "skiplist_words": list(string.punctuation),
}
_OTHER_KEYS = {"model_type", "__version__", "prompts", "default_prompt_name", "similarity_fn_name"}


def is_pylate(folder: Path) -> bool:
    """Whether PyLate's settings stand in sentence-transformers' file."""
    path = folder / CONFIG
    if not path.is_file():
        return False
    config = JsonFile.read(path)
    return config.text("model_type", "") == "ColBERT" or (
        config.text("model_type", "") != "MultiVectorEncoder" and config.has("query_prefix")
    )


def read_pylate(folder: Path, name: str) -> Checkpoint:
    """Find the parts of a checkpoint of PyLate; what it does not set is PyLate's default, and remarked."""
    modules = read_modules(folder)
    config = JsonFile.read(folder / CONFIG)
    remarks = unread_keys(config, {*_DEFAULTS, *_OTHER_KEYS})
    absent = [key for key in _DEFAULTS if not config.has(key)]
    if absent:
        remarks.append(f"{config.path}: lacks {', '.join(absent)}; PyLate's defaults are taken")
    tokenizer = find_tokenizer(modules.folder)
    mask = filling_token(modules.folder, read_tokenizer(tokenizer).get_vocab())
    expanded = config.flag("do_query_expansion", True)
    if expanded and mask is None:
        raise CheckpointError(
            f"{modules.folder}: the tokenizer names no token with which queries could be filled"
        )
    attend = config.flag("attend_to_expansion_tokens", False)
    if attend and not expanded:
        remarks.append(
            f"{config.path}: attend_to_expansion_tokens is true, but do_query_expansion is false: there is "
            f"no expansion"
        )
    prompt = _prompt(config, remarks)
    settings = EncoderSettings(
        name=name,
        dim=modules.dim,
        query_length=config.count("query_length", 32),
        document_length=config.count("document_length", 180),
        query_prefix=config.text("query_prefix", _DEFAULTS["query_prefix"]) or None,
        document_prefix=config.text("document_prefix", _DEFAULTS["document_prefix"]) or None,
        query_expansion=expanded,
        attend_to_expansion_tokens=attend and expanded,
        mask_token=mask if expanded else None,
        skiplist_words=config.texts("skiplist_words", _DEFAULTS["skiplist_words"]),
        skiplist_match="word",
        strip=True,
        query_prompt=prompt,
        document_prompt=prompt,
    )
    network = NetworkFiles(
        JsonFile.read(modules.folder / "config.json"), weight_files(modules.folder), modules.projections
    )
    return Checkpoint(settings, config.path, tokenizer, network, modules.files, tuple(remarks))


def _prompt(config: JsonFile, remarks: list[str]) -> str:
    """PyLate puts one prompt before queries and documents alike, and only if it is named as the default."""
    prompts = config.part("prompts").values if config.has("prompts") else {}
    default = config.text("default_prompt_name", "")
    chosen = prompts.get(default, "") if default else ""
    unused = [key for key, value in prompts.items() if value and key != default]
    if unused:
        remarks.append(
            f"{config.path}: the prompts {', '.join(unused)} are used by PyLate only when a caller names "
            f"them, and "
            f"are not used here"
        )
    if not isinstance(chosen, str):
        raise config.error("prompts", f"must hold strings, not {chosen!r}")
    return chosen
