"""What commands take and ask: networks, the truth, folders of submissions, perturbations, draws; and how they refuse."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safer_bench.cli.console import note, progress
from safer_bench.errors import BadInput
from safer_bench.networks.sources.named import Choice, is_of_source
from safer_bench.tables.text import number_of

if TYPE_CHECKING:
    from safer_bench.dataset.tree import Tree
    from safer_bench.networks.network import Network

Truth = Annotated[Path | None, typer.Option(help="Folder of the dataset tree; by default the truth at hand.")]
OWN_NETWORK_HELP = (
    "FILE.py:FUNC, or with --data timm:NAME[@CHECKPOINT], torchvision:NAME[@CHECKPOINT], "
    "transformers:ID_OR_FOLDER (@random:SEED: random weights)"
)
NETWORK_HELP = f"Name in the zoo, {OWN_NETWORK_HELP}"
Minutes = Annotated[int, typer.Option(min=1, help="Most time that the code of one submission may take.")]


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What every command that takes ``--network`` takes beside it: which network is meant, and where it runs."""

    data: Annotated[
        str | None,
        typer.Option(help="Examples of such a network: imagefolder:FOLDER, hub:ID[:CONFIG][:SPLIT] or FILE.py:FUNC."),
    ] = None
    examples_from: Annotated[
        int | None,
        typer.Option(
            help="Number of evaluation examples, taken from --data at random; by default 250, or what calibration leaves."
        ),
    ] = None
    calibration: Annotated[
        int | None,
        typer.Option(help="Number of calibration examples, others than those; by default a fifth of all, at most 200."),
    ] = None
    data_seed: Annotated[int | None, typer.Option(help="Seed of that choice; 0 by default.")] = None
    name: Annotated[
        str | None, typer.Option(help="The network's name in all tables; by default made of source, network and data.")
    ] = None
    fold: Annotated[
        bool, typer.Option("--fold", help="Fold batch norms into the layers before them, as deployment does: NAME_folded.")
    ] = False
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu; cuda: any card, and each worker takes the next one; cuda:1: this card. A FILE.py may choose itself."
        ),
    ] = None

    @property
    def choice(self) -> Choice:
        """What is said of networks that do not bring their own examples."""
        return Choice(self.data, self.examples_from, self.calibration, self.data_seed, self.name)

    @property
    def given(self) -> bool:
        """Whether anything is said that only a named network can take."""
        return self.fold or bool(self.choice.given)

    def load(self, specs: Sequence[str]) -> "list[Network]":
        """Load networks; those that do not bring their own examples get what is chosen. Says what cannot be folded.

        Raises:
            SaferBenchError: see ``load_network``; or no network takes what is chosen, or several would have one name.
        """
        from safer_bench.networks.loading import load_network

        choice = self.choice
        takers = [spec for spec in specs if is_of_source(spec)]
        if choice.given and not takers:
            raise BadInput(
                f"{choice.options[0]} is for networks of timm:, torchvision: and transformers:; found "
                f"{', '.join(specs) or 'none'}"
            )
        if self.fold and not specs:
            raise BadInput("--fold: which network? Name it by --network")
        if choice.name is not None and len(takers) > 1:
            names = ", ".join(takers)
            raise BadInput(f"--name {choice.name}: names one network; found {names}: name each by a run of its own")
        given: dict[str, Any] = choice.given
        networks = []
        with progress() as report:
            for i, spec in enumerate(specs):
                report(f"loading {spec}", i, len(specs))
                networks.append(load_network(spec, self.device, fold=self.fold, **(given if spec in takers else {})))
        _tell_folded(networks)
        return networks


def _tell_folded(networks: "Sequence[Network]") -> None:
    """Say how many batch norms were folded, and name those that could not be."""
    for network in networks:
        if network.folding is not None:
            n = len(network.folding.into)
            nothing = "" if n or network.folding.by_reason else ": there is none, so --fold can be left out"
            note(f"{network.name}: {number_of(n, 'batch norm')} folded{nothing}")
            for reason, norms in network.folding.by_reason.items():
                typer.echo(f"{network.name}: not folded ({reason}): {', '.join(norms)}", err=True)


def with_network_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of ``NetworkOptions`` one by one, in the place of its parameter ``network_options``.

    typer reads options off a signature, and knows no records.
    """
    signature = inspect.signature(command)
    options = inspect.signature(NetworkOptions).parameters.values()
    parameters = list(signature.parameters.values())
    place = list(signature.parameters).index("network_options")
    parameters[place : place + 1] = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]

    @wraps(command)
    def with_record(**given: Any) -> None:
        record = NetworkOptions(**{option.name: given.pop(option.name) for option in options})
        command(**given, network_options=record)

    with_record.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_record


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


def told_refused(refused: Mapping[Path, str]) -> None:
    """Name what is wrong with submissions that are left out."""
    for message in refused.values():
        typer.echo(f"Refused: {message}", err=True)


def submissions_in(root: Path | None) -> list[Path]:
    """Return the folders of the submissions asked for; none where no folder was.

    Raises:
        BadInput: there is no such folder, or no submission in it.
    """
    return submissions_below(root, "; without a folder the truth's own criteria are judged") if root else []


def submissions_below(root: Path, otherwise: str = "") -> list[Path]:
    """Return the folders of the submissions that a folder is or holds.

    Args:
        root: the folder.
        otherwise: what the message says besides, where there is none.

    Raises:
        BadInput: there is no such folder, or no submission in it.
    """
    from safer_bench.dataset.submissions.gather import submission_folders
    from safer_bench.tables.together import PENDING

    folders = submission_folders(root)
    if not folders and (root / PENDING).is_file():  # `score` was cut short: who reads the folder finishes it
        return [root]
    if not folders:
        raise BadInput(
            f"{root}: holds neither a submission nor submissions; expected submissions/NAME with submission.yaml and "
            f"scores, which `safer-bench score CRITERION --out submissions/NAME` writes{otherwise}"
        )
    return folders
