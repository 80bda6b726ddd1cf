"""When results tell nothing."""

from safer_bench.budget.chance import all_at_chance, nothing_lost


def test_one_allocation_above_chance_is_enough_to_tell_something():
    assert all_at_chance([0.0, 0.10, 0.14], unchanged=0.9, chance=0.1)
    assert not all_at_chance([0.0, 0.10, 0.15], unchanged=0.9, chance=0.1)
    assert all_at_chance([0.2], unchanged=0.1, chance=0.2), "a network that never was above it"


def test_one_lost_answer_is_enough_to_lose_something():
    assert nothing_lost([0.9, 0.95], unchanged=0.9)
    assert not nothing_lost([0.95, 0.899], unchanged=0.9)
