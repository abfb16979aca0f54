"""Networks that the ONNX builder does not know, run by transformers and torch. Only this module imports them.

It is loaded for such a checkpoint only. The checkpoint's own code is never run, and its weights must be
safetensors. Nobody promises that torch gives the same bits for any number of threads, as ONNX graphs do
(docs/decisions/0005-batch-invariant-encoding.md).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from plait.encoder.graph import FAMILIES, Projection
from plait.encoder.layouts.layout import Checkpoint, NetworkFiles
from plait.encoder.tokenizer import TokenizedText
from plait.encoder.weights import Weights
from plait.errors import CheckpointError, MissingExtra
from plait.types import FloatArray


class TorchNetwork:
    """A network of any architecture that transformers knows. Safe to use from several threads."""

    def __init__(self, checkpoint: Checkpoint, network: NetworkFiles) -> None:
        """Load the weights.

        Raises:
            MissingExtra: torch or transformers is not installed.
            CheckpointError: transformers can't load the network, or its weights could hold code.
        """
        self.path = network.config.path
        kind = network.config.text("model_type")
        try:
            import torch
            import transformers
        except ImportError:
            known = ", ".join(FAMILIES)
            raise MissingExtra(
                f"{self.path}: model_type is {kind!r}, which is none of those built here ({known}); torch",
                "torch",
            ) from None
        if any(path.suffix != ".safetensors" for path in network.weights):
            raise CheckpointError(
                f"{network.weights[0]}: save the weights as safetensors, for a network of this kind"
            )
        try:
            model = transformers.AutoModel.from_pretrained(
                self.path.parent, local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
        except Exception as error:
            raise CheckpointError(f"{self.path}: transformers can't load this network ({error})") from error
        self._torch = torch
        self._model = model.float().eval()
        self._takes = set(inspect.signature(model.forward).parameters)
        self._projections = [_projection(torch, projection) for projection in network.projections]

    def run(self, text: TokenizedText) -> tuple[FloatArray, None]:
        """The vectors of all tokens of a text: f32 ``[tokens, dim]``; there is no pooled one."""
        torch = self._torch
        values = {"input_ids": text.ids[None], "attention_mask": text.attended[None]}
        if "token_type_ids" in self._takes:
            values["token_type_ids"] = np.zeros_like(values["input_ids"])
        with torch.inference_mode():
            given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in values.items()}
            value = self._model(**given).last_hidden_state
            for projection in self._projections:
                value = projection(value)
            found: FloatArray = value[0].numpy()
        return found, None


def _projection(torch: Any, projection: Projection) -> Callable[[Any], Any]:
    """One linear layer behind the network, with its activation and residual."""
    functional = torch.nn.functional
    weights = Weights(projection.weights)
    dim, width = weights.shape("linear.weight")
    weight = torch.from_numpy(weights.take("linear.weight", dim, width))
    bias = torch.from_numpy(weights.take("linear.bias", dim)) if projection.bias else None
    beside = None
    if projection.residual and dim != width:
        beside = torch.from_numpy(weights.take("residual.weight", dim, width))
    activation = getattr(functional, projection.activation) if projection.activation else None

    def project(value: Any) -> Any:
        result = functional.linear(value, weight, bias)
        if activation is not None:
            result = activation(result)
        if projection.residual:
            result = result + (value if beside is None else functional.linear(value, beside))
        return result

    return project
