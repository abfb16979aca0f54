"""The tokenizer of a checkpoint, and which of its tokens fills queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plait.encoder.json_file import JsonFile
from plait.errors import CheckpointError


def find_tokenizer(folder: Path) -> Path:
    """``tokenizer.json``, or BERT's ``vocab.txt`` where there is none."""
    for name in ("tokenizer.json", "vocab.txt"):
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f"{folder}: has no tokenizer.json (nor vocab.txt); save the tokenizer again with a newer "
        f"transformers: "
        f"AutoTokenizer.from_pretrained(...).save_pretrained(...)"
    )


def special_token(folder: Path, role: str) -> str | None:
    """A token by its role ("mask_token", "eos_token"), or None if the checkpoint names none."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            value: Any = JsonFile.read(folder / name).values.get(role)
            if isinstance(value, dict):
                value = value.get("content")
            if isinstance(value, str) and value:
                return value
    return None


def filling_token(folder: Path, vocabulary: dict[str, int]) -> str | None:
    """The token that fills queries: the mask, else (in decoders) the end of a text.

    Where no file names the mask, it is known by how BERT and RoBERTa write it.
    """
    named = special_token(folder, "mask_token")
    if named is not None:
        return named
    for usual in ("[MASK]", "<mask>"):
        if usual in vocabulary:
            return usual
    return special_token(folder, "eos_token")


def unread_keys(config: JsonFile, known: set[str]) -> list[str]:
    """A remark about keys of a file that nothing here reads, if there are any."""
    unknown = [key for key, value in config.values.items() if key not in known and value is not None]
    return [f"{config.path}: {', '.join(unknown)} is not known here, and has no effect"] if unknown else []
