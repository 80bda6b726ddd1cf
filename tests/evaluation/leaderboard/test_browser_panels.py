"""The page's plots, heat map and budgets in a real browser: they show what is chosen, and nothing of what is not."""

from safer_bench.tables.controls import FROM_TABLES
from tests.made_up.boards import everything


def test_the_plots_follow_their_choices(visit):
    page = visit()
    page.click("#tab-all")
    names = set(page.locator("#board tbody:not(.unranked) .name").all_inner_texts())
    without = {"replicate", "reversed_replicate", "size_depth", *FROM_TABLES} - {"parameters", "constant"}  # added, so free
    assert page.locator("#cost-plot circle").count() == len({name.split("\n")[0] for name in names} - without)
    page.select_option("#scatter-criterion", label="parameters (blind)")
    page.select_option("#scatter-network", label="test1a")
    page.select_option("#scatter-axis", label="true area")
    assert page.locator("#scatter circle").count() == 12
    assert page.locator("#scatter-table tbody tr").count() == 12
    assert page.locator("#scatter figcaption").last.inner_text().startswith("parameters on test1a under noise: Spearman ")
    page.select_option("#budget-task", label="protect")
    page.select_option("#budget-perturbation", label="int8")
    assert page.locator("#budget-level option").all_inner_texts() == ["0.01", "0.1"]
    assert page.locator("#budget-plot polyline").count() == 3  # the best; this table has neither uniform nor truth_guided
    page.locator("#budget-lines input:checked").first.uncheck()
    assert page.locator("#budget-plot polyline").count() == 2
    for _ in range(6):
        page.locator("#budget-lines input:not(:checked):enabled").first.check()
    assert page.locator("#budget-plot polyline").count() == 8
    assert page.locator("#budget-lines input:not(:checked):enabled").count() == 0
    assert page.locator("#budget-table tbody tr").count() == 30


def test_budgets_of_two_perturbations_are_never_one_curve(visit):
    """A choice between them is there only where the task has several; the level is kept where both have it."""
    page = visit()
    choice = page.locator("label:has(#budget-perturbation)")
    picture, n_points = page.locator("#budget-plot svg"), page.locator("#budget-plot circle")
    page.select_option("#budget-task", label="prune")
    assert not choice.is_visible()
    assert not page.locator("label:has(#budget-level)").is_visible()
    assert picture.get_attribute("aria-label") == "Accuracy against what was spent: prune, other_test0a, magnitude_prune"
    page.select_option("#budget-task", label="protect")
    assert choice.is_visible()
    assert page.locator("#budget-perturbation option").all_inner_texts() == ["float32", "int8"]
    for name, levels in (("float32", ["0.01"]), ("int8", ["0.01", "0.1"])):
        page.select_option("#budget-perturbation", label=name)
        assert page.locator("#budget-level option").all_inner_texts() == levels
        assert picture.get_attribute("aria-label") == f"Accuracy against what was spent: protect, other_test0a, {name}, 0.01"
        assert n_points.count() == 3 * 3
        page.locator("#budget summary").last.click()
        assert set(page.locator("#budget-table tbody td:nth-child(3)").all_inner_texts()) == {name}
        cells = page.locator("#budget-table tbody tr").last.locator("td").all_inner_texts()
        assert cells[1:] == [
            name,
            "0.9",
            "0.882",
            "0.495 (0.475 to 0.515)",
            "0.100 (0.050 to 0.150)",
            "beats uniform",
            "0.180",
            "2500",
            "0.90",
        ]
        page.locator("#budget summary").last.click()


def test_plots_are_drawn_anew_for_a_narrow_window(visit):
    """Their text would shrink with the picture: half the width would be half the size."""
    page = visit()
    size = "document.querySelector('#cost-plot svg text').getBoundingClientRect().height"
    wide = page.evaluate(size)
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.querySelector('#scatter svg').viewBox.baseVal.width === 370")
    assert page.evaluate(size) > 0.7 * wide


def test_plots_are_read_by_keyboard(visit):
    """One stop of the Tab key a plot; arrows move between its marks, and the line below it says what each is."""
    page = visit()
    for plot in ("cost-plot", "scatter", "budget-plot"):
        marks, readout = page.locator(f"#{plot} circle"), page.locator(f"#{plot} .readout")
        assert page.locator(f"#{plot} [tabindex='0']").count() == 1
        page.locator(f"#{plot} [tabindex='0']").focus()
        read = [readout.inner_text()]
        for _ in range(marks.count() - 1):
            page.keyboard.press("ArrowRight")
            read.append(readout.inner_text())
        assert sorted(read) == sorted(each.get_attribute("aria-label") for each in marks.all()), plot
        page.keyboard.press("Home")
        assert readout.inner_text() == read[0]
        assert page.locator(f"#{plot} [tabindex='0']").get_attribute("aria-label") == read[0]
    assert page.locator("#budget-plot g.out").count() == 1  # the focused line stands out
    assert page.locator("#budget-plot g.faded").count() == page.locator("#budget-plot g").count() - 1 > 0


def test_the_front_is_what_nothing_as_cheap_beats(visit):
    page = visit()
    found = page.evaluate("rows().filter((row) => row.cost !== null && row.mean !== null)")
    front = page.evaluate("frontOf(rows().filter((row) => row.cost !== null && row.mean !== null)).map((row) => row.name)")
    judged = [row for row in found if not row["reported"]]
    better = lambda a, b: max(a["cost"], 1) <= max(b["cost"], 1) and a["mean"] > b["mean"]  # noqa: E731
    wanted = {row["name"] for row in judged if not any(better(other, row) for other in judged)}
    assert {"good", "aware"} <= set(front) <= wanted
    assert page.locator("#cost-plot .front").get_attribute("d").count("H") == len(front)


def test_the_heat_map_shows_the_true_areas_of_the_chosen_network(visit):
    page = visit()
    page.select_option("#choose-network", "test1a")
    truth, _, _ = everything()
    areas = {
        row["layer"]: row["value"]
        for row in truth["layer_sensitivity"].to_pylist()
        if (row["network"], row["perturbation"], row["summary"]) == ("test1a", "noise", "area")
    }
    shown = page.locator("#heat tbody tr > :nth-child(2)").all_inner_texts()
    assert shown == [f"{areas[f'layer{i}']:.2f}".replace("-", "\u2212") for i in range(12)]
    assert page.locator("#heat tfoot td").all_inner_texts() == ["0.30", "0.90", "0.90"]
