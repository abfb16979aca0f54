"""Checkpoints of cross-encoders: those of sentence-transformers (any version), and plait's own form of them.

A cross-encoder of sentence-transformers is a ``ForSequenceClassification`` of transformers with one label. Up
to version 5 all settings are in ``config.json``; version 6 writes ``config_sentence_transformers.json`` and a
list of modules beside it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plait.encoder.graph import FAMILIES, longest_text
from plait.encoder.json_file import JsonFile, read_json
from plait.encoder.layouts.layout import NetworkFiles, fingerprint, network_files
from plait.encoder.layouts.modules import MODULES
from plait.encoder.layouts.tokens import find_tokenizer
from plait.encoder.settings import LONGEST
from plait.encoder.weights import weight_files
from plait.errors import CheckpointError, SourceNotFound

SETTINGS = "cross_encoder.json"
FORMAT_VERSION = 1
ACTIVATIONS = ("sigmoid", "tanh", "identity")
_CONFIG = "config_sentence_transformers.json"
_TRANSFORMER = "Transformer"
_TYPED = ("bert", "electra")
"""Families whose networks tell the two texts of a pair apart by token types."""
_UNTYPED = "TokenizersBackend"
"""The class of transformers 5 for tokenizers of no family; it gives no token types unless it is told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderSettings:
    """What a cross-encoder does beside its network.

    Attributes:
        name: what it is called.
        max_length: the most tokens of a pair, special ones included; the longer text is cut first.
        activation: what is done to the network's number: one of ``ACTIVATIONS``.
        token_types: whether the network is told which of the two texts a token is of.
        query_prompt: text put before each query.
    """

    name: str
    max_length: int
    activation: str = "sigmoid"
    token_types: bool = True
    query_prompt: str = ""


