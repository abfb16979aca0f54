"""Systems that no other library has a layout for: a transformer, a few weights behind it, and a JSON file."""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load_file, save_file
from sentence_transformers.base.modules import Transformer
from torch import Tensor

from plait.encoder.settings import EncoderSettings
from plait.errors import CheckpointError, InvalidParameter
from plait.train.network import Network
from plait.train.settings import TrainSettings
from plait.train.systems import OWN
from plait.train.systems.base import make_transformer, prompts_of, require_positions, text_tokenizer
from plait.train.systems.system import EmbeddingSystem

FORMAT_VERSION = 1
HEADS = "heads.safetensors"
QUERY_LENGTH = 32
DOCUMENT_LENGTH = 180


class OwnSystem(EmbeddingSystem):
    """A system that is saved in plait's own layout: ``system.json`` and ``heads.safetensors``."""

    keys: tuple[str, ...]
    """What of ``TrainSettings`` decides its shape."""

    def __init__(
        self, transformer: Transformer, rules: EncoderSettings, shape: Mapping[str, Any], folder: Path | None
    ) -> None:
        super().__init__()
        self.network = Network(transformer.model)
        self.settings = rules
        self.dim = rules.dim
        self.shape = dict(shape)
        self.folder = folder
        self._transformer = [transformer]  # in a list, so that its weights are not counted twice
        self.make_heads(self.network.width, rules.dim)
        if folder is not None:
            self._tokenizer = text_tokenizer(folder, rules)

    @abstractmethod
    def make_heads(self, width: int, dim: int) -> None:
        """Make the weights behind the network."""

    @classmethod
    def start(cls, base: Path, settings: TrainSettings) -> Self:
        """The base with new weights behind it; the base itself if it is such a system."""
        shape = {key: getattr(settings, key) for key in cls.keys}
        if (base / OWN).is_file():
            return cls._trained_on(base, settings, shape)
        transformer = make_transformer(base)
        require_positions(transformer.model, settings)
        prompts = prompts_of(settings, transformer.tokenizer)
        rules = EncoderSettings(
            name=cls.name,
            dim=settings.dim or transformer.model.config.hidden_size,
            query_length=settings.query_length or QUERY_LENGTH,
            document_length=settings.document_length or DOCUMENT_LENGTH,
            query_prompt=prompts["query"],
            document_prompt=prompts["document"],
            normalise=False,
        )
        return cls(transformer, rules, shape, None)

    @classmethod
    def _trained_on(cls, base: Path, settings: TrainSettings, shape: dict[str, Any]) -> Self:
        found = cls.load(base)
        for key, value in {**shape, "dim": settings.dim or found.dim}.items():
            before = found.dim if key == "dim" else found.shape[key]
            if value != before:
                raise InvalidParameter(f"{key} is {value!r}, but the base was trained with {before!r}")
        lengths = {
            name: getattr(settings, name) or getattr(found.settings, name)
            for name in ("query_length", "document_length")
        }
        require_positions(found.network.body, settings)
        found.settings = dataclasses.replace(found.settings, **lengths)
        return found

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read one that was saved.

        Raises:
            CheckpointError: it is another system, or a file is broken.
        """
        path = folder / OWN
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["format_version"] != FORMAT_VERSION or values["system"] != cls.name:
                raise CheckpointError(
                    f"{path}: holds {values['system']!r} in version {values['format_version']!r}; "
                    f"expected is {cls.name!r} in version {FORMAT_VERSION}"
                )
            rules = EncoderSettings(**values["encoder"])
            shape = {key: values[key] for key in cls.keys}
            transformer = make_transformer(folder)
            system = cls(transformer, rules, shape, folder)
            heads = load_file(folder / HEADS)
            expected = sorted(system._heads())
            if sorted(heads) != expected:
                raise CheckpointError(f"{folder / HEADS}: holds {sorted(heads)}, not {expected}")
            system.load_state_dict(heads, strict=False)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(f"{folder}: can't be read as a {cls.name} ({error})") from error
        return system

    def save(self, folder: Path) -> None:
        """Write the network, the tokenizer, the weights behind it, and ``system.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.network.body.save_pretrained(folder)
        self._transformer[0].tokenizer.save_pretrained(folder)
        save_file(self._heads(), folder / HEADS)
        rules = {
            field.name: getattr(self.settings, field.name)
            for field in dataclasses.fields(self.settings)
            if getattr(self.settings, field.name) != field.default
        }
        values = {"format_version": FORMAT_VERSION, "system": self.name, "encoder": rules, **self.shape}
        (folder / OWN).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def _heads(self) -> dict[str, Tensor]:
        return {
            name: value.detach().contiguous()
            for name, value in self.state_dict().items()
            if not name.startswith("network.")
        }

    def rules(self) -> Any:
        """The encoding rules and the shape."""
        return self.settings, sorted(self.shape.items())
