"""Estimates of the Hessian's diagonal by random signs: how far independent ones agree."""

import pytest

from safer_bench.criteria.loading import criteria
from safer_bench.criteria.passes import hessian
from safer_bench.metrics import spearman
from safer_bench.networks.loading import load_network
from safer_bench.scoring.sweep import Sweep
from safer_bench.stream import Stream

RANKED = ("hessian_sum", "hessian_mean_trace", "obd")


def estimate(name, seed, monkeypatch):
    """Return layers' scores by each criterion of RANKED, from signs that another seed does not have."""
    monkeypatch.setattr(hessian, "Stream", lambda *key: Stream(seed, *key))
    sweep = Sweep(load_network(name))
    return {criterion: list(sweep.scores(criteria()[criterion]).values()) for criterion in RANKED}


@pytest.mark.long
@pytest.mark.parametrize("name", ["digits_resnet", "digits_vit"])
def test_independent_estimates_rank_layers_alike(name, monkeypatch):
    first, second, third = (estimate(name, seed, monkeypatch) for seed in range(3))
    for criterion in RANKED:
        pairs = ((first, second), (first, third), (second, third))
        agreement = [spearman(truth=a[criterion], scores=b[criterion]) for a, b in pairs]
        assert sum(agreement) / len(agreement) >= 0.98, criterion
