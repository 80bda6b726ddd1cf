"""The learned blend: made again from the committed truth, by validation networks alone, families left out of what judges them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from benchmarks import learn_blend
from benchmarks.learn_blend import CANDIDATES, Lesson, best_single, choose, fit, learnt, left_out, lessons, reached
from safer_bench.dataset.contents import network_revisions
from safer_bench.dataset.tree import load_tree
from safer_bench.errors import BadInput
from safer_bench.ranks import of_length_1, scaled_ranks
from safer_bench.tables import schema
from safer_bench.tables.facts import read_facts
from safer_bench.tables.score_table import from_mapping
from tests.conftest import COMMITTED
from tests.made_up.truth import KINDS, made_up_scores, made_up_truth


def made_up(n_families=4, **given):
    """Return validation networks whose ranking ``snip`` finds best of all candidates; ``macs`` finds its opposite."""
    truth = made_up_truth(n_families, **{"split": "validation"} | given)
    noise = dict.fromkeys(CANDIDATES, 3.0) | {"snip": 0.2}
    scores = {name: made_up_scores(truth, size, i) for i, (name, size) in enumerate(noise.items())}
    scores["macs"] = {key: -value for key, value in scores["snip"].items()}
    tables = [from_mapping(name, found, read_facts(truth)) for name, found in scores.items()]
    return truth | {"scores": pa.concat_tables(tables)}


def by_first_use(table):
    """Return the values of layers named layer0, layer1 and so on."""
    values = dict(zip(table["layer"].to_pylist(), table["value"].to_pylist(), strict=True))
    return np.array([values[f"layer{i}"] for i in range(len(values))])


def one_hot(name):
    return np.array([float(each == name) for each in CANDIDATES])


def test_learning_again_gives_the_committed_coefficients():
    tree, committed = load_tree(COMMITTED), json.loads(learn_blend.OUT.read_text())
    given, revisions = lessons(tree), network_revisions(tree["layer_drops"])
    learnt_from = {name: revision for family in committed["networks"].values() for name, revision in family.items()}
    assert learnt_from == {each.network: revisions[each.network] for each in given}, "make blend"
    features, penalty = choose(given)
    assert (committed["penalty"], list(committed["coefficients"])) == (penalty, [CANDIDATES[i] for i in features])
    found = fit(given, features, penalty)[list(features)]
    assert list(committed["coefficients"].values()) == pytest.approx(found, abs=1e-4)


@pytest.mark.long
def test_learning_again_gives_all_of_the_committed_file():
    committed, found = json.loads(learn_blend.OUT.read_text()), learnt(load_tree(COMMITTED))
    for key in ("coefficients", "spearman_on_families_left_out"):
        assert found.pop(key) == pytest.approx(committed.pop(key), abs=2e-4)
    assert found == committed


def test_no_row_of_a_test_network_is_looked_at():
    tree = load_tree(COMMITTED)
    changed = {name: tree[name] for name in ("networks", "layers", "layer_sensitivity", "cells", "perturbations", "scores")}
    for name, column in (("scores", "score"), ("layer_sensitivity", "value")):
        table = changed[name]
        is_test = pc.equal(table["split"], "test")
        assert pc.any(is_test).as_py()
        values = pc.if_else(is_test, pc.negate(pc.add(table[column], 1.0)), table[column])
        changed[name] = table.set_column(table.column_names.index(column), table.schema.field(column), values)
    for one, other in zip(lessons(tree), lessons(changed), strict=True):
        assert (one.network, one.family) == (other.network, other.family)
        for name in ("ranks", "target", "direction"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


def test_a_lesson_is_the_mean_over_use_cases_and_what_is_reached_is_a_boards_mean():
    """Two of the three perturbations are of one use case."""
    truth = made_up()
    lesson = lessons(truth)[0]
    truth["scores"] = truth["scores"].append_column("value", truth["scores"]["score"])
    snip, noise, l2, linf = (
        by_first_use(truth[table].filter((pc.field("network") == lesson.network) & (pc.field(column) == name)))
        for table, column, name in (
            ("scores", "criterion", "snip"),
            *(("layer_sensitivity", "perturbation", p) for p in KINDS),
        )
    )
    assert lesson.ranks[CANDIDATES.index("snip")] == pytest.approx(scaled_ranks(snip))
    assert lesson.target == pytest.approx(scaled_ranks(noise) / 2 + (scaled_ranks(l2) + scaled_ranks(linf)) / 4)
    correlations = [spearmanr(snip, each).statistic for each in (noise, l2, linf)]
    assert reached(one_hot("snip"), lesson) == pytest.approx(correlations[0] / 2 + (correlations[1] + correlations[2]) / 4)


def test_the_fit_is_scikit_learns_ridge_with_families_of_equal_weight():
    given = lessons(made_up(3))
    features = (4, 1, 13)
    rows = np.concatenate([lesson.ranks[list(features)].T for lesson in given])
    target = np.concatenate([lesson.target for lesson in given])
    families = [lesson.family for lesson in given]
    assert sorted(map(families.count, set(families))) == [1, 1, 2]
    weights = np.concatenate([np.full(12, 1 / (3 * families.count(lesson.family) * 12)) for lesson in given])
    slopes = Ridge(alpha=0.1, fit_intercept=False).fit(rows, target, sample_weight=weights).coef_
    assert fit(given, features, 0.1)[list(features)] == pytest.approx(slopes / np.abs(slopes).sum(), abs=1e-6)
    assert np.count_nonzero(fit(given, features, 0.1)) == 3


def test_a_family_is_judged_by_what_the_others_taught():
    given, heard = lessons(made_up()), []

    def learn(taught):
        heard.append({lesson.family for lesson in taught})
        return one_hot("snip")

    families = sorted({lesson.family for lesson in given})
    means = [np.mean([reached(one_hot("snip"), each) for each in given if each.family == family]) for family in families]
    assert left_out(given, learn) == pytest.approx(np.mean(means))
    assert heard == [{*families} - {family} for family in families]


def test_what_tells_most_is_chosen_first_and_a_sign_is_learnt():
    given = lessons(made_up())
    features, penalty = choose(given)
    assert CANDIDATES[features[0]] in ("snip", "macs")
    assert penalty in learn_blend.PENALTIES
    assert fit(given, features, penalty)[features[0]] * (1 if CANDIDATES[features[0]] == "snip" else -1) > 0.3
    assert best_single(given).tolist() == one_hot("snip").tolist()


def test_features_are_added_as_long_as_families_left_out_gain():
    """Truth is the sum of two rankings; each candidate but these two says nothing."""
    rng = np.random.default_rng(0)
    given = []
    for family in "abcd":
        ranks = scaled_ranks(rng.normal(size=(len(CANDIDATES), 60)))
        truth = ranks[2] - ranks[5]
        given.append(Lesson(family, family, ranks, scaled_ranks(truth), of_length_1(truth)))
    features, penalty = choose(given)
    assert set(features[:2]) == {2, 5}
    found = fit(given, features, penalty)
    assert (found[2] > 0.3, found[5] < -0.3) == (True, True)


def test_too_few_families_and_scores_that_lack_are_one_message_each():
    with pytest.raises(BadInput) as error:
        lessons(made_up(2))
    assert str(error.value) == "validation networks of 2 families; expected 3 or more to learn from"
    truth = made_up(3)
    truth["scores"] = truth["scores"].filter(pc.field("criterion") != "kurtosis")
    with pytest.raises(BadInput) as error:
        lessons(truth)
    assert str(error.value) == ("network 'validation0a': no scores by 'kurtosis'; expected all candidates: score it first")


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    truth = made_up(3)
    networks = truth["networks"]["network"].to_pylist()
    drops = schema.build("layer_drops", [{"network": network, "split": "validation"} for network in networks])
    monkeypatch.setattr(learn_blend.sb, "load_tree", lambda _: truth | {"layer_drops": drops})
    monkeypatch.setattr("sys.argv", ["learn_blend", "--out", str(tmp_path / "blend.json")])
    learn_blend.main()
    text = (tmp_path / "blend.json").read_text()
    assert capsys.readouterr().out == text + "\n"
    named = network_revisions(drops)
    assert json.loads(text)["networks"] == {
        family: {f"{family}{which}": named[f"{family}{which}"] for which in members}
        for family, members in (("validation0", "a"), ("validation1", "ab"), ("validation2", "a"))
    }
