"""Judge rankings: relevance judgements (qrels) + a run -> figures, tests of them, and what lies behind them.

The conventions are those of trec_eval. A judged query without results counts as 0; a query without judgements
is left out. Documents are ranked by their score as a 32-bit float, highest first, and equal scores by id in
*descending* order, whatever ranks the run states. A document without judgement is not relevant; relevant
means a judgement of at least 1; nDCG's gain is the judgement itself (negative ones gain nothing).
"""

from plait.evaluate.differences import (
    Change,
    Comparison,
    Move,
    changed_queries,
    compare_runs,
    compare_values,
    compare_with_baseline,
)
from plait.evaluate.files import (
    judged_queries,
    read_qrels,
    read_run,
    run_of,
    write_beir,
    write_qrels,
    write_query_values,
    write_run,
)
from plait.evaluate.metrics import DEFAULT_METRICS, Qrels, Run, depth, evaluate, evaluate_queries
from plait.evaluate.significance import bootstrap_interval, holm, permutation_test

__all__ = [
    "DEFAULT_METRICS",
    "Change",
    "Comparison",
    "Move",
    "Qrels",
    "Run",
    "bootstrap_interval",
    "changed_queries",
    "compare_runs",
    "compare_values",
    "compare_with_baseline",
    "depth",
    "evaluate",
    "evaluate_queries",
    "holm",
    "judged_queries",
    "permutation_test",
    "read_qrels",
    "read_run",
    "run_of",
    "write_beir",
    "write_qrels",
    "write_query_values",
    "write_run",
]
