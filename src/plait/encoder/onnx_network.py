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


class OnnxNetwork:
    """A graph ready to run. Safe to use from several threads."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Open the graph of a checkpoint, after building it if there is none yet.

        Raises:
            CheckpointError: the graph can't be built or read, or does not fit the settings.
        """
        self.path = cached_graph(checkpoint)
        self.session = _open_session(str(self.path))
        self.inputs = self._check(checkpoint)

    def run(self, text: TokenizedText) -> FloatArray:
        """The vectors of all tokens of a text: f32 ``[tokens, dim]``."""
        values = {
            "input_ids": text.ids[None],
            "attention_mask": text.attended[None],
            "token_type_ids": np.zeros((1, len(text.ids)), dtype=np.int64),
        }
        outputs = self.session.run(None, {name: values[name] for name in self.inputs})
        found: FloatArray = np.asarray(outputs[0][0], dtype=np.float32)
        return found

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
        return inputs


def _open_session(path: str) -> InferenceSession:
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
