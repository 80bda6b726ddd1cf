"""Run folders as other versions left them, or as people edit them."""

import json

from safer_bench.truth.request import sealed


def as_before(folder, *, keep=False, change=lambda facts: None):
    """Write run.json as it was before it held clean answers, user files and a seal; ``keep``: as of today, sealed again.

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
    change(facts)
    path.write_text(json.dumps(sealed(facts) if keep else facts, indent=1, sort_keys=True) + "\n")
