"""Models of transformers from a folder: text and image classifiers, language models; their own tokenizer or processor."""

import json
import logging

import pytest
import torch
import transformers

from safer_bench.errors import BadInput, MissingData
from safer_bench.measurement.answers.canonical import check_answers
from safer_bench.networks.loading import load_network
from safer_bench.networks.sources.parts import choose
from tests.made_up import foreign
from tests.made_up.foreign import image_folder, sentences, text_dataset, word_tokenizer

TEXTS = """
def pairs():
    return list(zip(*{pairs!r}))


def texts():
    return {texts!r}
"""


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(TEXTS.format(pairs=sentences(), texts=sentences()[0]))
    return path


def test_a_text_classifier_by_its_own_tokenizer(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder, data = foreign.text_classifier(tmp_path / "bert"), text_dataset(tmp_path / "rows", ("good", "bad"))
    network = load_network(f"transformers:{folder}", data=f"hub:{data}", examples_from=30, calibration=10)
    assert network.name == "transformers-bert-hub-rows"
    rows, labels = sentences()
    chosen = choose(40, 30, 10, 0, "")[0]
    assert network.labels.tolist() == [1 - labels[row] for row in chosen], "by name: the head's good is 1, the data's 0"
    longest = max(map(len, map(str.split, rows)))
    expected = word_tokenizer()([rows[row] for row in chosen], padding="max_length", max_length=longest, return_tensors="pt")
    assert torch.equal(network.inputs.kwargs["input_ids"], expected["input_ids"])
    assert torch.equal(network.inputs.kwargs["attention_mask"], expected["attention_mask"])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert torch.equal(network.model(network.inputs), model(**expected).logits)


def test_a_language_model_is_judged_by_the_next_token(tmp_path, texts):
    folder = foreign.language_model(tmp_path / "llama")
    network = load_network(f"transformers:{folder}", data=f"{texts}:texts", examples_from=30, calibration=10)
    rows = sentences()[0]
    lengths = [len(rows[row].split()) for row in choose(40, 30, 10, 0, "")[0]]
    assert network.n_answers.tolist() == [length - 1 for length in lengths]
    ids, labels = network.inputs.kwargs["input_ids"], network.labels
    for row, length in enumerate(lengths):
        assert labels[row, : length - 1].tolist() == ids[row, 1:length].tolist()
        assert set(labels[row, length - 1 :].tolist()) == {-100}
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    alone = model(input_ids=ids[:1, : lengths[0]]).logits
    assert torch.allclose(network.model(network.inputs[:1])[:, :, : lengths[0]].movedim(1, -1), alone, atol=1e-6)


def test_an_image_classifier_by_its_own_processor(tmp_path):
    folder, data = foreign.image_classifier(tmp_path / "vit", ("dog", "cat")), image_folder(tmp_path / "pets", n=4)
    network = load_network(f"transformers:{folder}", data=f"imagefolder:{data}", calibration=2)
    names = [path.parent.name for path in sorted(data.rglob("*.png"))]
    assert network.labels.tolist() == [int(names[row] == "cat") for row in choose(8, None, 2, 0, "")[0]]
    assert network.inputs.kwargs["pixel_values"].shape == (6, 3, 32, 32)
    assert -1 <= float(network.inputs.kwargs["pixel_values"].min()) < 0


def test_random_weights_need_a_config_alone(tmp_path, texts):
    folder = foreign.text_classifier(tmp_path / "bert")
    (folder / "model.safetensors").unlink()
    first, again, other = (load_network(f"transformers:{folder}@random:{seed}", data=f"{texts}:pairs") for seed in (0, 0, 1))
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256


def test_half_precision_is_said(tmp_path, texts, caplog):
    folder = foreign.text_classifier(tmp_path / "bert")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).bfloat16()
    model.save_pretrained(folder)
    with caplog.at_level(logging.WARNING):
        network = load_network(f"transformers:{folder}", data=f"{texts}:pairs")
    said_by_us = [each.getMessage() for each in caplog.records if each.name.startswith("safer_bench")]
    assert said_by_us == ["transformers:bert: weights in bfloat16 are read as the float32 numbers that they are"]
    assert torch.equal(network.model.state_dict()["classifier.weight"], model.classifier.weight.float())


def said(kind, spec, data):
    with pytest.raises(kind) as error:
        load_network(spec, data=data)
    return str(error.value)


def test_what_a_tokenizer_cannot_do_is_named(tmp_path, texts):
    folder = foreign.text_classifier(tmp_path / "bert", word_tokenizer(padding=None))
    assert said(BadInput, f"transformers:{folder}", f"{texts}:pairs") == (
        "transformers:bert: its tokenizer has no padding token, and texts of several lengths stand in one batch; set "
        "tokenizer.pad_token and the model's config.pad_token_id to what it was trained with, and save_pretrained both"
    )


