"""The benchmark of hundreds of submissions makes what it says."""

import numpy as np

from benchmarks.evaluation import LEVELS, TRUTH, made_up_scores, made_up_truth, time_evaluation
from safer_bench.judging import METRICS
from safer_bench.tables import files
from safer_bench.tables.controls import FROM_TABLES


def test_made_up_submissions_are_judged_in_every_cell_and_timed(tmp_path):
    rng = np.random.default_rng(0)
    truth = made_up_truth(3, 2, rng)
    for name, table in {**truth, "scores": made_up_scores(truth, 2, 1, rng)}.items():
        files.write_bytes(tmp_path / f"{name}.parquet", files.parquet_bytes(table))
    assert set(truth) == set(TRUTH)
    used = time_evaluation(tmp_path)
    n_cells, n_halved = 3 * 2 * (1 + len(LEVELS)), len(METRICS) - 2  # protected gains need both halves
    assert used["rows"] == (3 + len(FROM_TABLES)) * n_cells * len(METRICS) + 2 * n_cells * n_halved
    assert used["processor"] > 0
    assert used["page_MB"] >= used["MB"] > 50
    assert (tmp_path / "board" / "leaderboard.html").is_file()
