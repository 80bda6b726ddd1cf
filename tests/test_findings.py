"""The page of findings is what the tables say, and would say the opposite of opposite tables."""

import csv
import json
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from docs.findings import agreement, concentration, one_ranking, size, worst_case
from docs.findings.__main__ import BUDGETS, documents, found_in, published
from docs.findings.data import Data
from docs.findings.families import at_once, over_families
from docs.findings.finding import Value
from docs.findings.front import picture, sentences, with_findings
from docs.findings.introduction import introduction
from docs.findings.page import page
from docs.markdown import BEGIN, END
from safer_bench.perturbations.loading import perturbations
from tests.conftest import ROOT
from tests.made_up.damage import damaged

DOCS = ROOT / "docs"
LEVEL = re.compile(r"at [\d.]+ times the layer's norm")  # a setting, no finding
FAULTS = {"float32_bit_flip": "float32_faults", "int8_bit_flip": "int8_faults", "int8_bit_count": "int8_faults"}
P_LEVELS = perturbations()["gaussian_noise"].levels
CORRUPTIONS = {"gradient_corruption_l2": "worst_case", "random_corruption_l2": ""}


@pytest.fixture(scope="module")
def committed():
    return published()


@pytest.fixture(scope="module")
def findings(committed):
    return found_in(committed)


def made_up(areas, use_cases, **settings):
    return Data(damaged(areas, use_cases, **settings), BUDGETS)


def rising(sizes):
    return 0.1 + 0.5 * sizes


def falling(sizes):
    return 0.6 - 0.5 * sizes


def unrelated(sizes):
    return np.random.default_rng(np.rint(100 * sizes).astype(int)).uniform(0.1, 0.6, len(sizes))


def test_the_committed_page_and_numbers_are_those_of_the_committed_tables(committed, findings):
    for name, text in documents(committed, findings).items():
        assert (DOCS / name).read_text() == text, f"{name}: make findings"


def test_the_readme_tells_the_findings_of_the_committed_tables(committed, findings):
    readme = (ROOT / "README.md").read_text()
    assert with_findings(readme, committed, findings) == readme, "make findings"
    assert len(sentences(committed, findings)) == 3


def test_the_readme_follows_other_tables():
    """Without criteria and with one use case, only what there is is told."""
    data = made_up(dict.fromkeys(FAULTS, rising), dict.fromkeys(FAULTS, "faults"))
    found = concentration.find(data)
    text = with_findings(f"before\n{BEGIN}old\n{END}after\n", data, {"concentration": found, "one_ranking": None})
    top = found.values["all use cases: top"]
    assert re.fullmatch(f"before\n{BEGIN}- \\*\\*A few [^\n]* bears {re.escape(str(top))} of [^\n]*\n{END}after\n", text)
    with pytest.raises(ValueError, match="no place"):
        with_findings("nothing", data, {})


def test_the_readmes_picture_is_drawn(committed):
    for picture_of in (picture(committed), (DOCS / "front.png").read_bytes()):
        assert len(picture_of) < 60_000
        with Image.open(BytesIO(picture_of)) as found:
            assert found.width == 800


def test_every_finding_has_a_small_figure_and_no_other_is_there(findings):
    paths = {path.stem: path for path in (DOCS / "findings" / "figures").iterdir()}
    assert set(paths) == {name for name, finding in findings.items() if finding}
    for path in paths.values():
        assert path.stat().st_size < 60_000
        with Image.open(path) as picture:
            assert picture.width == 800


def test_a_figure_is_drawn(findings):
    assert Image.open(BytesIO(findings["size"].figure.draw())).width == 800


def test_every_number_of_a_sentence_is_a_value_with_an_interval_or_a_reason(findings):
    for name, finding in findings.items():
        for sentence in (*finding.sentences, *finding.limits) if finding else ():
            rest = LEVEL.sub("", sentence)
            for value in sorted(map(str, finding.values.values()), key=len, reverse=True):
                rest = rest.replace(value, "")
            assert not re.search(r"\d\.\d", rest), f"{name}: {rest}"


