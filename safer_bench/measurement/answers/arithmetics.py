"""The arithmetics that settle answers, from fast to canonical, and how far each is trusted."""

from safer_bench.measurement.answers.settle import Arithmetic

# Factors, samples and audits: docs/engine.md tells how they were chosen.
FLOAT32 = Arithmetic("float32", factor=64.0, n_sample=2, n_suspects=2, audit=1 / 2000, at_least_clean=True)
BFLOAT16 = Arithmetic("bfloat16", factor=4.0, n_sample=48, n_suspects=16, audit=1 / 200)
CANONICAL = Arithmetic("canonical")
GROWTH = 2.0**10  # of the largest weight; beyond it squares may overflow float32 and come back finite
KEPT_BYTES = 1 << 30  # of clean values at a time
