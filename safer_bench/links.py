"""Where the project is on the web, for the files that it writes. `pyproject.toml` names the same addresses.

Light: never imports torch.
"""

LINKS = {
    "Documentation": "https://safer-bench.github.io/safer-bench/",
    "Repository": "https://github.com/safer-bench/safer-bench",
    "Dataset": "https://huggingface.co/datasets/safer-bench/safer-bench",
}
