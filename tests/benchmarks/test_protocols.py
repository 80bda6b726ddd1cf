"""The table of protocols: areas and reliabilities are those of the truth, ratios those of both measurements."""

import numpy as np
import pytest
from scipy import stats

import safer_bench as sb
from benchmarks.protocols import SLICES, Measurement, lines, measured
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.networks.examples import largest_class
from safer_bench.truth.run_folder import TABLES, RunFolder
from safer_bench.truth.summarise import summarise
from tests.made_up.networks import tiny_network


def test_areas_and_reliabilities_are_those_of_a_run_and_the_table(tmp_path):
    network, spec = tiny_network(), "gaussian_noise:0.5,2"
    found = measured(network, [spec], 4, 15, seed=1)
    drops = sb.measure(network, spec, draws=4, examples=15, seed=1).to_pylist()
    right = sum({row["example_start"]: row["correct_clean"] for row in drops}.values())
    layers = sorted(layer.name for layer in network.layers)
    by_hand = [np.mean([row["accuracy_drop"] for row in drops if row["layer"] == name]) for name in layers]
    assert found.areas["gaussian_noise"] == pytest.approx(np.array(by_hand) / (right / 60 - largest_class(network.labels)))
    measure_into(tmp_path, [network], make_protocol([spec], 4, 15, seed=1))
    run = RunFolder(tmp_path)
    _, cells = summarise(run.probes(), *(run.table(name) for name in TABLES))
    expected = {row["perturbation"]: row["reliability"] for row in cells.to_pylist() if row["summary"] == "area"}
    assert found.reliabilities == expected
    assert set(found.seconds) == {SLICES, "gaussian_noise"}
    assert min(found.seconds.values()) > 0


def test_noise_is_the_ratio_of_squared_differences_and_time_that_of_seconds():
    rng = np.random.default_rng(3)
    areas = rng.random((2, 2, 8))  # (protocols, measurements, layers)
    pairs = [
        [
            Measurement({"a": areas[i, j]}, {"a": 0.5 + i / 10 + j / 100}, {SLICES: 1.0 + i, "a": 4.0 + 2 * i})
            for j in range(2)
        ]
        for i in range(2)
    ]
    row, slices, medians = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines("net", pairs))
    square = [np.mean((one - other) ** 2) for one, other in areas]
    agreement = [stats.spearmanr(one, other).statistic for one, other in areas]
    ratios = [f"{square[0] / square[1]:.2f}", "1.50", f"{square[0] / square[1] / 1.5:.2f}"]
    pair = lambda values, form: " / ".join(f"{value:{form}}" for value in values)  # noqa: E731
    assert row == ["net", "a", "0.505 / 0.605", pair(agreement, ".3f"), pair(np.sqrt(square), ".4f"), "4.0 / 6.0", *ratios]
    assert slices == ["net", SLICES, "", "", "", "1.0 / 2.0", "", "2.00", ""]
    assert medians[:4] == ["net", "medians, sum", "0.505 / 0.605", row[3]]
    assert medians[5:] == ["5.0 / 8.0", ratios[0], "1.60", f"{square[0] / square[1] / 1.6:.2f}"]
