"""Where the text comes from, how it is cut, and that its parts never share a chapter."""

import os

import numpy as np
import pytest
import torch

from safer_bench.errors import BadInput, MissingData
from safer_bench.networks.data import text
from safer_bench.networks.data.parts import load_part, part_indices
from tests.conftest import ROOT

MADE_UP = b"Ge1:1 In the beginning.\nGe1:2 And the earth.\nGe2:1 Thus.\n1Jn1:1 That which was: 3:16 of old.\n"


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """As on a machine without the text."""
    monkeypatch.setattr(text, "COMMAND", ("no-such-bible", "-f"))
    monkeypatch.delenv("SAFER_BENCH_DATA", raising=False)
    text.read_chapters.cache_clear()
    yield tmp_path
    text.read_chapters.cache_clear()


@pytest.fixture
def here():
    """The text of this machine; under CI it has to be there."""
    try:
        return text.read_chapters()
    except MissingData as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def pinned(monkeypatch, listing, n_chapters):
    monkeypatch.setattr(text, "SHA256", text.sha256(listing).hexdigest())
    monkeypatch.setattr(text, "N_CHAPTERS", n_chapters)


@pytest.mark.parametrize("below", ["", "text"])
def test_a_given_folder_comes_first_and_references_are_cut_off(elsewhere, monkeypatch, below):
    (elsewhere / below).mkdir(exist_ok=True)
    (elsewhere / below / "bible-kjv.txt").write_bytes(MADE_UP)
    monkeypatch.setenv("SAFER_BENCH_DATA", str(elsewhere))
    pinned(monkeypatch, MADE_UP, 3)
    assert text.read_chapters() == [b"In the beginning.\nAnd the earth.\n", b"Thus.\n", b"That which was: 3:16 of old.\n"]


def test_a_command_prints_it(elsewhere, monkeypatch):
    monkeypatch.setattr(text, "COMMAND", ("printf", "Gen1:1 So.\\n"))
    pinned(monkeypatch, b"Gen1:1 So.\n", 1)
    assert text.read_chapters() == [b"So.\n"]


def test_another_text_is_refused(elsewhere, monkeypatch):
    monkeypatch.setenv("SAFER_BENCH_DATA", str(elsewhere))
    (elsewhere / "bible-kjv.txt").write_bytes(MADE_UP)
    with pytest.raises(BadInput) as error:
        text.read_chapters()
    assert str(error.value) == (
        f"{elsewhere / 'bible-kjv.txt'}: {len(MADE_UP)} bytes of SHA-256 {text.sha256(MADE_UP).hexdigest()[:16]}; expected the "
        f"4404412 bytes of cd45f0c9cedab8e4 that 'no-such-bible -f' of Debian's bible-kjv prints"
    )


def test_one_message_names_every_place_that_was_searched(elsewhere, monkeypatch):
    message = (
        "The text of the King James Version is not on this machine. Looked for bible-kjv.txt in the folder named by "
        "SAFER_BENCH_DATA ({}) and for the command 'no-such-bible' (apt-get install bible-kjv bible-kjv-text)"
    )
    with pytest.raises(MissingData) as error:
        text.read_chapters()
    assert str(error.value) == message.format("not set")
    monkeypatch.setenv("SAFER_BENCH_DATA", str(elsewhere))
    with pytest.raises(MissingData) as error:
        text.read_chapters()
    assert str(error.value) == message.format(elsewhere)


def test_parts_cover_all_chapters_once():
    parts = part_indices("text")
    assert {name: len(found) for name, found in parts.items()} == {"fit": 1054} | text.PARTS
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1189))


def test_a_chapter_is_cut_into_whole_sequences_and_the_next_byte_of_each_position():
    chapter = bytes(range(200))
    inputs, labels = text.cut(chapter)
    assert inputs.tolist() == [list(range(start, start + 64)) for start in (0, 64, 128)]
    assert np.array_equal(labels, inputs + 1)
    assert [len(text.cut(bytes(n))[0]) for n in (0, 1, 64, 65, 128, 129)] == [0, 0, 0, 1, 1, 2]


def test_sequences_are_those_of_the_parts_chapters(here):
    chapters = text.read_chapters()
    n_bytes = sum(map(len, chapters))
    assert (len(chapters), len(set(chapters))) == (1189, 1189)
    assert 4_000_000 < n_bytes < 4_404_412
    inputs, labels = load_part("text", "tune")
    assert (inputs.dtype, labels.dtype, inputs.shape, labels.shape[1]) == (torch.int64, torch.int64, labels.shape, 64)
    assert torch.equal(inputs[:, 1:], labels[:, :-1])
    joined = {bytes([*row, last]) for row, last in zip(inputs.tolist(), labels[:, -1].tolist(), strict=True)}
    for number in part_indices("text")["tune"]:
        assert all(chapters[number][at : at + 65] in joined for at in range(0, len(chapters[number]) - 64, 64))
    assert len(inputs) == sum((len(chapters[number]) - 1) // 64 for number in part_indices("text")["tune"])


def test_consecutive_sequences_are_of_different_chapters(here):
    """A probe sees consecutive ones."""
    inputs, labels = load_part("text", "evaluation")
    assert (inputs[1:, 0] == labels[:-1, -1]).float().mean() < 0.2


def test_there_are_sequences_enough(here):
    """32 draws of 60 without a repeat, and three sets of 512 for criteria."""
    assert len(load_part("text", "evaluation")[0]) >= 1920
    assert len(load_part("text", "calibration")[0]) >= 1536
    assert len(load_part("text", "fit")[0]) > 50_000


def pairs_and_next(part):
    inputs, labels = (tensor.numpy() for tensor in load_part("text", part))
    return (256 * inputs[:, :-1] + inputs[:, 1:]).ravel(), labels[:, 1:].ravel()


def test_the_card_says_how_far_counting_comes(here):
    counts = np.zeros((65536, 256), np.int32)
    np.add.at(counts, pairs_and_next("fit"), 1)
    pairs, following = pairs_and_next("tune")
    share = (counts.argmax(1)[pairs] == following).mean()
    assert f"{100 * share:.1f} % of `tune`" in (ROOT / "data_cards" / "safer-bench-zoo" / "README.md").read_text()


def test_hardly_a_sequence_stands_in_two_parts(here):
    """Genealogies and parallel passages repeat; at the same place of a cut they hardly ever do."""
    fit, evaluation, calibration = ({bytes(row) for row in load_part("text", part)[0].tolist()} for part in ("fit", "evaluation", "calibration"))  # fmt: skip
    assert len(evaluation & calibration) == 0
    assert len(evaluation & fit) < 10
