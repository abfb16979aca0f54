"""INDEXES OF OTHER TOOLS -> AN INDEX OF PLAIT. One file per tool, and the table of them."""

from plait.importers.run import import_index
from plait.importers.to_colbert import export_colbert
from plait.importers.tools import TOOLS, Tool, open_foreign

__all__ = ["TOOLS", "Tool", "export_colbert", "import_index", "open_foreign"]