@dataclass(frozen=True, slots=True)
class CrossEncoderFiles:
    """The parts of a cross-encoder on disk; attributes as those of ``Checkpoint``."""

    settings: CrossEncoderSettings
    settings_file: Path
    tokenizer: Path
    network: Path | NetworkFiles
    other_files: tuple[Path, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) over the contents of the files: equal only for equal cross-encoders."""
        network = self.network
        files = (network,) if isinstance(network, Path) else network_files(network)
        return fingerprint((self.settings_file, self.tokenizer, *files, *self.other_files))


def is_cross_encoder(folder: Path) -> bool:
    """Whether a folder holds one, of either form; nothing is checked yet."""
    if (folder / SETTINGS).is_file():
        return True
    if not (folder / "config.json").is_file():
        return False
    architectures = JsonFile.read(folder / "config.json").texts("architectures", ())
    return any(name.endswith("ForSequenceClassification") for name in architectures)


def read_cross_encoder(folder: Path, name: str | None = None) -> CrossEncoderFiles:
    """Find the parts of a cross-encoder.

    Args:
        folder: where it is.
        name: what it is called where its files have no name for it; by default as the folder.

    Raises:
        SourceNotFound: there is no such folder.
        CheckpointError: it is no cross-encoder, or a part is missing or wrong; names file and key.
    """
    if not folder.is_dir():
        raise SourceNotFound(f"{folder}: there is no such folder; give the folder of a cross-encoder")
    name = name or folder.resolve().name or "cross-encoder"
    if (folder / SETTINGS).is_file():
        return _read_own(folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder}: no cross-encoder was recognised here; looked for {SETTINGS} (plait) and config.json "
            f"(sentence-transformers)"
        )
    return _read_original(folder, name)


def write_settings(settings: CrossEncoderSettings, folder: Path) -> None:
    """Write ``cross_encoder.json``."""
    values = {"format_version": FORMAT_VERSION, **dataclasses.asdict(settings)}
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    (folder / SETTINGS).write_text(text, encoding="utf-8")


def _read_own(folder: Path) -> CrossEncoderFiles:
    file = JsonFile.read(folder / SETTINGS)
    if file.count("format_version") != FORMAT_VERSION:
        raise file.error(
            "format_version",
            f"is {file.count('format_version')}, but this plait reads {FORMAT_VERSION}; a newer plait may be "
            f"needed",
        )
    activation = file.text("activation", "sigmoid")
    if activation not in ACTIVATIONS:
        raise file.error("activation", f"is {activation!r}; known are {', '.join(ACTIVATIONS)}")
    settings = CrossEncoderSettings(
        name=file.text("name"),
        max_length=file.count("max_length", most=LONGEST),
        activation=activation,
        token_types=file.flag("token_types", True),
        query_prompt=file.text("query_prompt", ""),
    )
    for part in ("model.onnx", "tokenizer.json"):
        if not (folder / part).is_file():
            raise CheckpointError(f"{folder / part}: the file is missing")
    return CrossEncoderFiles(settings, file.path, folder / "tokenizer.json", folder / "model.onnx")


def _read_original(folder: Path, name: str) -> CrossEncoderFiles:
    config = JsonFile.read(folder / "config.json")
    _require_classifier(config)
    _require_one_label(config)
    _require_one_module(folder)
    own = JsonFile.read(folder / _CONFIG) if (folder / _CONFIG).is_file() else None
    settings = CrossEncoderSettings(
        name=name,
        max_length=_max_length(folder, config),
        activation=_activation(config, own),
        token_types=_token_types(folder, config),
        query_prompt=_prompt(own),
    )
    others = tuple(
        path
        for path in (folder / _CONFIG, folder / "tokenizer_config.json", folder / "sentence_bert_config.json")
        if path.is_file()
    )
    network = NetworkFiles(config, weight_files(folder), ())
    return CrossEncoderFiles(settings, config.path, find_tokenizer(folder), network, others)


def _require_classifier(config: JsonFile) -> None:
    kind = config.text("model_type")
    architectures = config.texts("architectures", ())
    if not any(name.endswith("ForSequenceClassification") for name in architectures):
        raise config.error(
            "architectures",
            f"is {list(architectures)}; a cross-encoder is a ...ForSequenceClassification (an encoder of "
            f"single texts is loaded by plait.load_encoder)",
        )
    if config.has("auto_map"):
        raise config.error("auto_map", "names code of the checkpoint's own, which is not run")
    if kind not in FAMILIES:
        raise config.error(
            "model_type", f"is {kind!r}; cross-encoders of {', '.join(FAMILIES)} can be loaded"
        )


def _require_one_label(config: JsonFile) -> None:
    labels = config.values.get("id2label")
    count = len(labels) if isinstance(labels, dict) else config.count("num_labels", 2)
    if count != 1:
        raise config.error(
            "id2label", f"names {count} labels; a cross-encoder for ranking has one, its score"
        )


def _require_one_module(folder: Path) -> None:
    """The module list of sentence-transformers 6: only the network itself is built."""
    if not (folder / MODULES).is_file():
        return
    found = read_json(folder / MODULES)
    entries = found if isinstance(found, list) else []
    kinds = [str(entry.get("type", "")) for entry in entries if isinstance(entry, dict)]
    if len(kinds) != 1 or kinds[0].rpartition(".")[2] != _TRANSFORMER or entries[0].get("path", "") != "":
        raise CheckpointError(
            f"{folder / MODULES}: lists {', '.join(kinds) or 'nothing'}; one {_TRANSFORMER} here is expected"
        )


def _max_length(folder: Path, config: JsonFile) -> int:
    """The tokenizer's length, which the network's positions cap."""
    longest = longest_text(config)
    for name, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        value: Any = JsonFile.read(folder / name).values.get(key) if (folder / name).is_file() else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return min(value, longest, LONGEST)
    return min(longest, LONGEST)


def _activation(config: JsonFile, own: JsonFile | None) -> str:
    """Where each version keeps it: 6, 4 and 5, before; by default a sigmoid."""
    part = config.part("sentence_transformers") if config.has("sentence_transformers") else None
    for file, key in (
        (part, "activation_fn"),
        (config, "sbert_ce_default_activation_function"),
        (own, "activation_fn"),
    ):
        if file is not None and file.has(key):
            path = file.text(key)
            name = path.rpartition(".")[2].lower()
            if not path.startswith("torch.") or name not in ACTIVATIONS:
                raise file.error(key, f"is {path!r}; known are those of torch.nn: {', '.join(ACTIVATIONS)}")
            return name
    return "sigmoid"


def _token_types(folder: Path, config: JsonFile) -> bool:
    """Whether the tokenizer gives token types to a network that has them."""
    if config.text("model_type") not in _TYPED or config.count("type_vocab_size", 2) < 2:
        return False
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return True
    tokenizer = JsonFile.read(path)
    if tokenizer.has("model_input_names"):
        return "token_type_ids" in tokenizer.texts("model_input_names")
    return tokenizer.text("tokenizer_class", "") != _UNTYPED


def _prompt(own: JsonFile | None) -> str:
    """What stands before each query, if one of the prompts is the default."""
    if own is None or not own.has("default_prompt_name"):
        return ""
    name = own.text("default_prompt_name")
    prompts = own.part("prompts") if own.has("prompts") else None
    if prompts is None or not prompts.has(name):
        raise own.error("default_prompt_name", f"is {name!r}, which is none of the prompts")
    return prompts.text(name)
