"""A criterion in a file of a user's own."""

LAYERS = "{'conv': 1.0, 'hidden': 2.0, 'head': 3.0}"  # what scores the tiny network in order


def criterion_file(tmp_path, body, name="mine"):
    """Write a function that returns what a line of code says, and return ``FILE.py:FUNC``."""
    path = tmp_path / "criterion.py"
    path.write_text(f"import torch\ndef {name}(model, batches):\n    {body}\n")
    return f"{path}:{name}"
