"""The network under every system: padded pieces of texts -> the last hidden state, on any device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from plait.encoder.tokenizer import TokenizedText
from plait.errors import InvalidParameter
from plait.train.frozen import Half, Outputs, key_of


class Hidden(NamedTuple):
    """What the network makes of several texts.

    Attributes:
        values: f32 ``[n, length, width]``, the last hidden state.
        attended: bool ``[n, length]``, the tokens that others may see.
        kept: bool ``[n, length]``, the tokens whose vectors a ColBERT keeps.
    """

    values: Tensor
    attended: Tensor
    kept: Tensor


class Network(nn.Module):
    """A transformer of Hugging Face's, some of whose lower layers may be frozen.

    Attributes:
        body: the transformer.
        width: components of its outputs.
        outputs: where outputs of the frozen layers are kept; None to make them each time.
    """

    def __init__(self, body: Any, *, bf16: bool = False) -> None:
        super().__init__()
        self.body = body
        self.width = int(body.config.hidden_size)
        self.outputs: Outputs | None = None
        self.bf16 = bf16
        self._frozen: int | None = None

    def freeze(self, layers: int) -> None:
        """Stop training the embeddings and the lowest ``layers`` layers.

        Raises:
            InvalidParameter: the network has fewer, or is not built as BERT is.
        """
        stack = getattr(getattr(self.body, "encoder", None), "layer", None)
        if stack is None or not hasattr(self.body, "embeddings"):
            raise InvalidParameter(
                f"frozen_layers is for networks built as BERT is (BERT, RoBERTa, XLM-R, ELECTRA), "
                f"not {self.body.config.model_type!r}"
            )
        if layers > len(stack):
            raise InvalidParameter(f"frozen_layers is {layers}, but the network has {len(stack)}")
        for part in (self.body.embeddings, *stack[:layers]):
            part.requires_grad_(False)
            part.eval()
        self._frozen = layers

    def train(self, mode: bool = True) -> Network:
        """Set training mode, except in frozen layers: they have no dropout."""
        super().train(mode)
        if self._frozen is not None:
            self.body.embeddings.eval()
            for layer in self.body.encoder.layer[: self._frozen]:
                layer.eval()
        return self

    def frozen_fingerprint(self) -> str:
        """32 hex digits that stand for the frozen weights."""
        digest = hashlib.blake2b(f"{self._frozen} {self.bf16}".encode(), digest_size=16)
        for part in (self.body.embeddings, *self.body.encoder.layer[: self._frozen]):
            for name, value in sorted(part.state_dict().items()):
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
        return digest.hexdigest()

    def forward(self, texts: Sequence[TokenizedText]) -> Hidden:
        """Run texts, padded to the longest of them."""
        attended = self.padded([text.attended for text in texts], 0)
        kept = self.padded([text.kept for text in texts], 0).bool()
        with self.mixed():
            if self._frozen is None:
                ids = self.padded([text.ids for text in texts], self.padding)
                values = self.body(input_ids=ids, attention_mask=attended).last_hidden_state
            else:
                values = self._upper(self._lower(texts), attended)
        return Hidden(values.float(), attended.bool(), kept)

    def mixed(self) -> Any:
        """A context in which products are made in bf16, if this network's are."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def padding(self) -> int:
        """The token that fills."""
        return int(self.body.config.pad_token_id or 0)

    def padded(self, rows: Sequence[Any], filling: int) -> Tensor:
        """Rows of whole numbers as i64 ``[n, longest]``, on the device."""
        longest = max(len(row) for row in rows)
        array = np.full((len(rows), longest), filling, dtype=np.int64)
        for place, row in enumerate(rows):
            array[place, : len(row)] = row
        return torch.from_numpy(array).to(self.device)

    def _lower(self, texts: Sequence[TokenizedText]) -> Tensor:
        """Outputs of the frozen layers, ``[n, length, width]``, zero where padded."""
        keys = [key_of(text.ids, text.attended) for text in texts]
        joined = np.zeros((len(texts), max(len(text.ids) for text in texts), self.width), dtype=np.float16)
        missing = []
        for place, key in enumerate(keys):
            rows = None if self.outputs is None else self.outputs.get(key)
            if rows is None:
                missing.append(place)
            else:
                joined[place, : len(rows)] = rows
        made = self._run_frozen([texts[place] for place in missing]) if missing else []
        for place, rows in zip(missing, made, strict=True):
            joined[place, : len(rows)] = rows
            if self.outputs is not None:
                self.outputs.put(keys[place], rows)
        return torch.from_numpy(joined).to(self.device).float()

    def _run_frozen(self, texts: Sequence[TokenizedText]) -> list[Half]:
        ids = self.padded([text.ids for text in texts], self.padding)
        attended = self.padded([text.attended for text in texts], 0)
        with torch.no_grad():
            values = self.body.embeddings(input_ids=ids)
            if hasattr(self.body, "embeddings_project"):  # ELECTRA
                values = self.body.embeddings_project(values)
            mask = self._mask(values, attended)
            for layer in self.body.encoder.layer[: self._frozen]:
                values = layer(values, mask)
        array = values.half().cpu().numpy()
        return [array[place, : len(text.ids)].copy() for place, text in enumerate(texts)]

    def _upper(self, values: Tensor, attended: Tensor) -> Tensor:
        mask = self._mask(values, attended)
        for layer in self.body.encoder.layer[self._frozen :]:
            values = layer(values, mask)
        return values

    def _mask(self, values: Tensor, attended: Tensor) -> Any:
        from transformers.masking_utils import create_bidirectional_mask

        return create_bidirectional_mask(
            config=self.body.config, inputs_embeds=values, attention_mask=attended
        )
