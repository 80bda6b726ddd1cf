"""Whatever writes a folder, small enough to be repeated a thousand times: what ``write_steps`` disturbs."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import torch

from safer_bench.budget import report
from safer_bench.budget.spend import Outcome
from safer_bench.budget.tasks import look_up_task
from safer_bench.dataset.submissions.card import CriterionCard
from safer_bench.dataset.submissions.submission import SubmissionCard, write_submission
from safer_bench.dataset.tree import load_tree, write_tree
from safer_bench.evaluation.evaluate import evaluate
from safer_bench.evaluation.leaderboard import write as leaderboard
from safer_bench.measurement import engine
from safer_bench.measurement.answers import replayed
from safer_bench.measurement.answers.trace import CannotReplayError
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.run import measure_into
from safer_bench.networks.loading import zoo_networks
from safer_bench.networks.training import train as training
from safer_bench.tables import files, folders, schema
from safer_bench.tables.together import settle, write_together
from tests.made_up.networks import tiny_network
from tests.made_up.write_steps import Subject

FACTS = {"protocol": 1, "seed": 0}
OUT = "out"


def subjects(scratch: Path) -> list[Subject]:
    """Return them; the tree of a short run, which some need, is made once."""
    measured = scratch / "measured"
    _measure(measured)
    tree = _packed(measured / OUT, scratch / "tree")
    return [
        Subject("measure", _empty, _measure, _settled, ("log.txt", "/lock"), piecewise=True, hows=("killed", "failed")),
        Subject("pack", partial(_begin_tree, tree), partial(_pack, tree), _load),
        Subject("pack without exchange", partial(_begin_tree, tree), partial(_pack_in_two_steps, tree), _load),
        _together("evaluate", partial(_evaluate, tree)),
        _together("budget", _budget),
        _together("score", partial(_score, tree)),
        Subject("train", _empty, _train, _checkpoint, piecewise=True, hows=("killed", "failed"), trains=True),
    ]


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True)


def _together(name: str, write: Callable[[Path, int], None]) -> Subject:
    def begin(folder):
        folder.mkdir(parents=True)
        write(folder, 1)
        (folder / OUT / "notes.txt").write_text("the user's own")

    return Subject(name, begin, partial(write, turn=2), _settled)


def _settled(folder: Path) -> None:
    settle(folder / OUT)


def _load(folder: Path) -> None:
    tree = load_tree(folder / OUT)
    for name in tree:
        tree[name]


def _measure(folder: Path) -> None:
    whole_passes = CannotReplayError("a trace takes most of the time")
    with patch.object(replayed, "trace", side_effect=whole_passes), patch.object(engine, "logger"):
        measure_into(folder / OUT, [tiny_network()], make_protocol(["sign_flip:0.5"], draws=1, n_examples=20))
    write_together(folder / OUT, {f"fragile-tiny.{ending}": ending.encode() * 99 for ending in ("png", "svg")})


def _packed(run: Path, out: Path):
    from safer_bench.dataset.pack import pack

    pack([run], [], out)
    tree = load_tree(out)
    return {name: tree[name] for name in tree}


def _documents(tables, contents, digests):
    return {"README.md": "card\n"}


def _begin_tree(tables, folder: Path) -> None:
    folder.mkdir(parents=True)
    names = ("layers", "layer_drops", "networks")
    write_tree(folder / OUT, {name: tables[name].slice(0, 1) for name in names}, FACTS, _documents)


def _pack(tables, folder: Path) -> None:
    names = ("layers", "layer_drops", "perturbations")
    write_tree(folder / OUT, {name: tables[name] for name in names}, FACTS, _documents)


def _pack_in_two_steps(tables, folder: Path) -> None:
    with patch.object(folders, "exchange", lambda *_: False):
        _pack(tables, folder)


def _scores(turn: int) -> pa.Table:
    rows = [
        {"criterion": "mine", "track": "blind", "dataset": "none", "network": "tiny", "split": "test", "layer": layer, "score": turn * i + 0.5}
        for i, layer in enumerate(("conv", "hidden", "head"))
    ]  # fmt: skip
    return schema.build("scores", rows)


def _score(_, folder: Path, turn: int) -> None:
    card = SubmissionCard(name="mine", criteria=[CriterionCard(name="mine", code="mine.py:mine")])
    costs = schema.build("costs", []) if turn == 1 else None
    write_submission(folder / OUT, card, _scores(turn), costs, {"mine.py": b"x" * turn})


@cache
def _page(turn: int, tree):
    results = evaluate(tree.tables, _scores(turn))
    return results, leaderboard.make_page(results, tree.tables, leaderboard.Extras(_scores(turn), None, {}, None))


@dataclasses.dataclass(frozen=True)
class _Held:
    """Tables that a cache can tell from others."""

    tables: dict = dataclasses.field(compare=False, hash=False)


def _evaluate(tables, folder: Path, turn: int) -> None:
    results, page = _page(turn, _Held(tables))
    with patch.object(leaderboard, "make_page", lambda *_: page):
        leaderboard.write_leaderboard(folder / OUT, results, tables)


def _budget(folder: Path, turn: int) -> None:
    row = {"task": "prune", "perturbation": "magnitude_prune", "criterion": "mine", "budget": 0.5, "accuracy": turn / 4}
    outcome = Outcome(schema.build("budget_results", [row]), schema.build("budget_allocations", []))
    drawn = {"curves_png": lambda *_: b"png" * turn, "markdown": lambda *_: "text" * turn, "panels": lambda *_: []}
    with patch.multiple(report, **drawn):
        report.write_outcome(folder / OUT, look_up_task("prune"), outcome)


def _part(dataset, part):
    images, labels = _whole(dataset, part)
    return images[:128], labels[:128]


_whole = training.load_part


def _checkpoint(folder: Path) -> None:
    path = folder / OUT / "digits_mlp.checkpoint"
    assert not path.is_file() or torch.load(path, weights_only=True)["log"]


def _train(folder: Path) -> None:
    entry = zoo_networks()["digits_mlp"]
    entry = dataclasses.replace(entry, recipe=dataclasses.replace(entry.recipe, epochs=2))
    with patch.object(training, "load_part", _part):
        training.train(entry, folder / OUT, finish=lambda: files.write_text(folder / OUT / "README.md", "card"))
