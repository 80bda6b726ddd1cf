"""What commands are given: a short run, and a user's own network in a file."""

MEASURE = (
    "measure",
    "--network",
    "digits_mlp",
    "--perturbation",
    "magnitude_prune:0.9,0.97",
    "--deterministic-examples",
    50,
)


def network_file(tmp_path, body):
    path = tmp_path / "net.py"
    path.write_text(f"import torch\nimport safer_bench as sb\ndef build():\n    {body}\n")
    return f"{path}:build"


OWN = """model = torch.nn.Linear(4, 3).eval()
    generator = torch.Generator().manual_seed(0)
    return sb.Network(model, torch.randn(30, 4, generator=generator), torch.arange(30) % 3, name="mine")"""
