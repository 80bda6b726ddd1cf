"""Training repeats itself, resumes, and its weights are refused when they are not what the recipe says."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits

from safer_bench.errors import BadInput, MissingData
from safer_bench.networks import weights
from safer_bench.networks.loading import untrained_networks, zoo_networks
from safer_bench.networks.training import final
from safer_bench.networks.training.model_card import write_card
from safer_bench.networks.training.train import accuracy, augment, learning_rate, train
from safer_bench.networks.zoo.gated_conv import GatedConv
from tests.conftest import ROOT

SHORT = replace(zoo_networks()["digits_mlp"], recipe=replace(zoo_networks()["digits_mlp"].recipe, epochs=3))


def state(path, entry=SHORT):
    return weights.load_weights_file(path, entry.build(), entry.recipe.sha256).state_dict()


def equal(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path):
    first, again = (state(train(SHORT, tmp_path / name)) for name in ("a", "b"))
    assert equal(first, again)
    other = replace(SHORT, recipe=replace(SHORT.recipe, seed=1))
    assert not equal(first, state(train(other, tmp_path / "c"), other))


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SHORT, tmp_path / "cut", stop)
    epochs = []
    path = train(SHORT, tmp_path / "cut", lambda progress: epochs.append(progress.epoch))
    assert epochs == [2, 3]
    assert equal(state(path), state(train(SHORT, tmp_path / "whole")))
    assert [item.name for item in (tmp_path / "cut").iterdir()] == ["digits_mlp.safetensors"]


def test_two_trainings_of_one_network_in_one_folder_do_not_meet(tmp_path):
    def second(progress):
        with pytest.raises(
            BadInput, match=r"digits_mlp.safetensors: another command trains it; wait for it, or name another"
        ):
            train(SHORT, tmp_path)

    path = train(SHORT, tmp_path, second)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SHORT, tmp_path, stop)
    with pytest.raises(BadInput, match=r"digits_mlp.checkpoint: belongs to another recipe; remove it to start again"):
        train(replace(SHORT, recipe=replace(SHORT.recipe, epochs=4)), tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "digits_mlp.checkpoint").write_bytes(b"PK nothing")
    with pytest.raises(BadInput, match=r"digits_mlp.checkpoint: damaged \(\w+\); remove it to start again"):
        train(SHORT, tmp_path)


def test_the_committed_card_of_the_zoo_is_the_one_its_weights_render(tmp_path, monkeypatch):
    folder = ROOT / "data_cards" / "safer-bench-zoo"
    for path in folder.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    shutil.copy(folder / "test_accuracy.json", tmp_path)
    monkeypatch.setattr(final, "_measured", lambda *_: pytest.fail("a final accuracy is missing"))
    write_card(tmp_path)
    for name in ("README.md", "parts.json", "test_accuracy.json"):
        assert (tmp_path / name).read_text() == (folder / name).read_text(), name


def test_a_final_accuracy_is_measured_once_for_each_file_of_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("safer_bench.networks.training.train.load_part", small_part)
    monkeypatch.setattr(final, "load_part", small_part)
    path = train(SHORT, tmp_path)
    found = final.final_accuracies(tmp_path, [SHORT])
    share = accuracy(weights.load_weights_file(path, SHORT.build(), None).double(), small_part("", "", torch.float64))
    assert found["digits_mlp"]["n_correct"] == 2 * 128 * share
    assert found["digits_mlp"]["n_examples"] == 256
    assert json.loads((tmp_path / "test_accuracy.json").read_text()) == found
    with monkeypatch.context() as context:
        context.setattr(final, "_measured", lambda *_: pytest.fail("measured twice"))
        assert final.final_accuracies(tmp_path, [SHORT]) == found
    longer = replace(SHORT, recipe=replace(SHORT.recipe, epochs=4))
    train(longer, tmp_path)
    assert (
        final.final_accuracies(tmp_path, [longer])["digits_mlp"]["weights_sha256"] != found["digits_mlp"]["weights_sha256"]
    )


def text_part(_, part):
    """Return sequences in which the next byte is the one before it plus one."""
    starts = torch.arange(64 if part == "fit" else 32)[:, None] % 64
    inputs = starts + torch.arange(64)
    return inputs, inputs + 1


def test_a_language_model_is_trained_on_every_position_and_its_final_accuracy_is_of_answers(tmp_path, monkeypatch):
    monkeypatch.setattr("safer_bench.networks.training.train.load_part", text_part)
    monkeypatch.setattr(final, "load_part", text_part)
    entry = zoo_networks()["text_conv"]
    recipe = replace(entry.recipe, epochs=40, batch_size=16, peak_rate=0.02, bfloat16=False)
    entry = replace(entry, recipe=recipe, build=lambda: GatedConv(width=16, kernel=2, dilations=(1, 2)))
    log = []
    path = train(entry, tmp_path, log.append)
    assert log[0].loss > 3
    assert log[-1].accuracy > 0.95
    found = final.final_accuracies(tmp_path, [entry])["text_conv"]
    model = weights.load_weights_file(path, entry.build(), None).double()
    inputs, labels = text_part("", "evaluation")
    assert found["n_correct"] == 2 * int((model(inputs).argmax(-1) == labels).sum())
    assert (found["n_examples"], found["n_answers"]) == (64, 64 * 64)


def small_part(_, __, kind=torch.float32):
    """Return 128 digits, whatever part is asked for."""
    bunch = load_digits()
    return torch.tensor(bunch.images[:128, None], dtype=kind), torch.tensor(bunch.target[:128])


def test_untrained_networks_are_those_without_weights_of_their_recipe(tmp_path):
    everything = [entry.name for entry in zoo_networks().values() if entry.recipe]
    names = [entry.name for entry in untrained_networks(tmp_path)]
    assert sorted(names) == sorted(everything)
    entries = [zoo_networks()[name] for name in names]
    order = [(entry.role == "twin", entry.split == "test") for entry in entries]
    assert order == sorted(order)
    shutil.copy(weights.PACKAGED / "digits_mlp.safetensors", tmp_path)
    (tmp_path / "digits_vit.safetensors").write_bytes(b"damaged")
    train(replace(SHORT, name="digits_cnn"), tmp_path)  # of another recipe
    assert set(everything) - {entry.name for entry in untrained_networks(tmp_path)} == {"digits_mlp"}


def test_weights_of_another_recipe_are_refused(tmp_path):
    path = train(SHORT, tmp_path)
    with pytest.raises(BadInput) as error:
        weights.load_weights_file(path, SHORT.build(), "0" * 64)
    assert str(error.value) == (
        f"{path}: trained by recipe {SHORT.recipe.sha256[:16]}, expected 0000000000000000; train it again: "
        "safer-bench train digits_mlp"
    )


def test_damaged_weights_are_refused(tmp_path):
    path = train(SHORT, tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"damaged \(.*\); train it again: safer-bench train digits_mlp"):
        state(path)


def test_weights_of_another_network_are_refused(tmp_path):
    path = train(SHORT, tmp_path)
    with pytest.raises(BadInput, match="does not fit the network"):
        weights.load_weights_file(path, zoo_networks()["digits_cnn"].build(), SHORT.recipe.sha256)


def test_missing_weights_name_the_folders_and_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "PACKAGED", tmp_path)
    with pytest.raises(MissingData) as error:
        weights.weights_path("digits_mlp", "digits")
    assert str(error.value) == (
        f"no weights of 'digits_mlp': looked for digits_mlp.safetensors in {tmp_path}. Set SAFER_BENCH_ZOO to the folder "
        "that holds it, or train it: safer-bench train digits_mlp"
    )


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    recipe = SHORT.recipe
    rates = [learning_rate(recipe, step / 100) for step in range(101)]
    assert max(rates) == pytest.approx(recipe.peak_rate)
    assert rates.index(max(rates)) == 20
    assert rates[0] < 0.05 * recipe.peak_rate
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_augmentation_moves_and_mirrors_whole_images():
    recipe = replace(SHORT.recipe, shift=1, flip=True)
    image = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), value=1.0)
    moved = [padded[0, 0, i : i + 3, j : j + 3] for i in range(3) for j in range(3)]
    allowed = {tuple(m.flatten().tolist()) for m in moved} | {tuple(m.flip(1).flatten().tolist()) for m in moved}
    found = augment(image.expand(500, 1, 3, 3), recipe, torch.Generator().manual_seed(0))
    assert {tuple(item.flatten().tolist()) for item in found} == allowed