def test_every_number_of_a_table_is_published(findings):
    for name, finding in findings.items():
        for table in finding.tables if finding else ():
            for row in table.rows:
                assert len(row) == len(table.header), name
                numbers = [cell for cell in row if isinstance(cell, Value)]
                assert all(number in finding.values.values() for number in numbers), f"{name}: {row}"


def test_a_value_without_an_interval_has_a_reason():
    with pytest.raises(ValueError, match="either an interval or the reason why there is none"):
        Value(0.5)
    with pytest.raises(ValueError, match="either an interval or the reason why there is none"):
        Value(0.5, 0.4, 0.6, reason="2 networks: 0.4 to 0.6")


def test_the_published_numbers_are_those_of_the_sentences(findings):
    told = json.loads((DOCS / "findings" / "values.json").read_text())
    assert list(told) == sorted(name for name, finding in findings.items() if finding)
    for numbers in told.values():
        for number in numbers.values():
            assert (number["low"] is None) == bool(number["reason"])
            assert number["low"] is None or number["low"] <= number["value"] <= number["high"]


def test_fewer_than_six_families_have_no_interval_and_nothing_is_told():
    data = made_up(dict.fromkeys(FAULTS, rising), FAULTS, n_families=5)
    finding = size.find(data)
    assert re.search(r"\(5 networks: 0\.\d\d to [01]\.\d\d\)\. .* too few families for an interval\.", finding.sentences[0])


def test_means_are_over_families_first(committed):
    twice = over_families({"resnet8": 0.0, "resnet20": 0.0, "vit6": 1.0}, committed.facts)
    assert str(twice) == "0.50 (3 networks: 0.00 to 1.00)"


def test_intervals_that_hold_at_once_are_wider_than_each_by_itself(committed):
    """Of many differences without a cause some leave out 0 by themselves; at once hardly any does."""
    rng, networks = np.random.default_rng(1), committed.population()
    rows = {i: dict(zip(networks, rng.normal(size=len(networks)), strict=True)) for i in range(60)}
    alone = [over_families(row, committed.facts, difference=True) for row in rows.values()]
    together = at_once(rows, committed.facts, difference=True)
    assert [value.value for value in together.values()] == [value.value for value in alone]
    sure, still = ([value for value in of if value.low * value.high > 0] for of in (alone, together.values()))
    assert len(sure) > len(still) == 0


def test_few_families_have_no_interval_at_once(committed):
    rows = {key: {"resnet8": 0.1, "vit6": value} for key, value in (("a", 0.2), ("b", 0.3))}
    assert [value.low for value in at_once(rows, committed.facts).values()] == [None, None]


def idle(areas, **settings):
    """Return data of areas, and of one perturbation ``idle`` whose areas are noise that costs next to nothing."""
    cases = dict.fromkeys(areas, "faults") | {"idle": "faults"}
    return made_up(areas | {"idle": lambda sizes: 1e-4 * unrelated(sizes)}, cases, noise=1e-4, **settings)


def test_areas_that_tell_no_layers_apart_are_left_out_and_counted():
    data = idle({"a": rising, "b": rising, "int8_bit_flip": rising})
    n = len(data.uninformative["idle"])
    assert n > 2
    assert f"These are {n} of 32 (`idle` in {n} of 8 networks)." in introduction(data)
    (network, *_) = data.uninformative["idle"]
    assert not data.informs(network, "idle")
    assert {agreement.between(data, name, ("a",), ("idle",)) for name in data.uninformative["idle"]} == {None}
    assert agreement.between(data, network, ("a",), ("b",)) == pytest.approx(1.0, abs=0.01)
    assert all(data.informs(name, "a") for name in data.population())


def test_without_such_areas_the_page_says_so():
    """Areas that are unsure but costly, and those that cost nothing but are sure, stay."""
    areas = {"unsure": lambda sizes: 0.3 + 0.0 * sizes, "harmless": lambda sizes: 1e-3 * sizes}
    data = made_up(areas, dict.fromkeys(areas, "faults"), noise=1e-5)
    assert any(data.reliability(name, "unsure") < 0.5 for name in data.population())
    assert "the median layer under 0.5 points. There is none." in introduction(data)


