"""Submissions of code, whose scores may be others than the code gives."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from safer_bench.dataset.tree import Tree

NETWORK = "digits_mlp"
LAYERS = (
    "    layers = [n for n, m in model.named_modules() if getattr(m, 'weight', None) is not None and m.weight.dim() > 1]\n"
)


class SubmittedCode:
    """Writes submissions of one criterion each, called like its folder, of one network."""

    def __init__(self, root: Path, tree: Tree) -> None:
        self.root = root
        rows = [row for row in tree["layer_sensitivity"].to_pylist() if row["network"] == NETWORK]
        self.areas = {row["layer"]: row["value"] for row in rows if row["summary"] == "area"}
        self.rank = {name: i for i, name in enumerate(sorted(self.areas, key=self.areas.__getitem__))}

    def write(
        self, name: str, body: str, score: Callable[[str, int], float] | None, head: str = "", helper: str = ""
    ) -> Path:
        """Write one; ``score`` takes a layer and its rank in the truth; None for the truth itself."""
        folder = self.root / name
        folder.mkdir(parents=True)
        values = [score(layer, self.rank[layer]) if score else area for layer, area in self.areas.items()]
        table = {"network": [NETWORK] * len(values), "layer": list(self.areas), "score": [float(value) for value in values]}
        pq.write_table(pa.table(table), folder / "scores.parquet")
        card = {"name": name, "criteria": [{"name": name, "code": f"{name}.py:{name}"}]}
        (folder / "submission.yaml").write_text(yaml.safe_dump(card))
        (folder / f"{name}.py").write_text(f"{head}\ndef {name}(model, batches):\n{LAYERS}    {body}\n")
        if helper:
            (folder / "helper.py").write_text(helper)
        return folder

    def recorded(self) -> list[str]:
        path = self.root / "recomputed.json"
        return sorted(json.loads(path.read_text())) if path.exists() else []
