"""How fast the engine measures, beside the loops that people write: ``python -m benchmarks``."""
