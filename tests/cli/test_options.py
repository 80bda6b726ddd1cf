"""How many draws a run is told to make: one option says it, by itself."""

from pathlib import Path

import pytest

from safer_bench.cli.options import DrawOptions
from safer_bench.errors import BadInput

TWICE = "--draws, --first-draw, --reliability and --plan each say how many draws; give one of them"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DrawOptions(draws=4, reliability=0.9), TWICE),
        (DrawOptions(first_draw=4, plan=Path("draws.json")), TWICE),
        (DrawOptions(reliability=0.9, plan=Path("draws.json")), TWICE),
        (
            DrawOptions(plan_only=True),
            "--plan-only: the plan is that of a reliability; give --reliability too, such as --reliability 0.9",
        ),
    ],
)
def test_options_that_say_different_things_are_refused(options, message):
    with pytest.raises(BadInput) as error:
        options.check()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("options", "planned"),
    [
        (DrawOptions(), False),
        (DrawOptions(draws=4, first_draw=8), False),
        (DrawOptions(reliability=0.9, max_draws=8, plan_only=True), True),
        (DrawOptions(plan=Path("draws.json")), True),
    ],
)
def test_one_option_by_itself_says_whether_a_plan_does(options, planned):
    options.check()
    assert options.planned == planned
