"""Truths of a network with several answers an example, made up by plain loops: what a run of one leaves."""

import numpy as np

from safer_bench.tables import schema
from safer_bench.truth.run_folder import RunFolder, Unit, part_of
from safer_bench.truth.slices import slice_of

N_EXAMPLES, SLICE, N_DRAWS = 24, 6, 4
LEVELS = {"noise": [0.1, 0.4], "cut": [0.5, 0.9]}  # of which the second is deterministic
LAYERS = ("first", "second", "third")
EQUAL = np.full(N_EXAMPLES, 4)
RAGGED = np.array([3, 8, 5, 4, 7, 6, 3, 3, 8, 0, 5, 6, 4, 4, 7, 8, 3, 5, 6, 8, 0, 7, 3, 4])
DIGESTS = {"weights": "1" * 64, "inputs": "2" * 64}


def clean_outcomes(answers, seed=0):
    """Return of each example which of its answers are right, as a list of arrays."""
    rng = np.random.default_rng(seed)
    return [rng.random(n) < 0.8 for n in answers]


def probe_outcomes(clean, layer, level, draw):
    """Return of each of some examples which answers are right after the perturbation."""
    rng = np.random.default_rng([layer, int(100 * level), draw])
    found = []
    for right in clean:
        unlucky = rng.random() < 0.3  # the answers of one example break together
        found.append(right ^ (rng.random(len(right)) < (0.1 + 0.7 * unlucky) * level * (1 + layer) / 2))
    return found


def row_of(clean, layer, perturbation, level, draw, start):
    """Return the row of a probe, counted answer by answer."""
    deterministic = perturbation == "cut"
    seen = clean[start : start + (N_EXAMPLES if deterministic else SLICE)]
    pairs = [
        (bool(before), bool(after))
        for right, again in zip(seen, probe_outcomes(seen, layer, level, draw), strict=True)
        for before, after in zip(right, again, strict=True)
    ]
    broken, fixed = (sum(pair == wanted for pair in pairs) for wanted in ((True, False), (False, True)))
    return {
        "network": "made",
        "dataset": "own",
        "split": "test",
        "layer": LAYERS[layer],
        "layer_index": layer,
        "perturbation": perturbation,
        "level": level,
        "draw": draw,
        "example_start": start,
        "n_examples": len(seen),
        "n_answers": len(pairs),
        "correct_clean": sum(before for before, _ in pairs),
        "broken": broken,
        "fixed": fixed,
        "predictions_changed": broken + fixed,
        "changed_entries": 1,
        "weight_digest": "0" * 16,
        "accuracy_drop": (broken - fixed) / len(pairs),
        "loss_increase": 0.0,
        "flips": np.packbits([before != after for before, after in pairs]).tobytes(),
    }


def tables_of(answers, clean):
    """Return the tables of the run; ``answers_of_example`` is null where each example has one."""
    bits = np.concatenate(clean)
    network = {
        "network": "made",
        "dataset": "own",
        "family": "own",
        "split": "test",
        "n_layers": len(LAYERS),
        "parameters": 30,
        "macs": 30,
        "n_examples": len(answers),
        "n_answers": len(bits),
        "clean_correct": int(bits.sum()),
        "chance_accuracy": 0.1,
        "clean_outcomes": np.packbits(bits).tobytes(),
        **{f"{name}_sha256": digest for name, digest in DIGESTS.items()},
        "answers_of_example": None if (answers == 1).all() else answers.tolist(),
        "licence": "",
        "source": "",
    }
    layers = [
        {"network": "made", "dataset": "own", "split": "test", "layer": layer, "layer_index": i, "kind": "Linear"}
        | {"weight_shape": "2x5", "output_axis": 0, "fan_in": 5, "parameters": 10, "macs": 10}
        for i, layer in enumerate(LAYERS)
    ]
    kinds = [
        {
            "perturbation": name,
            "perturbation_family": name,
            "use_case": name,
            "levels": levels,
            "scale": "linear",
            "direction": "increasing",
        }
        | {"unit": "", "deterministic": name == "cut", "formula": "", "source": ""}
        for name, levels in LEVELS.items()
    ]
    found = {"networks": [network], "layers": layers, "perturbations": kinds}
    return {name: schema.build(name, rows) for name, rows in found.items()}


def made_up_run(path, answers):
    """Write a finished run folder and return it with its rows.

    Args:
        path: of the folder.
        answers: of each example ``(24,)``.
    """
    clean, folder = clean_outcomes(answers), RunFolder(path)
    places = {("noise", draw): slice_of(draw, SLICE, N_EXAMPLES) for draw in range(N_DRAWS)} | {("cut", 0): (0, N_EXAMPLES)}
    slices = sorted(set(places.values()))
    request = {"networks": {"made": DIGESTS}, "perturbations": LEVELS, "draws": N_DRAWS, "first_draw": 0, "seed": 0}
    request |= {"examples": SLICE, "deterministic_examples": N_EXAMPLES, "sources": {}, "slices": {"made": slices}}
    path.mkdir(parents=True, exist_ok=True)
    folder.open(request, lambda: tables_of(answers, clean))
    every = []
    for where in slices:
        for layer in range(len(LAYERS)):
            rows = [
                row_of(clean, layer, perturbation, level, draw, where[0])
                for (perturbation, draw), place in places.items()
                if place == where
                for level in LEVELS[perturbation]
            ]
            folder.write(Unit("made", *where, layer), part_of(rows))
            every += rows
    return folder, every
