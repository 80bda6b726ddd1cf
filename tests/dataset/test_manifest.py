"""The manifest and whatever else of a tree was damaged: one message, or the same result where nothing that is read was."""

import json
import random
import shutil
from dataclasses import dataclass

import pytest

from safer_bench.dataset.tree import load_tree, load_truth
from safer_bench.dataset.verify import problems
from safer_bench.errors import BadInput, SaferBenchError
from safer_bench.tables import files
from tests.made_up.mutations import mutations
from tests.made_up.trees import content


@pytest.fixture
def copy(small_tree, tmp_path):
    return shutil.copytree(small_tree.path, tmp_path / "tree")


def edit(copy, change):
    manifest = json.loads((copy / "manifest.json").read_text())
    change(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))


LAYERS = "layers/test-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["contents"].pop("layers"), f"files names {LAYERS!r}, a table that contents lacks".replace(LAYERS, "layers")),
        (lambda m: m["contents"].update(budget_results="0" * 64), "contents names 'budget_results', a table that has no file"),
        (lambda m: m["contents"].update(drops="0" * 64), "contents names 'drops', which is not a table"),
        (lambda m: m["files"].update({"../../x": "0" * 64}), "files.../../x: found '../../x'; expected text of the pattern"),
        (lambda m: m["files"].update({"/etc/passwd": "0" * 64}), "files./etc/passwd: found '/etc/passwd'; expected text of the pattern"),
        (lambda m: m["files"].update({"layers\\x": "0" * 64}), "files.layers\\\\x: found 'layers\\\\x'; expected text of the pattern"),
        (lambda m: m["files"].update({"README.md": "F" * 64}), "files.README.md: found "),
        (lambda m: m["contents"].update(layers=None), "contents.layers: found None; expected text"),
        (lambda m: m.update(seed="0"), "seed: found '0'; expected a whole number"),
        (lambda m: m.update(seed=True), "seed: found True; expected a whole number"),
        (lambda m: m.update(seed=2**70), "seed: found 1180591620717411303424; expected less than 9223372036854775808"),
        (lambda m: m.update(version="1.0"), "version: found '1.0'; expected text of the pattern"),
        (lambda m: m.update(version=1), "version: found 1; expected text"),
        (lambda m: m.update(newer=1), "newer is not a known field (found 1)"),
        (lambda m: m.pop("protocol"), "protocol is missing"),
        (lambda m: m.update(files={f"f{i}": "0" * 64 for i in range(10_001)}), "files: found "),
    ],
)  # fmt: skip
def test_what_a_manifest_says_is_checked_by_its_model(copy, change, said):
    edit(copy, change)
    with pytest.raises(BadInput) as error:
        load_tree(copy)
    assert str(error.value).startswith(f"{copy / 'manifest.json'}: {said}")
    assert str(error.value).endswith("; get the tree again")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda text: text.replace('"seed": 0', '"seed": 0, "seed": 1'), "damaged (key 'seed' is there twice)"),
        (lambda text: text.replace('"seed": 0', '"seed": NaN'), "damaged (NaN is not a JSON number)"),
        (lambda text: "[" * 100_000, "damaged (nested too deeply)"),
        (lambda text: text + " " * 2**20, " bytes, expected 1,048,576 at most"),
    ],
)
def test_a_manifest_is_read_within_bounds(copy, data, said):
    (copy / "manifest.json").write_text(data((copy / "manifest.json").read_text()))
    with pytest.raises(BadInput) as error:
        load_tree(copy)
    assert said in str(error.value)
    assert str(error.value).endswith("; get the tree again")


def test_a_table_that_is_gone_without_a_trace_fails_verify_and_pull(copy):
    for path in (copy / "losses").iterdir():
        edit(copy, lambda m, path=path: m["files"].pop(f"losses/{path.name}"))
    edit(copy, lambda m: m["contents"].pop("losses"))
    shutil.rmtree(copy / "losses")
    assert list(problems(load_tree(copy))) == ["losses: no such table, which every truth has"]


def test_another_protocol_is_told(copy):
    edit(copy, lambda m: m.update(protocol=2))
    assert list(problems(load_tree(copy))) == [
        "manifest.json: measured by protocol 2, expected 1: its rows cannot be measured again here"
    ]


