"""What layers may get, and which of it was measured."""

import pytest

from safer_bench.budget.plans.menu import make_menu, narrowed
from safer_bench.errors import BadInput


def test_choices_run_from_generous_to_tight_and_cost_what_they_keep():
    bits = make_menu("quantize")
    assert (bits.perturbation, bits.levels, bits.costs) == (
        "quantize_per_channel",
        (8, 7, 6, 5, 4, 3, 2),
        (8, 7, 6, 5, 4, 3, 2),
    )
    pruned = make_menu("prune", levels=[0.9, 0.5])
    assert pruned.levels == (0.0, 0.5, 0.9)
    assert pruned.costs == pytest.approx((1.0, 0.5, 0.1))
    assert (pruned.most(0.7), pruned.budget(0.25)) == (pytest.approx(0.3), 0.75)
    rate = make_menu("protect", "float32_bit_flip", [1e-5])
    assert (rate.levels, rate.costs, rate.amount(0), rate.amount(1)) == ((0.0, 1e-5), (1.0, 0.0), 1.0, 0.0)


def test_what_no_task_has_is_refused():
    for wrong, message in (
        (("distil",), "task 'distil'; expected quantize, prune, protect"),
        (("prune", "quantize"), "perturbation 'quantize' of task 'prune'; expected magnitude_prune"),
        (("protect", None, [0.1, 0.2]), "one bit-error rate"),
        (("protect", None, [1.5]), "one bit-error rate"),
        (("quantize", None, [2.5]), "expected a whole number from 2 to 16"),
        (("quantize", None, [16, 4]), "--level 16; a plan offers at most 8 bits"),
    ):
        with pytest.raises(BadInput, match=message):
            make_menu(*wrong)


DROPS = {("a", 4.0): 0.25, ("a", 2.0): 0.5, ("b", 4.0): -0.125, ("b", 2.0): 0.0}


def test_choices_run_to_the_tightest_that_was_measured():
    menu = narrowed(make_menu("quantize"), ["a", "b"], DROPS)
    assert menu.levels == menu.costs == (8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0)
    mild = {key: drop for key, drop in DROPS.items() if key[1] == 4.0}
    assert narrowed(make_menu("quantize"), ["a", "b"], mild).levels == (8.0, 7.0, 6.0, 5.0, 4.0)
    pruned = narrowed(make_menu("prune"), ["a"], {("a", 0.73): 0.1, ("a", 0.87): 0.2})
    assert pruned.levels == (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85)
    protected = make_menu("protect", levels=[0.01])
    assert narrowed(protected, ["a"], {("a", 0.01): 0.2}) == protected


def test_drops_that_tell_nothing_of_the_choices_are_refused():
    with pytest.raises(
        BadInput, match=r"measured at no level, planned are 2, 3, 4, 5, 6, 7; measure quantize_per_channel:7,6,5"
    ):
        narrowed(make_menu("quantize"), ["a"], {("a", 8.0): 0.0})
    with pytest.raises(
        BadInput, match=r"int8_bit_flip: measured at 0.02, planned is 0.01; measure int8_bit_flip:0.01, or name one of"
    ):
        narrowed(make_menu("protect", levels=[0.01]), ["a"], {("a", 0.02): 0.1})
    with pytest.raises(BadInput, match="layer 'b' was not measured at level 2"):
        narrowed(make_menu("quantize"), ["a", "b"], {key: drop for key, drop in DROPS.items() if key != ("b", 2.0)})


def test_levels_are_asked_for_to_the_last_digit():
    """Six digits made another level of them, which the plan then missed after all had been measured."""
    assert make_menu("protect", levels=[0.01234567]).spec(spared=True) == "int8_bit_flip:0.01234567"
    assert make_menu("quantize", levels=[4, 3]).spec(spared=True) == "quantize_per_channel:8,4,3"
    assert make_menu("prune", levels=[1 / 3]).spec() == "magnitude_prune:0.3333333333333333"


@pytest.mark.parametrize(
    ("task", "levels", "told"),
    [
        ("prune", [0.5, 1.0], "--level 1; a plan offers shares below 1: a layer keeps some weights"),
        ("prune", [0.0], "--level 0: every layer may keep that anyway; name another one to choose from"),
        ("quantize", [8.0], "--level 8: every layer may keep that anyway; name another one to choose from"),
    ],
)
def test_a_menu_without_a_choice_is_refused_before_anything_is_measured(task, levels, told):
    with pytest.raises(BadInput) as error:
        make_menu(task, levels=levels)
    assert str(error.value) == told
