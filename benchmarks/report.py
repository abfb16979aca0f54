"""Tables and charts from benchmarks/results/*.jsonl: `python benchmarks/report.py [FILE.md ...] [--check]`.

Without files, prints every table. In the files given, replaces what stands between
    <!-- generated: NAME -->  and  <!-- end -->
by the table NAME, and draws the charts they show: `![...](benchmarks/NAME.svg)`, relative to the file.
--check changes nothing and fails when a table or a chart is not up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import measure
from charts import CHARTS
from tables import TABLES

MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
SHOWN = re.compile(r"!\[[^\]]*\]\(((?:[\w./-]*/)?benchmarks/(\w+)\.svg)\)")


def updated(text: str) -> str:
    """The text with every marked part made again.

    Raises:
        SystemExit: a marked part names no table.
    """

    def replace(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise SystemExit(f"there is no table {match[2]!r}; there are {', '.join(TABLES)}")
        return f"{match[1]}{TABLES[match[2]]()}\n{match[3]}"

    return MARKED.sub(replace, text)


def made(page: Path) -> Iterator[tuple[Path, str]]:
    """The page and the charts it shows, as they should be.

    Raises:
        SystemExit: the page shows a chart that there is none of.
    """
    text = page.read_text(encoding="utf-8")
    yield page, updated(text)
    for path, name in SHOWN.findall(text):
        if name not in CHARTS:
            raise SystemExit(f"there is no chart {name!r}; there are {', '.join(CHARTS)}")
        yield page.parent / path, CHARTS[name]()


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if not options.files:
        print("\n\n".join(f"## {name}\n\n{table()}" for name, table in TABLES.items()))
        return
    stale = []
    for path, text in (pair for page in options.files for pair in made(page)):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path))
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and options.check:
        sys.exit(f"not up to date, run benchmarks/report.py on: {', '.join(stale)}")


if __name__ == "__main__":
    main()
