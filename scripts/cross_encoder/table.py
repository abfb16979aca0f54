"""Tables in Markdown of what ``validate.py`` and ``evaluate.py`` wrote.

    python scripts/cross_encoder/table.py validation.jsonl evaluation.jsonl

In evaluation an arrow marks what is better or worse than ColBERT with p < .05 (paired randomisation test,
Holm's correction for two systems); in brackets is the 95 % interval of the difference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from cross_encoder.groups import read_lines

UNSEEN = ("pubmedqa", "covid-qa")
NAMES = {
    "scifact": "SciFact",
    "nfcorpus": "NFCorpus",
    "cranfield": "Cranfield",
    "cacm": "CACM",
    "msmarco-dl": "MS MARCO-DL",
}
METRIC = "ndcg@10"


def number(value: float) -> str:
    """Without the zero in front."""
    return f"{value:.4f}".replace("0.", ".", 1)


def method(name: str) -> str:
    """A pipeline by its stages."""
    if name == "colbert":
        return "`colbert:20`"
    return f"`colbert:20 > cross:20{name.removeprefix('cross')}`"


def rows(header: list[str], body: list[list[str]]) -> str:
    """A table."""
    ruler = ["---"] + ["--:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ruler, *body])


def together(lines: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Lines of one model with different sources as one line."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        own = found.setdefault(line["model"], {"values": {}})
        for name, sources in line["values"].items():
            own["values"].setdefault(name, {}).update(sources)
    return found


def validation(line: dict[str, Any]) -> str:
    """Sources as columns."""
    sources = list(next(iter(line["values"].values())))
    body = []
    for name, values in line["values"].items():
        each = [values[source][METRIC] for source in sources]
        unseen = [values[source][METRIC] for source in sources if source in UNSEEN]
        means = [sum(each) / len(each), sum(unseen) / len(unseen)]
        body.append([method(name), *map(number, [*each, *means])])
    return rows(["nDCG@10", *sources, "mean", "unseen"], body)


def evaluation(lines: list[dict[str, Any]]) -> str:
    """Sets as columns."""
    lines = sorted(lines, key=lambda line: list(NAMES).index(line["set"]))
    body = []
    for name in lines[0]["means"]:
        cells = [cell(line, name) for line in lines]
        mean = sum(line["means"][name][METRIC] for line in lines) / len(lines)
        body.append([method(name), *cells, number(mean)])
    return rows(["nDCG@10", *(NAMES[line["set"]] for line in lines), "mean"], body)


def cell(line: dict[str, Any], name: str) -> str:
    """A figure, and what the test says of it."""
    value = number(line["means"][name][METRIC])
    for test in line["tests"].get(name, []):
        if test["metric"] == METRIC:
            mark = "" if test["p_holm"] >= 0.05 else " ▲" if test["difference"] > 0 else " ▼"
            low, high = (f"{end:+.3f}".replace("0.", ".", 1) for end in (test["low"], test["high"]))
            return f"{value}{mark} ({low} to {high})"
    return value


def main() -> None:
    """Print both."""
    for model, line in together(read_lines(Path(sys.argv[1]))).items():
        print(f"{model}\n\n{validation(line)}\n")
    if len(sys.argv) > 2:
        print(evaluation(list(read_lines(Path(sys.argv[2])))))


if __name__ == "__main__":
    main()