def test_a_truth_is_never_named_by_a_hash_that_its_rows_do_not_have(copy, cli, tmp_path):
    edit(copy, lambda m: m["contents"].update(layer_drops="0" * 64))
    found = cli("evaluate", "--truth", copy, "--out", tmp_path / "board")
    said = f"{copy}: layer_drops: its rows differ from the manifest's content hash; get the tree again"
    assert (found.code, found.err) == (2, f"Error: {said}\n")


@dataclass(frozen=True)
class Damage:
    """A tree in which something differs; ``neutral``: nothing that a reader takes."""

    name: str
    path: str
    data: bytes
    neutral: bool = False


def damaged_json(tree, n):
    for path in ("manifest.json", "croissant.json"):
        for each in mutations((tree / path).read_bytes(), n):
            yield Damage(each.name, path, each.data, each.neutral and path == "manifest.json")


def damaged_tables(tree, n):
    """Yield Parquet files that are cut, flipped, of other rows, of another table or split."""
    rng = random.Random(0)
    names = sorted(name for name in content(tree) if name.endswith(".parquet"))
    for i in range(n):
        name = names[i % len(names)]
        data = (tree / name).read_bytes()
        at, other = rng.randrange(len(data)), rng.choice([each for each in names if each != name])
        kinds = (
            ("cut", data[:at]),
            ("flipped", data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]),
            ("fewer rows", files.parquet_bytes(files.read_parquet(data).slice(1))),
            ("other columns", files.parquet_bytes(files.read_parquet(data).drop_columns(["network"] if "network" in files.read_parquet(data).schema.names else []).append_column("x", [[0] * files.read_parquet(data).num_rows]))),
            (f"as {other}", (tree / other).read_bytes()),
        )  # fmt: skip
        kind, made = kinds[i % len(kinds)]
        yield Damage(f"{name} {kind}", name, made)


def told(action):
    """Return the message that an action ends with, or what it returns."""
    try:
        return action()
    except SaferBenchError as error:
        return error


def is_short(error):
    return "\n" not in str(error) and len(str(error)) < 1000


def survived(copy, cli, tmp_path, every, evaluate_each):
    """Hold each damage against ``load_tree``, ``load_truth``, ``verify`` and ``evaluate``; return how many were looked at."""
    rows = load_truth(copy)
    cli("evaluate", "--truth", copy, "--out", tmp_path / "board")
    board = content(tmp_path / "board")
    shutil.rmtree(tmp_path / "board")
    n = 0
    for each in every:
        path = copy / each.path
        before = path.read_bytes()
        path.write_bytes(each.data)
        read = told(lambda: load_truth(copy))
        assert is_short(read) if isinstance(read, SaferBenchError) else read.equals(rows), each.name
        found = told(lambda: list(problems(load_tree(copy))))
        seed_alone = each.path == "manifest.json" and only_the_seed(before, each.data)
        assert each.neutral or seed_alone or found, f"{each.path}: {each.name}: nobody says what is wrong"
        if n % evaluate_each == 0:
            ran = cli("evaluate", "--truth", copy, "--out", tmp_path / "board")
            assert (ran.code, ran.err.count("\n")) in ((2, 1), (0, 0)), f"{each.path}: {each.name}: {ran.err}"
            if ran.code == 0:
                assert content(tmp_path / "board") == board, each.name
                shutil.rmtree(tmp_path / "board")
            assert not (tmp_path / "board").exists()
        path.write_bytes(before)
        n += 1
    return n


def only_the_seed(before, after):
    """Tell whether a manifest is a good one of another seed: it is found when rows are measured again, and not before."""
    try:
        return json.loads(before) | {"seed": 0} == json.loads(after) | {"seed": 0}
    except (ValueError, TypeError, RecursionError):
        return False


def test_a_damaged_tree_is_told(copy, cli, tmp_path):
    assert survived(copy, cli, tmp_path, damaged_json(copy, 15), evaluate_each=10) == 30
    assert survived(copy, cli, tmp_path, damaged_tables(copy, 10), evaluate_each=5) == 10


@pytest.mark.long
@pytest.mark.timeout(900)
def test_trees_damaged_in_many_ways_are_told(copy, cli, tmp_path):
    assert survived(copy, cli, tmp_path, damaged_json(copy, 350), evaluate_each=25) == 700
    assert survived(copy, cli, tmp_path, damaged_tables(copy, 40), evaluate_each=8) == 40
