"""A picture is what was drawn: no time, no chance."""

import pytest

from safer_bench.tables.pictures import encoded, new_figure


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_same_figure_gives_the_same_bytes(ending, monkeypatch):
    def drawn():
        figure, (axes,) = new_figure(2, 1)
        axes.bar([0, 1], [1, 2])
        return encoded(figure, ending)

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    first = drawn()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert drawn() == first