def test_levels_that_were_changed_since_are_counted(committed):
    now = {name: set(entry.levels) for name, entry in perturbations().items()}
    others = sum(set(levels) != now[name] for name, levels in committed.facts.levels.items())
    told = f"{others} of its {len(committed.facts.levels)} perturbations were given" in introduction(committed)
    assert told == (others > 0)
    same = made_up({"gaussian_noise": rising}, {"gaussian_noise": ""}, levels={"gaussian_noise": P_LEVELS})
    assert "**Levels**" not in introduction(same)


def test_the_middle_level_is_no_finding_where_it_tells_no_layers_apart():
    data = idle({"a": rising})
    (network, *_) = [name for name in data.population() if not data.informs(name, "idle")]
    alone, both = (concentration._unharmed(data, network, names) for names in (("a",), ("a", "idle")))
    assert alone == both == 0.0
    assert np.isnan(concentration._unharmed(data, network, ("idle",)))


def test_size_under_counted_flips_is_told_in_docs_as_on_the_page(findings):
    of = {fault: f"{findings['size'].values[fault].value:.2f}" for fault in ("float32_bit_flip", "int8_bit_count")}
    page = " ".join((DOCS / "statistics.md").read_text().split())
    assert f"under float32 bit flips ({of['float32_bit_flip']})" in page
    assert "int8 bits flip, larger layers are the less fragile: " in findings["size"].sentences[2]
    assert f"counted int8 flips larger layers are the less fragile ({of['int8_bit_count']})." in page


