"""Scores of a network as arrays, whatever the order of the rows and however many criteria there are."""

import numpy as np

from safer_bench.evaluation.scores import AT_ONCE, ScoreArrays
from safer_bench.tables.facts import read_facts
from tests.made_up.boards import LEVELS, scores_of, with_levels
from tests.made_up.truth import KINDS, made_up_truth

TRUTH = with_levels(made_up_truth(2))
FACTS = read_facts(TRUTH)
CELLS = [(kind, *where) for kind in KINDS for where in (("area", None), *(("level", level) for level in LEVELS))]


def entries_of(n_aware):
    rng = np.random.default_rng(0)
    layers = [(network, layer) for network, names in FACTS.layers.items() for layer in names]
    settings = {"level": [(kind, level) for kind in KINDS for level in LEVELS], "kind": [(kind,) for kind in KINDS]}
    found = {f"blind{i}": {layer: rng.normal() for layer in layers} for i in range(3)}
    for i in range(n_aware):
        wanted = settings["kind" if i % 3 == 0 else "level"]
        found[f"aware{i}"] = {(*layer, *setting): rng.normal() for layer in layers for setting in wanted}
    return found


def expected(scores, network, cell):
    """Return the scores of a criterion that a cell is judged by, one layer after the other."""
    kind, _, level = cell
    length = len(next(iter(scores)))
    of_layer = {
        2: lambda layer: scores[network, layer],
        3: lambda layer: scores[network, layer, kind],
        4: lambda layer: (
            np.mean([scores[network, layer, kind, each] for each in LEVELS])  # of two levels, the area is their mean
            if level is None
            else scores[network, layer, kind, level]
        ),
    }[length]
    return [of_layer(layer) for layer in FACTS.layers[network]]


def test_every_criterion_is_judged_by_its_own_scores_in_every_cell():
    entries = entries_of(2 * AT_ONCE + 1)
    table = scores_of(entries, TRUTH)
    arrays = ScoreArrays(table.take(np.random.default_rng(1).permutation(table.num_rows)), FACTS)
    for network, layers in FACTS.layers.items():
        seen = []
        for members, values in arrays.of_network(network, layers, CELLS):
            for member, own in zip(members, values, strict=True):
                name, _ = arrays.entries[member]
                in_cells = np.broadcast_to(own, (len(CELLS), len(layers)))
                for cell, found in zip(CELLS, in_cells, strict=True):
                    np.testing.assert_allclose(found, expected(entries[name], network, cell), atol=1e-11)
                seen.append(name)
        assert sorted(seen) == sorted(entries)


def test_scores_of_a_network_that_has_none_are_none():
    assert list(ScoreArrays(scores_of(entries_of(1), TRUTH), FACTS).of_network("another", ["a"], CELLS)) == []
