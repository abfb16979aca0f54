"""Text to token embeddings: checkpoints, tokenisation rules, the network, and the built-in model."""

from plait.encoder.checkpoint import LAYOUTS, Checkpoint, Layout, read_checkpoint
from plait.encoder.cross_encoder import CrossEncoder
from plait.encoder.hub import lasting_name
from plait.encoder.model import CheckpointEncoder, Encoder, check_texts, convert, load_encoder
from plait.encoder.packages import packaged_folder
from plait.encoder.settings import EncoderSettings

__all__ = [
    "LAYOUTS",
    "Checkpoint",
    "CheckpointEncoder",
    "CrossEncoder",
    "Encoder",
    "EncoderSettings",
    "Layout",
    "check_texts",
    "convert",
    "lasting_name",
    "load_encoder",
    "packaged_folder",
    "read_checkpoint",
]
