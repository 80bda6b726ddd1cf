"""The table and the plot that end a run."""

import numpy as np
import pytest

from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.truth.fragile import AreaEstimates, Fragility, advice, cut, fragility, header, picture, rows
from safer_bench.truth.run_folder import RunFolder
from tests.made_up.networks import tiny_network


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fragile")
    measure_into(folder, [tiny_network()], make_protocol(["gaussian_noise:0.5,2", "quantize:2"], 4, 15))
    return folder, fragility(RunFolder(folder))[0]


def test_layers_come_most_fragile_first_with_the_mean_of_their_areas(found):
    folder, fragile = found
    assert (fragile.network, set(fragile.layers)) == ("tiny", {"conv", "hidden", "head"})
    assert list(fragile.overall.values) == sorted(fragile.overall.values, reverse=True)
    probes = RunFolder(folder).probes().to_pylist()
    clean = RunFolder(folder).table("networks").to_pylist()[0]
    above = clean["clean_correct"] / clean["n_examples"] - clean["chance_accuracy"]
    for i, layer in enumerate(fragile.layers):
        of_layer = [row for row in probes if row["layer"] == layer]
        mean = {
            key: np.mean([row["accuracy_drop"] for row in of_layer if (row["perturbation"], row["level"]) == key])
            for key in [("gaussian_noise", 0.5), ("gaussian_noise", 2.0), ("quantize", 2.0)]
        }
        noise = (mean["gaussian_noise", 0.5] + mean["gaussian_noise", 2.0]) / 2 / above
        assert fragile.by_perturbation["gaussian_noise"].values[i] == pytest.approx(noise)
        assert fragile.overall.values[i] == pytest.approx((noise + mean["quantize", 2.0] / above) / 2)


def test_intervals_are_students_and_missing_where_one_draw_cannot_tell(found, tmp_path):
    _, fragile = found
    noise = fragile.by_perturbation["gaussian_noise"]
    assert noise.halfwidths == pytest.approx(3.182446 * noise.errors, rel=1e-6)
    assert fragile.by_perturbation["quantize"].halfwidths == pytest.approx(
        1.959964 * fragile.by_perturbation["quantize"].errors, rel=1e-6
    )
    measure_into(tmp_path, [tiny_network()], make_protocol(["gaussian_noise:2"], 1, 15))
    (alone,) = fragility(RunFolder(tmp_path))
    assert np.isnan(alone.overall.errors).all()
    assert "±" not in "".join(cell for row in rows(alone) for cell in row)


def test_shares_are_of_all_parameters_of_the_network_also_of_those_that_are_no_layers(found):
    shares = dict(zip(found[1].layers, found[1].shares, strict=True))
    everything = 3 * 9 + 3 + 48 * 8 + 8 + 8 * 3 + 3
    assert shares == pytest.approx({"conv": 27 / everything, "hidden": 384 / everything, "head": 24 / everything})


def test_a_table_that_is_cut_says_so():
    many, all_shown = made([0.1] * 18, [0.01] * 18), made([0.1] * 15, [0.01] * 15)
    assert (len(rows(many)), cut(many)) == (15, "... 3 more, less fragile\n")
    assert (len(rows(all_shown)), cut(all_shown)) == (15, "")


def made(values, shares):
    values = np.array(values)
    estimate = AreaEstimates(values, np.full(len(values), 0.01), 3)
    names = tuple(f"layer{i}" for i in range(len(values)))
    return Fragility("net", names, np.array(shares), estimate, {"noise": estimate})


def test_the_advice_names_the_fewest_layers_that_hold_half_of_what_is_lost():
    assert advice(made([0.5, 0.3, 0.1, 0.1], [0.01, 0.01, 0.01, 0.9])) == (
        "Most fragile: layer0 (1 of 4 layers, 1.0% of all parameters): at least half of what all layers lose."
    )
    assert advice(made([0.4, 0.3, 0.2, 0.1], [0.01, 0.01, 0.01, 0.9])).startswith(
        "Most fragile: layer0, layer1 (2 of 4 layers, 2.0%"
    )
    assert advice(made([0.0, -0.1], [1, 1])) == ("net: no layer lost accuracy at these levels; measure more severe ones.")


def test_a_layer_is_not_called_fragile_where_the_draws_do_not_tell():
    noisy = AreaEstimates(np.array([0.3, 0.1]), np.array([0.4, 0.1]), 3)
    found = Fragility("net", ("a", "b"), np.array([0.5, 0.5]), noisy, {"noise": noisy})
    assert advice(found) == "net: no layer surely lost accuracy; measure more draws or examples, or more severe levels."
    one_draw = AreaEstimates(np.array([0.3, 0.1]), np.full(2, np.nan), 0)
    told = Fragility("net", ("a", "b"), np.array([0.5, 0.5]), one_draw, {"noise": one_draw})
    assert advice(told) == "net: a single draw does not tell which layers are fragile; measure more draws."


def test_the_advice_tells_of_the_next_layer_where_it_may_be_as_fragile():
    found = [made([0.3, drop], [0.1, 0.9]) for drop in (0.29, 0.2)]  # of which half the width is 0.032 each
    assert advice(found[0]).endswith("lose. The next, layer1, may be as fragile as the last of them.")
    assert advice(found[1]).endswith("at least half of what all layers lose.")


def test_no_interval_of_no_width_stands_where_nothing_changed():
    quiet = AreaEstimates(np.array([0.5, 0.0]), np.array([0.25, 0.0]), 3)
    assert [row[-1] for row in rows(Fragility("net", ("a", "b"), np.ones(2), quiet, {"noise": quiet}))] == [
        f"0.500 ± {quiet.halfwidths[0]:.3f}",
        "0.000",
    ]


def test_the_table_shows_shares_and_intervals():
    fragile = made([0.5, 0.25], [0.25, 0.5])
    assert header(fragile) == ["layer", "parameters", "mean", "noise"]
    assert rows(fragile, 1) == [["layer0", "25.0%", "0.500 ± 0.032", "0.500 ± 0.032"]]


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_plot_is_drawn(found, ending, begins):
    data = picture(found[1], f".{ending}")
    assert data.startswith(begins)
    assert len(data) > 5000
    if ending == "svg":
        assert all(f"<!-- {name} -->".encode() in data for name in ("conv", "hidden", "head", "gaussian_noise"))
