"""Commands that work on encoders: convert."""

from __future__ import annotations

from pathlib import Path

import click

from plait.cli import options


@click.command(cls=options.Command)
@options.argument(
    "checkpoint", "CHECKPOINT", "The folder of a checkpoint, or its name on the Hugging Face hub."
)
@click.option("-o", "--output", type=Path, metavar="DIR", required=True, help="The folder to make.")
@click.option("--int8", is_flag=True, help="Store weights in 8 bits: a quarter of the size, and faster.")
def convert(checkpoint: str, output: Path, int8: bool) -> None:
    """Convert a ColBERT checkpoint, or a cross-encoder, to ONNX, without torch.

    CHECKPOINT may come from colbert-ai, PyLate or sentence-transformers. The new folder is what --model
    takes; the checkpoint itself is too, and is then converted into the user's cache folder at first use.
    A cross-encoder scores pairs of texts; its new folder is what plait.CrossEncoder takes.
    """
    from plait.encoder import convert

    convert(checkpoint, output, int8=int8)
    size = (output / "model.onnx").stat().st_size / 1e6
    click.echo(f"wrote {output} (model.onnx: {size:,.1f} MB)")
