"""Read documents and queries from the files people have.

A document record has a text, usually an id, sometimes a title, and anything else:

=========  ===============================  ====================================================
part       key (the first that is present)  meaning
=========  ===============================  ====================================================
text       ``text``, ``contents``, ``body`` required; a string
id         ``_id``, ``id``, ``docid``       a string or an integer; give it to all records or to none
title      ``title``                        put before the text ("title text"), and kept as metadata
metadata   ``metadata``, if an object       its entries become the document's metadata
vectors    ``vectors``, if a list           left out: token vectors, as ``plait export --vectors`` writes
any other                                   metadata under its own name
=========  ===============================  ====================================================

Kinds of sources: ``.jsonl``, ``.ndjson`` and ``.json`` (one JSON object per line); ``.csv`` and ``.tsv``
with a header row (a .tsv has no quoting: tabs and line ends separate, everything else is text); a ``.tsv``
of ``id<TAB>text`` without a header, such as ColBERT's ``collection.tsv`` (its first line has two fields, and
either the first is a number or none is a name of the table above); ``.parquet``; a folder in BEIR's form
(``corpus.jsonl``); a folder of ``.txt`` and ``.md`` files, whose id is the path inside the folder; ``-``,
JSON lines from the standard input. Text files may be compressed: ``.gz``, ``.bz2`` and ``.xz``.
"""

from plait.sources.documents import Documents, read_documents
from plait.sources.json_lines import read_json_lines
from plait.sources.lines import STDIN, read_lines
from plait.sources.queries import read_queries
from plait.sources.records import ID_KEYS, TEXT_KEYS

__all__ = [
    "ID_KEYS",
    "STDIN",
    "TEXT_KEYS",
    "Documents",
    "read_documents",
    "read_json_lines",
    "read_lines",
    "read_queries",
]