def test_what_the_page_of_statistics_says_of_boards_is_on_them(findings):
    page = " ".join((DOCS / "statistics.md").read_text().split())
    board = " ".join((DOCS / "board" / "leaderboard.md").read_text().split())
    (median,) = re.findall(r"families are of 3 kinds\. [^.]* \(intraclass correlation (0\.\d\d) in the median", board)
    assert f"today's median over its blind criteria, {median}." in page
    (n_sure,) = re.findall(r"In (\d) of 7 use cases [^.]* a blind criterion is surely better", board)
    assert f"With the values in use some are in {('one', 'two', 'three', 'four')[int(n_sure) - 1]}." in page
    with (DOCS / "board" / "leaderboard.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["board"] == "fashion_mnist, test"]
    (replicate,) = [row["value"] for row in rows if (row["criterion"], row["metric"]) == ("replicate", "spearman")]
    assert f"({float(replicate):.2f} on Fashion-MNIST's test networks)" in page
    single, every = (
        f"{findings['one_ranking'].values[f'{which} ranking reaches'].value:.2f}" for which in ("single", "every")
    )
    assert f"it is {single} over all use cases, where an aware criterion's is {every}." in page


@pytest.mark.parametrize(("less", "told"), [(0.0, "(14 networks: 0.0 to 40.0)"), (0.001, "(-")])
def test_where_all_networks_lose_no_interval_reaches_below_0(committed, less, told):
    """Few networks lose much: a symmetric interval would say that a loss in all of them is not told from 0."""
    drops = {network: 0.4 / 2**i - less for i, network in enumerate(committed.population())}
    assert told in str(worst_case._points(committed, drops))


def test_ratios_have_geometric_means(committed):
    assert (
        str(over_families({"resnet8": 2.0, "vit6": 8.0}, committed.facts, geometric=True))
        == "4.00 (2 networks: 2.00 to 8.00)"
    )


@pytest.mark.parametrize(
    ("area", "words"),
    [
        (rising, "larger layers are the more fragile: "),
        (falling, "larger layers are the less fragile: "),
        (unrelated, "the interval does not leave out 0"),
    ],
)
def test_size_is_told_as_it_is(area, words):
    finding = size.find(made_up(dict.fromkeys(FAULTS, area), FAULTS))
    assert all(words in sentence for sentence in finding.sentences[:3])


def test_layers_that_counted_flips_invert_whole_are_counted():
    data = made_up(dict.fromkeys(FAULTS, rising), FAULTS, levels={"int8_bit_count": (1.0, 8.0, 96.0)})
    n_layers = sum(len(data.networks[name].truth.size_and_depth[0]) for name in data.population())
    (limit,) = size.find(data).limits
    assert f"these are 0, {len(data.population())} and {n_layers} of {n_layers} layers" in limit  # of 1 to 12 weights


@pytest.mark.parametrize(("first", "second", "words"), [(rising, falling, "higher"), (falling, rising, "lower")])
def test_a_difference_of_correlations_is_told_as_it_is(first, second, words):
    finding = size.find(made_up(dict(zip(FAULTS, (first, second, second), strict=True)), FAULTS))
    fragile = [sentence for sentence in finding.sentences[:3] if "larger layers are the more fragile" in sentence]
    assert len(fragile) == (1 if first is rising else 2)
    assert f"is {words} than where int8 bits flip at a given rate" in finding.sentences[-2]
    assert "cannot be told from that where a given number" in finding.sentences[-1]


@pytest.mark.parametrize(("other", "words"), [(rising, "above 0."), (falling, "below 0: what breaks under one holds")])
def test_agreement_is_told_as_it_is(other, words):
    cases = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    finding = one_ranking.find(made_up(dict(zip(cases, (rising, rising, other, rising), strict=True)), cases))
    assert words in finding.sentences[1]
    assert ("is above 0" in finding.sentences[0]) == (other is falling)
    reached, every = (finding.values[f"{which} ranking reaches"].value for which in ("single", "every"))
    assert reached < every - 0.3 if other is falling else reached > every - 0.05


@pytest.mark.parametrize(("stronger", "words"), [("gradient", "costs more than"), ("random", "costs less than")])
def test_the_worse_corruption_is_told_as_it_is(stronger, words):
    areas = {name: rising if stronger in name else lambda sizes: 0.3 * rising(sizes) for name in CORRUPTIONS}
    finding = worst_case.find(made_up(areas, CORRUPTIONS, noise=0.005))
    assert words in finding.sentences[0]
    assert finding.values["L2, all entries: agreement"].value > 0.9


def test_the_ratio_of_norms_is_that_of_the_levels():
    """The same drops at levels four times as large: a random corruption needs four times the norm."""
    levels = {"random_corruption_l2": (0.4, 1.2, 4.0)}
    finding = worst_case.find(made_up(dict.fromkeys(CORRUPTIONS, rising), CORRUPTIONS, noise=0.001, levels=levels))
    assert finding.values["L2, all entries: ratio of norms"].value == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize(
    ("area", "words", "most"),
    [
        (lambda sizes: 0.005 + 0.9 * (sizes == 1.0), "is above 0", 101.0),
        (lambda sizes: 0.4 + 0.0 * sizes, "cannot be told from 0", 25.0),
    ],
)
def test_concentration_is_told_as_it_is(area, words, most):
    finding = concentration.find(made_up({"a": area, "b": area}, {"a": "a", "b": "b"}, noise=0.001))
    assert re.search(rf"The difference, [^,]*, {words}\.", finding.sentences[0])
    assert most - 10.0 < finding.values["all use cases: top"].value < most


def test_noise_is_no_concentration():
    """By the half that brought layers to the front, noise alone had a Gini coefficient far above 0."""
    even = made_up({"a": lambda sizes: 0.2 + 0.0 * sizes}, {"a": "a"}, noise=0.1, n_families=30)
    assert abs(concentration.find(even).values["a: gini"].value) < 0.05


def test_what_a_truth_lacks_is_named():
    data = made_up({"quantize": rising}, {"quantize": "quantization"})
    modules = (one_ranking, size, worst_case, concentration)
    found = {module.TITLE: module.find(data) for module in modules}
    text = page(found, {title: title for title in found}, introduction(data))
    missing = text.partition("## Not in this truth\n\n")[2]
    assert missing == "".join(f"- {module.TITLE}\n" for module in modules[:3])
