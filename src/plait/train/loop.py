"""The run itself: steps, looks at held-out groups, checkpoints."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plait.errors import CheckpointError, InvalidParameter
from plait.train.batches import Order
from plait.train.frozen import FileOutputs, MemoryOutputs
from plait.train.groups import Group
from plait.train.log import Row, write_log
from plait.train.settings import TrainSettings
from plait.train.state import (
    RUN,
    START,
    STATE,
    describe,
    load_state,
    require_same,
    save_state,
    write_description,
)
from plait.train.step import backward
from plait.train.systems import load_system, start_system
from plait.train.systems.base import quietly
from plait.train.systems.system import System
from plait.train.training import Trained
from plait.train.validation import HeldOut
from plait.types import Progress

LOOKS = 10
"""How often a run looks at the held-out groups, if it is not told."""


class Run:
    """One training run in its folder.

    Attributes:
        stopped: set from outside to stop at the next place where the state is whole.
    """

    def __init__(
        self,
        output: Path,
        groups: Sequence[Group],
        held_out: Sequence[Group],
        settings: TrainSettings,
        progress: Progress | None,
    ) -> None:
        self.output = output
        self.folder = output / RUN
        self.settings = settings
        self.stopped = False
        self._groups, self._held_out = groups, held_out
        self._order = Order(groups, settings.batch_size, settings.negatives, settings.seed)
        self._judged = HeldOut(held_out) if held_out else None
        self._progress = progress
        self.steps = settings.steps or settings.epochs * self._order.steps_per_epoch
        self._every = settings.validate_every or max(1, math.ceil(self.steps / LOOKS))
        self._step = 0
        self._rows: list[Row] = []
        self._sums: dict[str, float] = {}
        self._best: tuple[float, dict[str, Tensor]] | None = None

    def prepare(self, base: str, resume: bool) -> None:
        """Make the folder and the system, or find both as they were left."""
        description = describe(self.settings, base, self._groups, self._held_out)
        state = None
        if self.output.exists() and any(self.output.iterdir()):
            if not resume:
                raise InvalidParameter(f"{self.output} exists already; resume it, or choose another folder")
            require_same(self.folder, description)
            if not (self.folder / START).is_dir():
                raise InvalidParameter(f"{self.output} is complete: there is nothing to resume")
            state = load_state(self.folder)
            self._load()
        else:
            self._start(base, description)
        if state is not None:
            self._restore(state)

    def _start(self, base: str, description: dict[str, Any]) -> None:
        made = not self.output.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / (START + ".part")
        try:
            start_system(base, self.settings, unfinished)
            write_description(self.folder, description)
            unfinished.rename(self.folder / START)
            self._load()
        except BaseException:
            shutil.rmtree(self.output if made else self.folder, ignore_errors=True)
            raise

    def _load(self) -> None:
        self._system = load_system(self.folder / START)
        self._set_up()

    def _set_up(self) -> None:
        settings, system = self.settings, self._system
        device = "cuda" if torch.cuda.is_available() else "cpu"
        system.to(device)
        auto = device == "cuda" and torch.cuda.is_bf16_supported()
        system.network.bf16 = settings.precision == "bf16" or (settings.precision == "auto" and auto)
        if settings.dropout is not None:
            for module in system.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = settings.dropout
        if settings.frozen_layers is not None:
            system.network.freeze(settings.frozen_layers)
        system.train()
        self._weights = {name: value for name, value in system.named_parameters() if value.requires_grad}
        self._optimizer = _optimizer(system, settings)
        self._rates = [group["lr"] for group in self._optimizer.param_groups]

    def keep_frozen_outputs(self, folder: Path | None, most_bytes: int) -> None:
        """Keep what frozen layers give, in a folder or in memory."""
        network = self._system.network
        if self.settings.frozen_layers is None or not most_bytes:
            return
        if folder is None:
            network.outputs = MemoryOutputs(most_bytes)
        else:
            network.outputs = FileOutputs(folder / network.frozen_fingerprint(), network.width, most_bytes)

    def close(self) -> None:
        """Close the files of outputs of frozen layers."""
        outputs = self._system.network.outputs
        if isinstance(outputs, FileOutputs):
            outputs.close()

    def go(self) -> None:
        """Make the steps that are left."""
        if self._step == 0 and not self._rows:
            self._look()
        while self._step < self.steps:
            try:
                self._advance()
            except KeyboardInterrupt:
                self._save()
                raise
            done = self._step == self.steps
            if done or self._step % self._every == 0:
                self._look()
            if not done and self._step % (self.settings.checkpoint_every or self._every) == 0:
                self._save()

    def _advance(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        losses = backward(
            self._system, self._order.batch(self._step), self.settings, self._step, self._stop_if_asked
        )
        if not math.isfinite(losses["loss"]):
            raise CheckpointError(
                f"the loss is {losses['loss']} at step {self._step}: try a lower learning_rate, "
                f"or a higher temperature"
            )
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self.settings.clip)
        share = _share_of_rate(self._step, self.steps, self.settings.warm_up)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self._stop_if_asked()
        self._optimizer.step()
        self._step += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._sums["steps"] = self._sums.get("steps", 0.0) + 1
        self._tell("steps", self._step, self.steps)

    def _stop_if_asked(self) -> None:
        if self.stopped:
            raise KeyboardInterrupt

    def _look(self) -> None:
        """Write a row of the log, with the held-out nDCG if there is one."""
        row: Row = {"step": self._step, "epoch": self._step / self._order.steps_per_epoch}
        count = self._sums.pop("steps", 0.0)
        if count:
            row["learning_rate"] = self._optimizer.param_groups[0]["lr"]
            row.update({name: value / count for name, value in self._sums.items()})
        self._sums = {}
        if self._judged is not None:
            row["ndcg@10"] = self._judged.ndcg(
                self._system, lambda done, total: self._tell("validate", done, total)
            )
            if self._best is None or row["ndcg@10"] >= self._best[0]:
                self._best = (row["ndcg@10"], self._copied())
        self._rows.append(row)
        write_log(self.folder, self._rows)

    def _copied(self) -> dict[str, Tensor]:
        if self.settings.keep != "best":
            return {}
        return {name: value.detach().cpu().clone() for name, value in self._weights.items()}

    def _save(self) -> None:
        save_state(
            self.folder,
            {
                "step": self._step,
                "weights": {name: value.detach() for name, value in self._weights.items()},
                "optimizer": self._optimizer.state_dict(),
                "rows": self._rows,
                "sums": self._sums,
                "best": self._best,
            },
        )
        write_log(self.folder, self._rows)

    def _restore(self, state: dict[str, Any]) -> None:
        self._put(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._rows, self._sums = state["step"], state["rows"], state["sums"]
        self._best = state["best"]

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in weights.items():
                self._weights[name].copy_(value)

    def finish(self) -> Trained:
        """Write the checkpoint, and remove what only a stopped run needs."""
        looked = [row["ndcg@10"] for row in self._rows if "ndcg@10" in row]
        kept = looked[-1] if looked else None
        if self.settings.keep == "best" and self._best is not None:
            kept = self._best[0]
            self._put(self._best[1])
        self._system.eval()
        self._system.to("cpu")
        with quietly():
            self._system.save(self.output)
        shutil.rmtree(self.folder / START)
        (self.folder / STATE).unlink(missing_ok=True)
        return Trained(self.output, self._step, kept, looked[0] if looked else None, self._rows)

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(stage, done, total)


def _optimizer(system: System, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW; vectors of biases and norms do not decay."""
    heads = {id(parameter) for parameter in system.heads()}
    parts: dict[tuple[bool, bool], list[Tensor]] = {}
    for parameter in system.parameters():
        if parameter.requires_grad:
            parts.setdefault((id(parameter) in heads, parameter.ndim > 1), []).append(parameter)
    head_rate = settings.head_learning_rate or settings.learning_rate
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": head_rate if head else settings.learning_rate,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (head, decays), parameters in parts.items()
        ],
        fused=True,
    )


def _share_of_rate(step: int, steps: int, warm_up: float) -> float:
    """The learning rate of a step as a share of the highest: up linearly, then down to 0."""
    rising = math.ceil(warm_up * steps)
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)
