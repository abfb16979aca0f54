"""Parts that systems are made of, from the folder of a base model."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentence_transformers.base.modules import Dense, Transformer
from torch import nn
from transformers.utils import logging

from plait.encoder.layouts.tokens import find_tokenizer
from plait.encoder.settings import EncoderSettings
from plait.encoder.tokenizer import TextTokenizer
from plait.errors import CheckpointError, InvalidParameter
from plait.train.settings import TrainSettings


def transformer_folder(base: Path) -> Path:
    """Where in a base the network is: sentence-transformers may keep it in a folder inside."""
    modules = base / "modules.json"
    if not modules.is_file():
        return base
    try:
        inside = json.loads(modules.read_text(encoding="utf-8"))[0]["path"]
    except (ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{modules}: can't be read ({error})") from None
    return base / Path(inside).name if inside else base


def model_type(base: Path) -> str:
    """What sentence-transformers calls the model in a folder; "" for a network alone."""
    config = base / "config_sentence_transformers.json"
    if not (base / "modules.json").is_file() or not config.is_file():
        return ""
    values = json.loads(config.read_text(encoding="utf-8"))
    return str(values.get("model_type", "SentenceTransformer"))


def make_transformer(base: Path, **options: Any) -> Transformer:
    """The network and tokenizer of a base.

    Raises:
        CheckpointError: transformers can't load it.
    """
    try:
        return Transformer(str(transformer_folder(base)), **options)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{base}: can't be loaded as a network to train ({error})") from error


def make_projection(width: int, dim: int, name: str = "token_embeddings", bias: bool = False) -> Dense:
    """A linear layer that keeps lengths and angles as well as it can: its rows or columns are orthonormal."""
    layer = Dense(width, dim, bias=bias, activation_function=nn.Identity(), module_input_name=name)
    nn.init.orthogonal_(layer.linear.weight)
    if bias:
        nn.init.zeros_(layer.linear.bias)
    return layer


def prompts_of(
    settings: TrainSettings, tokenizer: Any, query: str = "", document: str = ""
) -> dict[str, str]:
    """The markers of both sides; a marker that is one token of the vocabulary is kept in one piece.

    Args:
        settings: what was asked for.
        tokenizer: of transformers; is told the markers.
        query, document: markers where none was asked for, if the vocabulary has them.
    """
    vocabulary = tokenizer.get_vocab()
    found = {}
    for side, asked, default in (
        ("query", settings.query_prefix, query),
        ("document", settings.document_prefix, document),
    ):
        prompt = asked
        if prompt is None:
            prompt = default if default.strip() in vocabulary else ""
        found[side] = prompt
    whole = [prompt.strip() for prompt in found.values() if prompt.strip() in vocabulary]
    if whole:
        tokenizer.add_special_tokens({"additional_special_tokens": sorted(set(whole))})
    return found


def punctuation(tokenizer: Any) -> list[str]:
    """The punctuation that is a token of its own."""
    vocabulary = tokenizer.get_vocab()
    return [mark for mark in string.punctuation if mark in vocabulary]


def require_positions(body: Any, settings: TrainSettings) -> None:
    """Refuse lengths that the network has no positions for; raises InvalidParameter."""
    most = getattr(body.config, "max_position_embeddings", None)
    offset = (body.config.pad_token_id or 0) + 1 if "roberta" in body.config.model_type else 0
    for name in ("query_length", "document_length"):
        value = getattr(settings, name)
        if most is not None and value is not None and value > most - offset:
            raise InvalidParameter(f"{name} is {value}, but the network has {most - offset} positions")


def text_tokenizer(folder: Path, settings: EncoderSettings) -> TextTokenizer:
    """plait's own tokenizer over the file of a saved system: what is trained sees what is searched."""
    return TextTokenizer(find_tokenizer(folder), settings)


@contextmanager
def quietly() -> Iterator[None]:
    """Load and save without the bars and remarks of transformers, which would spoil a log."""
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
