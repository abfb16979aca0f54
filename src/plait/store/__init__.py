"""CODES -> IMMUTABLE SEGMENTS ON DISK + CATALOG."""

from plait.store.backups import backup
from plait.store.catalog import Catalog
from plait.store.catalog_file import create_catalog
from plait.store.compaction import CompactionReport, add_part, compact, due, merge, shrink
from plait.store.conditions import nameable
from plait.store.current import Current
from plait.store.format import FORMAT_VERSION
from plait.store.opening import Segment
from plait.store.reader import Snapshot, open_snapshot
from plait.store.rescue import RepairReport, repair
from plait.store.retraining import retrain
from plait.store.stats import IndexStats, stats
from plait.store.transaction import Transactions
from plait.store.verification import Problem, verify
from plait.store.writer import IndexWriter, WriteOptions, writing

__all__ = [
    "FORMAT_VERSION",
    "Catalog",
    "CompactionReport",
    "Current",
    "IndexStats",
    "IndexWriter",
    "Problem",
    "RepairReport",
    "Segment",
    "Snapshot",
    "Transactions",
    "WriteOptions",
    "add_part",
    "backup",
    "compact",
    "create_catalog",
    "due",
    "merge",
    "nameable",
    "open_snapshot",
    "repair",
    "retrain",
    "shrink",
    "stats",
    "verify",
    "writing",
]
