"""The arithmetics that settle answers, from fast to canonical, and how far each is trusted."""

from safer_bench.measurement.answers.settle import Arithmetic

# Of one perturbed layer, bands are calibrated; docs/engine.md has the evidence.
FLOAT32 = Arithmetic("float32", factor=16.0, audit=1 / 2000, least=256.0)
GUARDED = Arithmetic("guarded float32", factor=16.0, audit=1 / 200, n_audited=1, least=256.0, tells_infinity=True)
BFLOAT16 = Arithmetic("bfloat16", factor=4.0, audit=1 / 200, least=4.0)
# Of many perturbed layers at once, of which nothing is calibrated, bands are sampled.
SAMPLED = Arithmetic("float32", factor=64.0, n_sample=2, n_suspects=2, audit=1 / 2000, at_least_clean=True)
CANONICAL = Arithmetic("canonical")
GROWTH = 2.0**10  # of the largest weight; beyond it float32 has to be guarded