def test_texts_that_are_too_long_or_none_are_named(tmp_path, texts):
    folder = foreign.language_model(tmp_path / "llama")
    texts.write_text(f"def long():\n    return {['a ' * 3, 'a ' * 17]!r}\ndef short():\n    return ['a', 'b', 'c', 'the']\n"
                     "def none():\n    return ['a the', '']\n")  # fmt: skip
    assert said(BadInput, f"transformers:{folder}", f"{texts}:long") == (
        f"{texts}:long, example 1: 17 tokens, the model takes 16; expected shorter texts: cut them in a FILE.py:FUNC that gives "
        "the data"
    )
    assert said(BadInput, f"transformers:{folder}", f"{texts}:short") == (
        "transformers:llama: all positions are -100, as no text has a second token to predict; expected longer texts"
    )
    assert said(BadInput, f"transformers:{folder}", f"{texts}:none") == (
        f"{texts}:none, example 1: no token; expected a text: leave it out in a FILE.py:FUNC that gives the data"
    )


def test_another_kind_of_model_and_other_weights_are_named(tmp_path, texts):
    folder = foreign.text_classifier(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    assert said(BadInput, f"transformers:{folder}", f"{texts}:pairs") == (
        "transformers:bert: its config names the architecture BertModel, which gives no logits of those; expected models for "
        "sequence classification, image classification or causal language modelling"
    )
    transformers.BertModel(transformers.BertConfig(**config)).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    assert said(BadInput, f"transformers:{folder}", f"{texts}:pairs") == (
        "transformers:bert: its weights are of another architecture: they lack classifier.bias (2 tensors); expected those of "
        "BertForSequenceClassification"
    )
    assert said(BadInput, f"transformers:{folder}@random:0", f"{texts}:texts") == (
        f"{texts}:texts: holds no labels; expected the class of each example, which transformers:bert is judged by"
    )
    (folder / "config.json").unlink()
    assert said(BadInput, f"transformers:{folder}", f"{texts}:pairs").startswith(
        "transformers:bert: no config in that folder ("
    )
    assert said(MissingData, "transformers:nobody/nothing", f"{texts}:pairs").startswith(
        "transformers:nobody/nothing: its config is not on this machine and could not be fetched ("
    )
    assert said(BadInput, f"transformers:bert@{folder / 'a.pt'}", f"{texts}:pairs") == (
        f"transformers:bert: found checkpoint '{folder}/a.pt'; expected a folder that save_pretrained wrote, which holds it"
    )


def test_a_classifier_that_reads_left_to_right_answers_at_the_last_token(tmp_path, texts):
    config = transformers.GPT2Config(
        vocab_size=16, n_embd=16, n_layer=1, n_head=2, n_positions=16, num_labels=2, bos_token_id=2, eos_token_id=2
    )
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path / "gpt")
    word_tokenizer().save_pretrained(tmp_path / "gpt")
    network = load_network(f"transformers:{tmp_path / 'gpt'}", data=f"{texts}:pairs", examples_from=8, calibration=0)
    model = transformers.GPT2ForSequenceClassification.from_pretrained(tmp_path / "gpt").eval()
    answers = network.model(network.inputs)
    for row, mask in enumerate(network.inputs.kwargs["attention_mask"]):
        alone = model(input_ids=network.inputs.kwargs["input_ids"][row : row + 1, : int(mask.sum())]).logits
        assert torch.allclose(answers[row], alone[0], atol=1e-6)


def test_a_text_of_two_parts_is_a_pair(tmp_path, texts):
    texts.write_text(
        "def pairs():\n    return [(('the film', 'is good'), 1), (('a book', 'was bad'), 0), (('a', 'the'), 1)]\n"
    )
    folder = foreign.text_classifier(tmp_path / "bert")
    network = load_network(f"transformers:{folder}", data=f"{texts}:pairs", calibration=0)
    assert network.inputs.kwargs["attention_mask"].sum(1).sort().values.tolist() == [2, 4, 4]


def test_a_mixture_of_experts_runs_in_float64(tmp_path, texts):
    sizes = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.MixtralConfig(**sizes, num_key_value_heads=2, num_local_experts=2, max_position_embeddings=16)
    transformers.MixtralForCausalLM(config).save_pretrained(tmp_path / "moe")
    word_tokenizer(padding=None).save_pretrained(tmp_path / "moe")
    network = load_network(f"transformers:{tmp_path}/moe", data=f"{texts}:texts", examples_from=30, calibration=10)
    check_answers(network)
    assert "model.layers.0.mlp.experts.gate_up_proj" in [layer.name for layer in network.layers]
