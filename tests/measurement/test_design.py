"""How often what is drawn, and on which examples."""

import pytest

from safer_bench.dataset.pack import pack
from safer_bench.dataset.tree import load_tree
from safer_bench.measurement.design import DRAWS, Design, make_protocol
from safer_bench.measurement.measure import measure
from safer_bench.measurement.run import measure_into
from safer_bench.networks.network import Network
from safer_bench.truth.run_folder import RunFolder
from safer_bench.truth.slices import EXAMPLES
from tests.made_up.cases import first_by_default
from tests.made_up.networks import tiny_network
from tests.made_up.run_folders import as_before

SPECS = ["sign_flip:0.5", "gradient_corruption_l2:1", "quantize:2"]


def small(n_images):
    """Return the tiny network on its first evaluation examples."""
    tiny = tiny_network()
    return Network(tiny.model, tiny.inputs[:n_images], tiny.labels[:n_images], name="small", calibration=tiny.calibration)


def test_the_default_is_32_draws_of_60_examples_and_all_examples_where_there_is_one_draw():
    assert (DRAWS, EXAMPLES) == (32, 60)
    protocol = make_protocol(SPECS)
    draws = {entry.name: protocol.draws_of("any", entry, levels[0]) for entry, levels in protocol.perturbations}
    assert draws == {"sign_flip": range(32), "gradient_corruption_l2": range(20), "quantize": range(1)}


@pytest.mark.parametrize(
    ("given", "random", "deterministic"),
    [
        ({}, 60, 60),
        ({"examples": 25}, 25, 25),
        ({"examples": 25, "deterministic_examples": 40}, 25, 40),
        ({"deterministic_examples": 40}, 60, 40),
        ({"examples": 99}, 60, 60),
    ],
)
def test_a_number_of_examples_bounds_all_perturbations_unless_deterministic_ones_have_their_own(
    given, random, deterministic
):
    table = measure(tiny_network(), ["sign_flip:0.5", "quantize:2"], **given).to_pylist()
    seen = {(row["perturbation"], row["draw"]): (row["example_start"], row["n_examples"]) for row in table}
    expected = {("sign_flip", draw): (draw % (60 // random) * random, random) for draw in range(32)}
    assert seen == expected | {("quantize", 0): (0, deterministic)}


@pytest.mark.parametrize(("n_images", "slices"), [(60, [(0, 60)]), (59, [(0, 59)]), (20, [(0, 20)])])
def test_a_network_of_fewer_examples_shows_all(n_images, slices):
    assert Design(small(n_images), make_protocol(SPECS)).slices == slices


@pytest.mark.parametrize(
    ("first", "expected"), [(0, (32, 20, 1)), (4, (32, 16, 0)), (19, (32, 1, 0)), (20, (32, 0, 0)), (32, (32, 0, 0))]
)
def test_further_draws_are_as_many_as_there_are(first, expected):
    protocol = make_protocol(SPECS, first_draw=first)
    draws = [protocol.draws_of("any", entry, levels[0]) for entry, levels in protocol.perturbations]
    assert tuple(map(len, draws)) == expected
    assert all(each.start == first for each in draws if len(each))


@pytest.mark.parametrize(
    ("more", "n"), first_by_default([({"deterministic_examples": 35}, 35), ({}, 60), ({"deterministic_examples": 20}, 20)])
)
def test_slices_that_begin_alike_are_told_apart(tmp_path, more, n):
    """Slices were once known by their first example alone, and all of one size."""
    protocol = make_protocol(SPECS, n_examples=20, **more)

    def stop(what, done, total):
        if done / total > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_into(tmp_path / "run", [tiny_network()], protocol, stop)
    assert measure_into(tmp_path / "run", [tiny_network()], protocol) == 3 * (32 + 20 + 1)
    run = RunFolder(tmp_path / "run")
    assert {unit.slice for unit in run.units()} == {(0, 20), (20, 20), (40, 20), (0, n)}
    seen = {(row["perturbation"], row["n_examples"]) for row in run.probes().to_pylist()}
    assert seen == {("sign_flip", 20), ("gradient_corruption_l2", 20), ("quantize", n)}
    pack([tmp_path / "run"], [], tmp_path / "tree")
    tree = load_tree(tmp_path / "tree")
    measured = measure(tiny_network(), SPECS, examples=20, deterministic_examples=n)
    assert tree["layer_drops"].equals(measured)
    draws = {(row["perturbation"], row["draws"]) for row in tree["cells"].to_pylist()}
    assert draws == {("sign_flip", 32), ("gradient_corruption_l2", 20), ("quantize", 1)}


@pytest.mark.parametrize("specs", first_by_default([["sign_flip:0.5", "quantize:2"], ["sign_flip:0.5"], ["quantize:2"]]))
def test_a_folder_of_all_examples_of_before_goes_on(tmp_path, specs):
    """Then a probe saw all examples where no number was given: no default of today."""
    measure_into(tmp_path, [tiny_network()], make_protocol(specs, 2, None))
    as_before(tmp_path)
    before = sorted(path.name for path in tmp_path.glob("parts/*/*"))
    assert all(name.startswith("000000-000") and name.count("-") == 1 for name in before)
    next(tmp_path.glob("parts/*/000000-0001.*")).unlink()
    measure_into(tmp_path, [tiny_network()], make_protocol(specs, 2))
    after = [path.name.split(".")[0] for path in tmp_path.glob("parts/*/*")]
    assert sorted(after) == ["000000-0000", "000000-000060-0001", "000000-0002"]
    assert RunFolder(tmp_path).probes().num_rows == 3 * sum(2 if "flip" in spec else 1 for spec in specs)


def test_a_folder_of_deterministic_perturbations_goes_on_whatever_is_said_of_draws(tmp_path):
    measure_into(tmp_path, [tiny_network()], make_protocol(["quantize:2"], 1, 20, deterministic_examples=20))
    as_before(tmp_path)
    next(tmp_path.glob("parts/*/000000-0001.*")).unlink()
    assert measure_into(tmp_path, [tiny_network()], make_protocol(["quantize:2"], deterministic_examples=20)) == 3
    assert RunFolder(tmp_path).probes().num_rows == 3


def test_a_damaged_part_of_before_gives_way(tmp_path):
    measure_into(tmp_path, [tiny_network()], make_protocol(["quantize:2"]))
    as_before(tmp_path)
    part = next(tmp_path.glob("parts/*/000000-0001.*"))
    part.write_bytes(part.read_bytes()[:-9])
    measure_into(tmp_path, [tiny_network()], make_protocol(["quantize:2"]))
    assert not part.exists()
    assert len(list(tmp_path.glob("parts/*/*"))) == 3
