"""What commands take and ask: networks, the truth, folders of submissions, perturbations, draws; and how they refuse."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safer_bench.errors import BadInput
from safer_bench.networks.sources.named import Choice, is_of_source

if TYPE_CHECKING:
    from safer_bench.dataset.tree import Tree
    from safer_bench.networks.network import Network

Truth = Annotated[Path | None, typer.Option(help="Folder of the dataset tree; by default the truth at hand.")]
NETWORK_HELP = (
    "Name in the zoo, FILE.py:FUNC, or with --data timm:NAME[@CHECKPOINT], torchvision:NAME[@CHECKPOINT], "
    "transformers:ID_OR_FOLDER (@random:SEED: random weights)"
)
Data = Annotated[
    str | None,
    typer.Option(help="Examples of such a network: imagefolder:FOLDER, hub:ID[:CONFIG][:SPLIT] or FILE.py:FUNC."),
]
ExamplesFrom = Annotated[
    int | None,
    typer.Option(help="Evaluation examples to choose from --data at random; by default 250, or what calibration leaves."),
]
Calibration = Annotated[
    int | None, typer.Option(help="Calibration examples, others than those; by default a fifth of all, at most 200.")
]
DataSeed = Annotated[int | None, typer.Option(help="Seed of that choice; 0 by default.")]
Name = Annotated[
    str | None, typer.Option(help="The network's name in all tables; by default made of source, network and data.")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu; cuda: any card, and each worker takes the next one; cuda:1: this card. A FILE.py may choose itself."
    ),
]
Minutes = Annotated[int, typer.Option(min=1, help="Most time that the code of one submission may take.")]


def load_networks(specs: Sequence[str], choice: Choice, device: str | None) -> "list[Network]":
    """Load networks; those that do not bring their own examples get what is chosen.

    Raises:
        SaferBenchError: see ``load_network``; or no network takes what is chosen, or several would have one name.
    """
    from safer_bench.networks.loading import load_network

    given: dict[str, Any] = choice.given
    takers = [spec for spec in specs if is_of_source(spec)]
    if given and not takers:
        raise BadInput(
            f"{choice.options[0]} is for networks of timm:, torchvision: and transformers:; found "
            f"{', '.join(specs) or 'none'}"
        )
    if choice.name is not None and len(takers) > 1:
        raise BadInput(f"--name {choice.name}: names one network; found {', '.join(takers)}: name each by a run of its own")
    return [load_network(spec, device, **(given if spec in takers else {})) for spec in specs]


@dataclass(frozen=True, slots=True)
class DrawOptions:
    """How many draws ``measure`` is told to make: so many, as many as a pilot finds are needed, or those of a plan.

    Attributes:
        draws: of each random perturbation at each level; None where no number is given.
        first_draw: number of the first.
        reliability: of the area that a pilot is to find the draws for; None where none is asked for.
        max_draws: most draws of a level that the pilot may plan; None where no number is given.
        plan_only: pilot and plan, nothing more.
        plan: file of an earlier pilot's plan.
    """

    draws: int | None = None
    first_draw: int = 0
    reliability: float | None = None
    max_draws: int | None = None
    plan_only: bool = False
    plan: Path | None = None

    @property
    def planned(self) -> bool:
        """Whether a plan says how many draws, be it there or still to be made."""
        return self.plan is not None or self.reliability is not None

    def check(self) -> None:
        """Refuse options that say different things.

        Raises:
            BadInput: they do.
        """
        both = self.plan is not None and self.reliability is not None
        if self.planned and (self.draws is not None or self.first_draw or both):
            raise BadInput("--draws, --first-draw, --reliability and --plan each say how many draws; give one of them")
        if self.plan_only and self.reliability is None:
            raise BadInput(
                "--plan-only: the plan is that of a reliability; give --reliability too, such as --reliability 0.9"
            )


def perturbation_specs(tree: "Tree") -> list[str]:
    """Return the perturbations of a truth, each ``NAME:LEVEL,...`` with the levels that were measured."""
    measured = tree["perturbations"].to_pylist()
    return [f"{row['perturbation']}:{','.join(map(repr, row['levels']))}" for row in measured]


@contextmanager
def refusal() -> Iterator[None]:
    """Turn what is wrong with a submission into a message and exit code 1."""
    from safer_bench.dataset.submissions.submission import BadSubmission

    try:
        yield
    except BadSubmission as error:
        typer.echo(f"Refused: {error}", err=True)
        raise typer.Exit(1) from None


def told_refused(refused: Mapping[Path, str], *, all_of_them: bool = False) -> None:
    """Name what is wrong with submissions that are left out; exit code 1 at once where nothing else is left."""
    for message in refused.values():
        typer.echo(f"Refused: {message}", err=True)
    if all_of_them:
        raise typer.Exit(1)


def submissions_in(root: Path | None) -> list[Path]:
    """Return the folders of the submissions asked for; none where no folder was.

    Raises:
        BadInput: there is no such folder, or no submission in it.
    """
    from safer_bench.dataset.submissions.gather import submission_folders

    folders = submission_folders(root) if root else []
    if root and not folders:
        raise BadInput(
            f"{root}: holds no submission; expected submissions/NAME with submission.yaml and scores, which `safer-bench "
            f"score CRITERION --out {root}/NAME` writes; without a folder the truth's own criteria are judged"
        )
    return folders
