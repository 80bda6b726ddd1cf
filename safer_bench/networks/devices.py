"""Where networks can be run: devices by torch's names, what they have to be able to do, and which worker takes which."""

import torch

from safer_bench.errors import BadInput, text_of

CPU = torch.device("cpu")
WITHOUT_FLOAT64 = ("mps",)


def device_named(name: str | torch.device) -> torch.device:
    """Return a device of this machine.

    Args:
        name: ``cpu``; ``cuda``, any card; ``cuda:1``, this card; or another of torch's.

    Raises:
        BadInput: it is not here, or has no float64.
    """
    where = f"device {str(name)!r}"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise BadInput(f"{where} is none that torch knows; {_expected()}") from error
    check_device(device, where)
    return CPU if device.type == "cpu" else device


def check_device(device: torch.device, where: str) -> None:
    """Refuse a device on which nothing can be measured.

    Args:
        device: that is wanted.
        where: what the message begins with.

    Raises:
        BadInput: it is not on this machine, or has no float64.
    """
    if device.type == "cpu":
        return
    if device.type not in WITHOUT_FLOAT64:
        try:
            float(torch.ones((), device=device))
        except Exception as error:
            said = text_of(error).partition(". ")[0]
            raise BadInput(f"{where} is not on this machine ({said:.200}); {_expected()}") from error
        try:
            float(torch.ones((), dtype=torch.float64, device=device))
        except Exception as error:
            raise BadInput(_lacks_float64(where)) from error
    else:
        raise BadInput(_lacks_float64(where))


def _lacks_float64(where: str) -> str:
    return f"{where} has no float64, and canonical arithmetic, which decides every count, needs it; {_expected()}"


def _expected() -> str:
    return f"expected {' or '.join(['cpu', *(f'cuda:{card}' for card in range(torch.cuda.device_count()))])}"


def cards_of(device: torch.device) -> tuple[torch.device, ...]:
    """Return the cards that a device's name allows: all where it is ``cuda``, without a number; else itself."""
    if device.type == "cuda" and device.index is None:
        return tuple(torch.device("cuda", card) for card in range(torch.cuda.device_count())) or (device,)
    return (device,)


def card_of(device: torch.device, worker: int) -> torch.device:
    """Return the card of a worker, counted from 0: workers go round the cards, so that more of them than cards share."""
    cards = cards_of(device)
    return cards[worker % len(cards)]


def workers_a_card(n_workers: int, n_cards: int) -> int:
    """Return how many workers share a card, at most."""
    return -(-n_workers // n_cards)
