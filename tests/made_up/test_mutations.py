"""Mutations are as many as asked for, the same by the same seed, and neutral ones say the same."""

import json
from collections import Counter

from tests.made_up.mutations import mutations, said

DATA = json.dumps({"a": {"b": [1, 2.5, "x"], "c": {}}, "d": [[0, 50], [50, 50]], "e": "f" * 64}, indent=1).encode()


def test_mutations_are_as_many_as_asked_for_of_every_kind_and_the_same_again():
    made = list(mutations(DATA, 500, seed=3))
    assert len(made) == 500
    assert made == list(mutations(DATA, 500, seed=3))
    assert made != list(mutations(DATA, 500, seed=4))
    assert all(one.data != DATA for one in made)
    kinds = Counter(
        word for one in made for word in ("twice", "without", "exchanged", "first", "whole", "damaged") if word in one.name
    )
    assert len(kinds) == 6
    assert min(kinds.values()) > 10, kinds


def test_neutral_mutations_say_the_same_and_others_do_not():
    for one in mutations(DATA, 500):
        assert (said(one.data) == said(DATA)) == one.neutral, one.name
