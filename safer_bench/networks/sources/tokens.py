"""Texts to token ids of one length, and the labels of a language model: each position's next token."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from safer_bench.errors import BadInput

NOT_COUNTED = -100
NO_LIMIT = 10**6  # a tokenizer that knows no limit says a number beyond any


def padded_tokenizer(tokenizer: Any, where: str, *, is_causal: bool) -> Any:
    """Return a tokenizer that can pad, a language model's to the right, where no counted position sees it.

    Raises:
        BadInput: a classifier's has no padding token.
    """
    if is_causal:
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    if tokenizer.pad_token is None:
        raise BadInput(
            f"{where}: its tokenizer has no padding token, and texts of several lengths stand in one batch; set "
            "tokenizer.pad_token and the model's config.pad_token_id to what it was trained with, and save_pretrained both"
        )
    return tokenizer


def longest(tokenizer: Any, model: nn.Module) -> int | None:
    """Return how many tokens a model takes by its tokenizer, config and tables of positions; None for any number."""
    said = [tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None)]
    tables = [module for path, module in model.named_modules() if path.endswith("position_embeddings")]
    for table in tables:
        if isinstance(table, nn.Embedding):  # some begin behind the padding token's number
            said.append(table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1))
    limits = [limit for limit in said if isinstance(limit, int) and 0 < limit < NO_LIMIT]
    return min(limits, default=None)


def as_tokens(
    texts: Sequence[Any], titles: Sequence[str], tokenizer: Any, model: nn.Module, limit: int | None
) -> dict[str, Tensor]:
    """Return what a model takes of texts, each ``(n, longest)``: token ids, the attention mask and what else it reads.

    Args:
        texts: one each, or a pair each.
        titles: what to call them.
        tokenizer: that can pad.
        model: whose ``forward`` says what it takes.
        limit: most tokens of a text; None for any number.

    Raises:
        BadInput: a text is longer, or is none.
    """
    parts = [[text] if isinstance(text, str) else list(text) for text in texts]
    for title, part in zip(titles, parts, strict=True):
        if len(part) not in (1, 2) or not all(isinstance(each, str) for each in part):
            raise BadInput(f"{title}: {part!r:.80}; expected a text, or a pair of texts")
    columns = [list(column) for column in zip(*parts, strict=True)]
    lengths = [len(ids) for ids in tokenizer(*columns, verbose=False)["input_ids"]]
    for title, length in zip(titles, lengths, strict=True):
        if limit is not None and length > limit:
            raise BadInput(
                f"{title}: {length} tokens, the model takes {limit}; expected shorter texts: cut them in a "
                "FILE.py:FUNC that gives the data"
            )
        if length == 0:
            raise BadInput(f"{title}: no token; expected a text: leave it out in a FILE.py:FUNC that gives the data")
    encoded = tokenizer(*columns, padding=True, return_attention_mask=True, return_tensors="pt", verbose=False)
    takes = inspect.signature(model.forward).parameters
    return {key: value for key, value in encoded.items() if key in takes or key == "attention_mask"}


def next_tokens(inputs: Mapping[str, Tensor], where: str) -> Tensor:
    """Return the labels of a language model, int64 ``(n, longest)``: the next token, -100 where there is none.

    Raises:
        BadInput: no text has a second token.
    """
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    labels = torch.full_like(ids, NOT_COUNTED)
    labels[:, :-1] = torch.where(mask[:, 1:] == 1, ids[:, 1:], NOT_COUNTED)
    if bool((labels == NOT_COUNTED).all()):
        raise BadInput(f"{where}: all positions are -100, as no text has a second token to predict; expected longer texts")
    return labels
