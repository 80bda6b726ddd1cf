"""Networks and data as other people have them: folders of images, checkpoints, tokenizers, models of transformers."""

import json

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

WORDS = ("good", "fine", "bad", "poor", "film", "book", "a", "the", "is", "was", "very", "not")


def image_folder(root, classes=("cat", "dog"), n=12, size=24):
    """Write a folder of PNGs for each class; those of a class are alike in their colour."""
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(0, 256, (size, size, 3)) // 3
            pixels[..., number % 3] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i:03}.png")
    return root


def word_tokenizer(padding="[PAD]", **settings):
    """Return a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(("[PAD]", "[UNK]", "[EOS]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[EOS]", pad_token=padding, model_max_length=16, **settings
    )


def text_classifier(folder, tokenizer=None, **settings):
    """Write a small BERT for two classes, bad and good, with a tokenizer."""
    from transformers import BertConfig, BertForSequenceClassification

    labels = {0: "bad", 1: "good"}
    config = BertConfig(
        **{"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        | {"max_position_embeddings": 16, "id2label": labels, "label2id": {name: number for number, name in labels.items()}}
        | settings
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    (tokenizer or word_tokenizer()).save_pretrained(folder)
    return folder


def language_model(folder, tokenizer=None, **settings):
    """Write a small Llama with a tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = LlamaConfig(**sizes | {"max_position_embeddings": 16, "pad_token_id": None, "eos_token_id": 2} | settings)
    LlamaForCausalLM(config).save_pretrained(folder)
    (tokenizer or word_tokenizer(padding=None)).save_pretrained(folder)
    return folder


def image_classifier(folder, names=("cat", "dog"), size=32):
    """Write a small ViT with an image processor."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=size,
        patch_size=8,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )
    ViTForImageClassification(config).save_pretrained(folder)
    mean = [0.5, 0.5, 0.5]
    settings = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": size, "width": size}}
    settings |= {"do_normalize": True, "do_rescale": True, "image_mean": mean, "image_std": mean, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def learn(network, folder):
    """Train a model of transformers for a moment and save it."""
    train(network)
    network.model.save_pretrained(folder)


def train(network):
    """Train a model for a moment: what is right by chance has no accuracy to lose."""
    optimizer = torch.optim.Adam(network.model.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(network.model(network.inputs), network.labels).backward()
        optimizer.step()


def sentences(n=40):
    """Return different texts of 4 to 9 words with the class of each: 0 bad, 1 good."""
    random = np.random.default_rng(1)
    rows = {}
    while len(rows) < n:
        label = int(random.integers(2))
        extra = random.choice(("very", "the", "a"), size=random.integers(0, 6))
        noun, word = random.choice(("film", "book")), random.choice((("bad", "poor"), ("good", "fine"))[label])
        rows[" ".join(("the", noun, "is", *extra, word))] = label
    return list(rows), list(rows.values())


def text_dataset(folder, names=("bad", "good"), split="train", n=40):
    """Write a dataset of texts and classes as Parquet, as the Hub holds it."""
    from datasets import ClassLabel, Dataset, Features, Value

    texts, labels = sentences(n)
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(names))})
    folder.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict({"text": texts, "label": labels}, features=features).to_parquet(
        folder / f"{split}-00000-of-00001.parquet"
    )
    return folder
