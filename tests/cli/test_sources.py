"""The commands take networks of timm, torchvision and transformers with their data, from measuring to a budget."""

import pyarrow.parquet as pq
import pytest
import timm
import torch
from safetensors.torch import save_file

from safer_bench.cli.options import NetworkOptions
from safer_bench.dataset.tree import load_tree
from safer_bench.errors import BadInput
from safer_bench.networks.loading import load_network
from tests.made_up import foreign
from tests.made_up.foreign import image_classifier, image_folder, learn, sentences, train


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A small ViT on a folder of images, of classes without names: the words that say so to every command."""
    root = tmp_path_factory.mktemp("given")
    folder, model = image_folder(root / "pets", n=50, size=16), image_classifier(root / "vit", ("LABEL_0", "LABEL_1"))
    learn(load_network(f"transformers:{model}", data=f"imagefolder:{folder}", examples_from=100), model)
    chosen = ("--data", f"imagefolder:{folder}", "--examples-from", "70", "--calibration", "20")
    return ("--network", f"transformers:{model}", *chosen)


def whole_path(cli, given, folder, *criteria, workers=1):
    """Measure, score, pack, evaluate, verify and spend a budget on a network; return its row of the tree."""
    run, scores, tree = (folder / name for name in ("run", "scores", "tree"))
    some = ("--perturbation", "quantize:2,4")
    for words in (
        ("measure", *given, *some, "--deterministic-examples", 20, "--workers", workers, "--out", run),
        ("score", *criteria, *given, "--out", scores),
        ("pack", run, "--scores", scores, "--out", tree),
        ("evaluate", "--truth", tree, "--out", folder / "board"),
        ("verify", tree, *given, "--rows", 3),
        (
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
            folder / "b",
        ),
    ):
        ran = cli(*words)
        assert ran.code == 0, f"{words}: {ran.out}{ran.err}"
        assert words[0] != "verify" or ran.out.endswith("3 of 3 rows equal\n"), ran.out
    return load_tree(tree)["networks"].to_pylist()[0]


@pytest.mark.long
def test_an_engineers_whole_path_of_images(cli, given, tmp_path, caplog):
    row = whole_path(cli, given, tmp_path, "l2_norm", "snip", workers=2)
    assert (row["network"], row["n_examples"], row["family"]) == ("transformers-vit-imagefolder-pets", 70, "vit")
    assert [message for message in caplog.messages if "are taken for cat, dog" in message]


@pytest.mark.long
def test_an_engineers_whole_path_of_a_network_of_timm(cli, given, tmp_path):
    torch.manual_seed(1)
    checkpoint = tmp_path / "best.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), checkpoint)
    named = ("--network", f"timm:test_resnet@{checkpoint}", *given[2:])
    network = load_network(named[1], data=given[3], examples_from=70)
    train(network)
    save_file(network.model.eval().state_dict(), checkpoint)
    row = whole_path(cli, named, tmp_path, "l2_norm")
    assert row["network"] == "timm-test_resnet-best-imagefolder-pets"
    results = pq.read_table(tmp_path / "b" / "budget_results-quantize.parquet").to_pylist()
    assert {row["network"] for row in results} == {"timm-test_resnet-best-imagefolder-pets"}
    assert {row["n_examples"] for row in results} == {50}


@pytest.mark.long
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


@pytest.mark.parametrize("make", [pytest.param(foreign.language_model, marks=pytest.mark.long), foreign.text_classifier])
def test_an_engineers_whole_path_of_texts(cli, tmp_path, make):
    texts, labels = sentences(100)
    rows = texts if make is foreign.language_model else list(zip(texts, labels, strict=True))
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "other.py").write_text(f"rows = {rows!r}")
    chosen = ("--data", f"{tmp_path / 'mine.py'}:texts", "--calibration", 20, "--name", "mine")
    given = ("--network", f"transformers:{make(tmp_path / 'model')}", *chosen)
    learn(load_network(given[1], data=given[3], calibration=20), tmp_path / "model")
    row = whole_path(cli, given, tmp_path, "l2_norm", "gradient_norm")
    assert (row["network"], row["n_examples"]) == ("mine", 80)
    assert (
        row["n_answers"] == 80
        if make is foreign.text_classifier
        else row["n_answers"] == sum(row["answers_of_example"]) > 240
    )
    (tmp_path / "other.py").write_text(f"rows = {rows!r}  # edited")
    assert "other.py" in cli("measure", *given, "--perturbation", "quantize:2,4", "--out", tmp_path / "run").err


@pytest.mark.parametrize(
    ("options", "specs", "message"),
    [
        (NetworkOptions(calibration=3), ["digits_mlp"], "--calibration is for networks of timm:, torchvision: and transformers:; found digits_mlp"),
        (NetworkOptions("hub:x", name="a"), ["timm:x", "timm:y"], "--name a: names one network; found timm:x, timm:y: name each by a run of its own"),
        (NetworkOptions(fold=True), [], "--fold: which network? Name it by --network"),
        (NetworkOptions(data_seed=1), [], "--data-seed is for networks of timm:, torchvision: and transformers:; found none"),
    ],
)  # fmt: skip
def test_options_that_say_nothing_are_refused(options, specs, message):
    with pytest.raises(BadInput) as error:
        options.load(specs)
    assert str(error.value) == message


def test_networks_of_the_zoo_stand_beside_those_of_sources(given):
    options = NetworkOptions(given[3], examples_from=20, calibration=10)
    zoo, other = options.load(["digits_mlp", given[1]])
    assert zoo.weights_sha256 == load_network("digits_mlp").weights_sha256
    assert len(other.labels) == 20
