"""What comes back from the process that runs a submission's code is judged, not believed."""

import json
import sys

import pytest

from safer_bench.dataset.submissions.sandbox import Limits
from safer_bench.dataset.submissions.submission import SubmissionCard
from safer_bench.errors import BadInput
from safer_bench.networks.loading import load_network
from safer_bench.scoring import by_code, child
from safer_bench.scoring.by_code import Guard, Task, Unprotected, scores_by_code

CARD = SubmissionCard.model_validate({"name": "mine", "criteria": [{"name": "mine", "code": "mine.py:mine"}]})
ROWS = [[None, None, "a", 1.5, None], [None, None, "b", 2, 0.25]]
ANSWER = {"network": "digits_mlp", "criterion": "mine", "rows": ROWS}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Return what is found where the process writes some bytes."""
    network = load_network("digits_mlp")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text("def mine(model, batches): ...")
    keys = frozenset({(None, None, "a"), (None, None, "b")})

    def asked(written, guard=Guard(limits=Limits(seconds=20))):  # noqa: B008
        if isinstance(written, bytes):
            entry = tmp_path / "entry.py"
            entry.write_text(f"import sys\nsys.stdout.buffer.write({written!r})")
            monkeypatch.setattr(by_code.child, "__file__", str(entry))
        return list(scores_by_code(tmp_path / "mine", CARD, [Task(network, "mine", [], keys)], guard))

    return asked


def test_scores_are_taken_by_their_names(asked):
    assert asked(json.dumps(ANSWER).encode() + b"\n") == [{(None, None, "a"): (1.5, None), (None, None, "b"): (2.0, 0.25)}]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ANSWER | {"criterion": "snip"}, "criterion 'mine' on network 'digits_mlp': its process gave other scores than those asked for"),
        (ANSWER | {"network": "digits_cnn"}, "its process gave other scores than those asked for"),
        (ANSWER | {"rows": ROWS[:1]}, "its process gave other scores than those asked for"),
        (ANSWER | {"rows": [*ROWS, ROWS[0]]}, "its process gave other scores than those asked for"),
        (ANSWER | {"rows": [ROWS[0], [None, None, "c", 1.0, None]]}, "its process gave other scores than those asked for"),
        (ANSWER | {"rows": [ROWS[0], ["sign_flip", None, "b", 1.0, None]]}, "its process gave other scores than those asked for"),
        (ANSWER | {"rows": [ROWS[0], [None, None, "b", float("nan"), None]]}, "where scores were expected"),
        (ANSWER | {"rows": [ROWS[0], [None, None, "b", float("inf"), None]]}, "where scores were expected"),
        (ANSWER | {"rows": [ROWS[0], [None, None, "b", "3", None]]}, "where scores were expected"),
        (ANSWER | {"rows": [ROWS[0], [None, None, "b", 1.0, -1.0]]}, "where scores were expected"),
        (ANSWER | {"more": 1}, "where scores were expected"),
        ({"refused": "bad\x1b[2Jluck"}, "mine: bad [2Jluck"),
        ([1], "where scores were expected"),
        (b"junk\n", "its process wrote b'junk' where scores were expected"),
        (b"\xff\xfe\n", "where scores were expected"),
        (b"[" * 9_000 + b"\n", "where scores were expected"),
        (b"a" * 20_000, "wrote more than 10,2"),
        (json.dumps(ANSWER).encode(), "its process ended (exit status 0) before all scores were there"),
        (b"", "its process ended (exit status 0) before all scores were there"),
    ],
)  # fmt: skip
def test_anything_else_is_one_refusal(asked, answer, message):
    with pytest.raises(BadInput) as error:
        asked(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_a_system_that_cannot_keep_code_apart_is_no_refusal_of_the_submission(asked):
    with pytest.raises(
        Unprotected, match=r"this system cannot keep .* \(Landlock: Function not implemented\): it needs Linux"
    ):
        asked(b'{"unprotected": "Landlock: Function not implemented"}\n')


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="Linux confines")
def test_it_runs_there_all_the_same_if_it_is_told_to(asked, tmp_path, monkeypatch):
    """A process that may do nothing of the kind goes on where the guard says so, and nowhere else."""
    entry = tmp_path / "entry.py"
    entry.write_text(
        f"import sys\nsys.path.insert(0, {str(child.__file__).removesuffix('/safer_bench/scoring/child.py')!r})\n"
        "from safer_bench.scoring import child, confine\n"
        "confine.separate = lambda: 'namespaces'\nconfine.restrict = lambda *_: 'Landlock'\nchild.main()\n"
    )
    monkeypatch.setattr(by_code.child, "__file__", str(entry))
    with pytest.raises(Unprotected, match=r"\(namespaces, Landlock\)"):
        asked(None)
    with pytest.raises(BadInput, match=r"criterion 'mine' on network 'digits_mlp': returned NoneType; expected"):
        asked(None, Guard(unprotected=True))
