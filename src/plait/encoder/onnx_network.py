"""Networks as ONNX graphs, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plait.encoder.conversion import cached_graph
from plait.encoder.layouts.layout import Checkpoint
from plait.encoder.tokenizer import TokenizedText
from plait.errors import CheckpointError
from plait.types import FloatArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
POOLED = "pooled"
"""The output that holds one vector for each text, if the settings have ``pooled_dim``."""


class OnnxNetwork:
    """A graph ready to run. Safe to use from several threads."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Open the graph of a checkpoint, after building it if there is none yet.

        Raises:
            CheckpointError: the graph can't be built or read, or does not fit the settings.
        """
        self.path = cached_graph(checkpoint)
        self.session = open_session(str(self.path))
        self.inputs = self._check(checkpoint)
        first = self.session.get_outputs()[0].name
        self._outputs = [first] if checkpoint.settings.pooled_dim is None else [first, POOLED]

    def run(self, text: TokenizedText) -> tuple[FloatArray, FloatArray | None]:
        """The vectors of all tokens of a text, f32 ``[tokens, dim]``, and its one vector, f32
        ``[pooled_dim]``, if the graph gives one: of the same pass.
        """
        values = {
            "input_ids": text.ids[None],
            "attention_mask": text.attended[None],
            "token_type_ids": np.zeros((1, len(text.ids)), dtype=np.int64),
        }
        outputs = self.session.run(self._outputs, {name: values[name] for name in self.inputs})
        found = [np.asarray(output[0], dtype=np.float32) for output in outputs]
        return found[0], found[1] if len(found) > 1 else None

    def _check(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The graph's inputs, after checking that they and its output are what is expected."""
        inputs = tuple(node.name for node in self.session.get_inputs())
        if "input_ids" not in inputs or not INPUTS.issuperset(inputs):
            raise CheckpointError(
                f"{self.path}: takes the inputs {', '.join(inputs)}, but input_ids, attention_mask and "
                f"token_type_ids are expected"
            )
        shape = self.session.get_outputs()[0].shape
        if len(shape) != 3 or (isinstance(shape[2], int) and shape[2] != checkpoint.settings.dim):
            raise CheckpointError(
                f"{self.path}: gives an output of the shape {shape}, but [texts, tokens, dim] is "
                f"expected, and dim in {checkpoint.settings_file.name} is {checkpoint.settings.dim}"
            )
        self._check_pooled(checkpoint)
        return inputs

    def _check_pooled(self, checkpoint: Checkpoint) -> None:
        wanted = checkpoint.settings.pooled_dim
        if wanted is None:
            return
        shapes = {node.name: node.shape for node in self.session.get_outputs()}
        shape = shapes.get(POOLED)
        if shape is None or len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != wanted):
            raise CheckpointError(
                f"{self.path}: pooled_dim in {checkpoint.settings_file.name} is {wanted}, so an output "
                f"{POOLED!r} of the shape [texts, {wanted}] is expected, but there is "
                f"{'none' if shape is None else f'one of {shape}'}"
            )


def open_session(path: str) -> InferenceSession:
    """One thread inside a run, since the texts are spread over threads; idle threads do not spin."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointError(f"{path}: can't be read as an ONNX model ({error})") from error
