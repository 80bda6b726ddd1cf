"""The commands take networks of timm, torchvision and transformers with their data, from measuring to a budget."""

import pytest

from safer_bench.cli.options import DataOptions
from safer_bench.dataset.tree import load_tree
from safer_bench.errors import BadInput
from safer_bench.networks.loading import load_network
from tests.made_up import foreign
from tests.made_up.foreign import image_classifier, image_folder, learn, sentences


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A small ViT on a folder of images, of classes without names: the words that say so to every command."""
    root = tmp_path_factory.mktemp("given")
    folder, model = image_folder(root / "pets", n=50, size=16), image_classifier(root / "vit", ("LABEL_0", "LABEL_1"))
    learn(load_network(f"transformers:{model}", data=f"imagefolder:{folder}", examples_from=100), model)
    chosen = ("--data", f"imagefolder:{folder}", "--examples-from", "70", "--calibration", "20")
    return ("--network", f"transformers:{model}", *chosen)


def test_an_engineers_whole_path(cli, given, tmp_path, caplog):
    run, scores, tree, board = (tmp_path / name for name in ("run", "scores", "tree", "board"))
    measured = cli(
        "measure", *given, "--perturbation", "quantize:2,4", "--deterministic-examples", 20, "--workers", 2, "--out", run
    )
    assert measured.code == 0, measured.err
    assert [message for message in caplog.messages if "are taken for cat, dog" in message]
    assert cli("score", "l2_norm", "snip", *given, "--perturbation", "quantize:2,4", "--out", scores).code == 0
    assert cli("pack", run, "--scores", scores, "--out", tree).code == 0
    network = load_tree(tree)["networks"].to_pylist()[0]
    assert network["network"] == "transformers-vit-imagefolder-pets"
    assert (network["n_examples"], network["family"]) == (70, "vit")
    assert cli("evaluate", "--truth", tree, "--out", board).code == 0
    verified = cli("verify", tree, *given, "--rows", 3)
    assert verified.out.endswith("3 of 3 rows equal\n"), verified.out
    budget = cli(
        "budget",
        "--task",
        "quantize",
        *given,
        "--truth",
        tree,
        "--submission",
        scores,
        "--budget",
        4,
        "--out",
        tmp_path / "b",
    )
    assert budget.code == 0, budget.err


def test_a_run_goes_on_with_the_same_examples_alone(cli, given, tmp_path):
    words = ("measure", *given, "--perturbation", "quantize:2", "--deterministic-examples", 10, "--out", tmp_path / "run")
    first = cli(*words)
    assert first.code == cli(*words).code == 0
    other = cli(*words, "--data-seed", 1)
    assert other.code == 2
    assert "inputs" in other.err


MINE = """
from other import rows


def texts():
    return rows
"""


@pytest.mark.parametrize("make", [foreign.language_model, foreign.text_classifier])
def test_texts_of_a_users_function(cli, tmp_path, make):
    texts, labels = sentences()
    rows = texts if make is foreign.language_model else list(zip(texts, labels, strict=True))
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "other.py").write_text(f"rows = {rows!r}")
    given = (
        "--network",
        f"transformers:{make(tmp_path / 'model')}",
        "--data",
        f"{tmp_path / 'mine.py'}:texts",
        "--name",
        "mine",
    )
    learn(load_network(given[1], data=given[3]), tmp_path / "model")
    words = ("measure", *given, "--perturbation", "quantize:3,6", "--out", tmp_path / "run")
    ran = cli(*words)
    assert ran.code == 0, ran.err
    assert cli("score", "l2_norm", "gradient_norm", *given, "--out", tmp_path / "scores").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
    verified = cli("verify", tmp_path / "tree", *given, "--rows", 3)
    assert verified.out.endswith("3 of 3 rows equal\n"), verified.out
    (tmp_path / "other.py").write_text(f"rows = {rows!r}  # edited")
    assert "other.py" in cli(*words).err


@pytest.mark.parametrize(
    ("options", "specs", "message"),
    [
        (DataOptions(calibration=3), ["digits_mlp"], "--calibration is for networks of timm:, torchvision: and transformers:; found digits_mlp"),
        (DataOptions("hub:x", name="a"), ["timm:x", "timm:y"], "--name a: names one network; found timm:x, timm:y: name each by a run of its own"),
        (DataOptions(data_seed=1), [], "--data-seed is for networks of timm:, torchvision: and transformers:; found none"),
    ],
)  # fmt: skip
def test_options_that_say_nothing_are_refused(options, specs, message):
    with pytest.raises(BadInput) as error:
        options.load(specs, None)
    assert str(error.value) == message


def test_networks_of_the_zoo_stand_beside_those_of_sources(given):
    options = DataOptions(given[3], examples_from=20, calibration=10)
    zoo, other = options.load(["digits_mlp", given[1]], None)
    assert zoo.weights_sha256 == load_network("digits_mlp").weights_sha256
    assert len(other.labels) == 20
