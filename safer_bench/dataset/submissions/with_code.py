"""Which submissions bring code that can be run, and how they call its criteria; reads no scores and runs nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safer_bench.dataset.submissions.card import SubmissionCard, read_card
from safer_bench.dataset.submissions.code import code_of
from safer_bench.dataset.submissions.plain_files import BadSubmission
from safer_bench.dataset.submissions.submission import check_folder
from safer_bench.tables.text import folded

MOST_CRITERIA = 10  # of a submission: each mean that is told of a truth nobody knows tells a little of it


@dataclass(frozen=True, slots=True)
class WithCode:
    """What folders of submissions bring.

    Attributes:
        cards: of those whose code can be run, by folder, with such of their criteria as come with code.
        without: folders of those that bring no code.
        refused: what is wrong with each of the others.
    """

    cards: dict[Path, SubmissionCard]
    without: list[Path]
    refused: dict[Path, str]


def read_code(folders: Sequence[Path], taken: Collection[str]) -> WithCode:
    """Read the cards of submissions and look at their code; one that is bad stops no other.

    Args:
        folders: of the submissions.
        taken: names of criteria that are no submission's.
    """
    names = {folded(name): name for name in taken}
    cards: dict[Path, SubmissionCard] = {}
    without: list[Path] = []
    refused: dict[Path, str] = {}
    for folder in folders:
        try:
            check_folder(folder)
            card = read_card(folder / "submission.yaml")
            own = [item for item in card.criteria if item.code]
            if own:
                card = card.model_copy(update={"criteria": own})
                _check(folder, card, names)
                cards[folder] = card
            else:
                without.append(folder)
        except BadSubmission as error:
            refused[folder] = str(error)
    refused = _alike(cards) | refused
    return WithCode({folder: card for folder, card in cards.items() if folder not in refused}, without, refused)


def _check(folder: Path, card: SubmissionCard, taken: Mapping[str, str]) -> None:
    """Refuse code that cannot be run, more of it than one submission may bring, and names that are not its own."""
    where = folder / "submission.yaml"
    if card.name != folder.resolve().name:
        raise BadSubmission(f"{where}: name is {card.name!r}; expected that of its folder, {folder.resolve().name!r}")
    if len(card.criteria) > MOST_CRITERIA:
        raise BadSubmission(
            f"{where}: {len(card.criteria)} criteria with code; a held-out truth judges {MOST_CRITERIA} of a submission "
            "at most, since each mean tells a little of it"
        )
    for item in card.criteria:
        other = taken.get(folded(item.name))
        if other is not None:
            raise BadSubmission(f"{where}: {item.name!r} is taken by {other!r}, which is not a submission's; rename it")
    code_of(folder, card)


def _alike(cards: Mapping[Path, SubmissionCard]) -> dict[Path, str]:
    """Refuse all submissions of which criteria would be taken for each other: nobody can tell whose the name is."""
    claims: dict[str, list[tuple[Path, str]]] = {}
    for folder, card in cards.items():
        for item in card.criteria:
            claims.setdefault(folded(item.name), []).append((folder, item.name))
    return {
        folder: f"{folder / 'submission.yaml'}: {name!r} would be taken for {other!r} of {place}; rename one of them"
        for alike in claims.values()
        for folder, name in alike
        for place, other in alike
        if place != folder or other != name
    }
