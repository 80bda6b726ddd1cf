"""Run folders as other versions left them, or as people edit them."""

import json
import re

from safer_bench.truth.request import sealed


def as_before(folder, *, keep=False, change=lambda facts: None):
    """Write run.json as it was before it held clean answers, user files and a seal; ``keep``: as of today, sealed again.

    Where all slices are of one size, parts are named as they were too: without the size.

    Args:
        folder: of the run.
        keep: leave all of that in.
        change: changes what it says.
    """
    path = folder / "run.json"
    facts = json.loads(path.read_text())
    facts.pop("sha256", None)
    if not keep:
        for key in ("clean", "files"):
            facts["request"].pop(key, None)
        if "deterministic_examples" not in facts["request"]:
            for part in folder.glob("parts/*/*.parquet"):
                part.rename(part.with_name(re.sub(r"^(\d{6})-\d{6}-", r"\1-", part.name)))
    change(facts)
    path.write_text(json.dumps(sealed(facts) if keep else facts, indent=1, sort_keys=True) + "\n")
