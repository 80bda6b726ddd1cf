"""Batches and what is kept, by a device's memory: a CPU's are what was measured, a card's follow what is free."""

import pytest
import torch

from safer_bench.measurement.answers import tuning
from safer_bench.measurement.answers.tuning import Pace, examples_a_pass, free_bytes, room_on, seconds, take_share

GB = 1 << 30
CARD, CPU = torch.device("cuda", 0), torch.device("cpu")


class Card:
    """Stands for ``torch.cuda``: so much memory, of which others have some, and this process may have a share."""

    def __init__(self, total=80 * GB, others=0, share=1.0):
        self.total, self.others, self.share = total, others, share
        self.allocated = self.reserved = self.peak = self.n_waits = 0

    def mem_get_info(self, device):
        return self.total - self.others - self.reserved, self.total

    def memory_allocated(self, device):
        return self.allocated

    def memory_reserved(self, device):
        return self.reserved

    def max_memory_allocated(self, device):
        return self.peak

    def reset_peak_memory_stats(self, device):
        self.peak = self.allocated

    def get_per_process_memory_fraction(self, device):
        return self.share

    def set_per_process_memory_fraction(self, share, device):
        self.share = share

    def synchronize(self, device):
        self.n_waits += 1


@pytest.fixture
def card(monkeypatch):
    made = Card()
    for name in [name for name in dir(made) if not name.startswith("_") and callable(getattr(made, name))]:
        monkeypatch.setattr(torch.cuda, name, getattr(made, name))
    return made


def test_a_cpu_keeps_what_was_measured():
    room = room_on(CPU)
    assert (room.result_bytes, room.kept_bytes, room.most_examples) == (64e6, GB, 256)
    assert [Pace().examples_a_batch(n) for n in (1, 1_000_000, 10_000_000)] == [256, 64, 16]
    assert examples_a_pass(lambda batch: pytest.fail("nothing is tried"), torch.ones(10, 2), 10) == 10


def test_a_card_takes_shares_of_what_is_free(card):
    room = room_on(CARD)
    assert (room.result_bytes, room.kept_bytes) == (80 * GB / 64, 20 * GB)
    sizes = [Pace().examples_a_batch(n, CARD) for n in (1, 1_000_000, 10_000_000, 10 * GB)]
    assert sizes == [4096, 1342, 134, 16]
    assert Pace(batch_size=7).examples_a_batch(1, CARD) == 7


def test_what_is_free_counts_the_reserve_and_not_what_others_have(card):
    card.others, card.allocated, card.reserved = 30 * GB, 10 * GB, 15 * GB
    assert free_bytes(CARD) == 40 * GB
    card.share = 0.25
    assert free_bytes(CARD) == 10 * GB
    card.share = 0.1
    assert free_bytes(CARD) == 0


def test_workers_of_one_card_leave_each_other_room(card):
    take_share(CPU, 4)
    take_share(CARD, 1)
    assert card.share == 1.0
    take_share(CARD, 4)
    assert (card.share, free_bytes(CARD)) == (0.25, 20 * GB)


class Batch:
    """Stands for ten examples on a card."""

    device = CARD

    def __len__(self):
        return 10


@pytest.mark.parametrize(("taken", "expected"), [(GB, 200), (100 * GB, 10), (1, 4096), (0, 4096)])
def test_a_pass_over_a_few_tells_how_many_fit(card, taken, expected):
    card.allocated = card.peak = 5 * GB
    card.total = 85 * GB

    def run(batch):
        card.peak += taken

    assert examples_a_pass(run, Batch(), 10) == expected


def test_a_card_is_waited_for_before_and_after(card, monkeypatch):
    order = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: order.append("wait"))
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: order.append("clock") or 0.0)
    assert seconds(lambda: order.append("run"), torch.device("cuda"), repeats=2) == 0.0
    assert order == ["run", "wait", *["clock", "run", "wait", "clock"] * 2]


def test_a_cpu_is_not_waited_for(card):
    seconds(lambda: None, torch.device("cpu"))
    assert card.n_waits == 0
