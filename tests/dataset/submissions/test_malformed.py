"""Malformed submissions: each is refused in one message, and none stops another."""

import random
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safer_bench.dataset.submissions.gather import gather, read_all, submission_folders
from safer_bench.dataset.submissions.plain_files import read_columns
from safer_bench.dataset.submissions.submission import BadSubmission, read_submission
from tests.made_up.submissions import FAULTS, NETWORK, Malformed, malformed

HOW_MANY = [len(FAULTS), pytest.param(300, marks=pytest.mark.long)]


@pytest.fixture
def layers(small_tree):
    return [row["layer"] for row in small_tree["layers"].to_pylist() if row["network"] == NETWORK]


def good(root, name, layers):
    Malformed(root / name, layers, random.Random(0))  # as it is before anything is made wrong
    return root / name


@pytest.mark.parametrize("how_many", HOW_MANY)
def test_each_malformed_one_is_a_message_and_the_good_ones_are_gathered(small_tree, layers, tmp_path, how_many):
    faults = dict(malformed(tmp_path, number, layers)[::-1] for number in range(how_many))
    assert set(faults.values()) == set(FAULTS)
    kept = [good(tmp_path, name, layers) for name in ("a_good_one", "z_good_one")]
    found, refused = read_all(small_tree, submission_folders(tmp_path))
    assert {faults.get(folder) for folder in found} == {None}
    assert list(found) == kept
    assert set(refused) == set(faults)
    assert all(str(folder) in message and len(message) < 1500 for folder, message in refused.items())
    gathered = gather(small_tree, submission_folders(tmp_path), strict=False)
    assert set(gathered.scores["criterion"].to_pylist()) == {
        *small_tree["scores"]["criterion"].to_pylist(),
        "a_good_one",
        "z_good_one",
    }


@pytest.mark.parametrize("compression", ["none", pytest.param("snappy", marks=pytest.mark.long)])
def test_damaged_bytes_of_parquet_are_refused_or_read(small_tree, layers, tmp_path, compression):
    """A changed byte may be another score; whatever it is, nothing but a refusal comes of it."""
    at = Malformed(tmp_path / "mine", layers, random.Random(1))
    at.parquet(at.columns(), compression=compression)
    path = at.folder / "scores.parquet"
    whole, outcomes = path.read_bytes(), []
    for place in range(4, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([at.draw.randrange(256)]) + whole[place + 1 :])
        try:
            outcomes.append(read_submission(at.folder, small_tree).scores.num_rows)
        except BadSubmission:
            outcomes.append(None)
    assert None in outcomes
    assert set(outcomes) <= {None, len(layers)}


BOMBS = {
    "2.4 MB": (lambda at: at.parquet(
        at.columns() | {"x": pa.array(at.draw.randbytes(240_000) for _ in at.rows)}), r"2,4\d\d,\d\d\d bytes; expected 1,0"),
    "rows": (lambda at: at.parquet(
        {name: column.take(pa.array([0] * 5_000_000)) for name, column in at.columns().items()}), "5,000,000 rows or more"),
    "one text": (lambda at: at.parquet(
        at.columns() | {"layer": pa.array(["x" * 60_000_000, *at.columns()["layer"].to_pylist()[1:]])}, compression="zstd"), "bytes or more when it is unpacked"),
    "many times": (lambda at: at.parquet(
        at.columns() | {"layer": pa.array(["x" * 900_000] * len(at.rows))}), "a text of 900,000 bytes"),
}  # fmt: skip


def _varint(value, length=0):
    """Return a number as Thrift writes it, in as many bytes as another."""
    value, found = value << 1, b""
    while value >= 128 or len(found) + 1 < length:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def test_a_footer_that_says_little_of_much_is_not_believed(small_tree, layers, tmp_path):
    """13 kB took 1.2 GB: the headers of the pages are asked, which Arrow itself holds them to."""
    at = Malformed(tmp_path / "mine", layers, random.Random(1))
    texts = pa.array(["x" * 60_000_000, *layers[1:]])
    at.parquet(at.columns() | {"layer": texts}, compression="zstd", use_dictionary=False, write_statistics=False)
    path = at.folder / "scores.parquet"
    found, data = pq.ParquetFile(path).metadata.row_group(0), path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:]
    for size in (found.column(1).total_uncompressed_size, found.total_byte_size):
        footer = footer.replace(_varint(size), _varint(1000, len(_varint(size))))
    path.write_bytes(data[:start] + footer)
    assert pq.ParquetFile(path).metadata.row_group(0).column(1).total_uncompressed_size == 1000
    usual, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(BadSubmission, match="bytes or more when it is unpacked"):
            read_submission(at.folder, small_tree)
        assert pool.max_memory() < 10e6
    finally:
        pa.set_memory_pool(usual)


@pytest.mark.parametrize(
    "how",
    [
        {"data_page_version": "2.0"},
        {"compression": "gzip"},
        {"use_dictionary": False},
        {"write_page_index": True},
        {"column_encoding": "DELTA_LENGTH_BYTE_ARRAY", "use_dictionary": False},
        {"row_group_size": 3},
        {"data_page_size": 1},
        {"write_page_checksum": True},
        {"version": "1.0"},
        {"compression": "brotli"},
    ],
)
def test_parquet_of_any_writer_is_read(small_tree, layers, tmp_path, how):
    at = Malformed(tmp_path / "mine", layers, random.Random(1))
    if "column_encoding" in how:
        how = how | {"column_encoding": dict.fromkeys(("network", "layer"), how["column_encoding"])}
    at.parquet(at.columns() | {"unused": pa.array([[1, 2]] * len(layers))}, **how)
    found = read_submission(at.folder, small_tree).scores.to_pylist()
    assert {row["layer"]: row["score"] for row in found} == {layer: i / 4 for i, layer in enumerate(layers)}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_does_not_fill_the_memory(small_tree, layers, tmp_path, bomb):
    """2.4 MB of Parquet once took 4.5 GB."""
    at = Malformed(tmp_path / "mine", layers, random.Random(1))
    BOMBS[bomb][0](at)
    assert (at.folder / "scores.parquet").stat().st_size < 3e6
    usual, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        with pytest.raises(BadSubmission, match=BOMBS[bomb][1]):
            read_submission(at.folder, small_tree)
        assert pool.max_memory() + tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


@pytest.mark.parametrize(
    "texts",
    [
        ["9007199254740993", "9007199254740995", "10000000000000000000", "-0", "1e-400", "+.5", "5.", "1E3", "0" * 50 + "7"],
        ["1" + "0" * 308, "0.1", "123456789012345678901234567890", "4.9e-324", "2.5e-324", "-9223372036854775808"],
    ],
)
def test_numbers_of_csv_are_the_nearest_float64(small_tree, layers, tmp_path, texts):
    at = Malformed(tmp_path / "mine", layers, random.Random(1))
    texts += ["1"] * (len(layers) - len(texts))
    at.rows = [(*row[:2], text) for row, text in zip(at.rows, texts, strict=True)]
    at.csv()
    found = {row["layer"]: row["score"] for row in read_submission(at.folder, small_tree).scores.to_pylist()}
    assert [repr(found[layer]) for layer in layers] == [repr(float(text)) for text in texts]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()])
def test_numbers_of_any_width_are_read(small_tree, layers, tmp_path, kind):
    at = Malformed(tmp_path / "mine", layers, random.Random(1))
    large = {pa.int64(): 2**53 + 1, pa.uint64(): 2**64 - 1}.get(kind, 77)
    values = [large - i for i in range(len(layers))]
    at.parquet(at.columns() | {"score": pa.array([float(v) for v in values] if "f" in str(kind) else values, kind)})
    found = {row["layer"]: row["score"] for row in read_submission(at.folder, small_tree).scores.to_pylist()}
    assert [found[layer] for layer in layers] == [float(value) for value in values]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ],
)
def test_text_of_any_kind_is_read(small_tree, layers, tmp_path, kind):
    at = Malformed(tmp_path / "mine", layers, random.Random(1))
    columns = at.columns() | {"level": pa.nulls(len(layers)), "perturbation": pa.array([""] * len(layers))}
    at.parquet(columns | {name: columns[name].cast(kind) for name in ("network", "layer")})
    assert read_submission(at.folder, small_tree).scores["layer"].to_pylist() == sorted(layers)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_of_any_editor_is_read(small_tree, layers, tmp_path, end, encoding):
    at = Malformed(tmp_path / "mine", layers, random.Random(1))
    at.rows = [(f'"{network}"', f'"{layer}"', score) for network, layer, score in at.rows]
    at.csv(end=end, encoding=encoding)
    assert read_submission(at.folder, small_tree).scores.num_rows == len(layers)


def test_a_bad_folder_stops_no_other_one(cli, small_tree, layers, tmp_path):
    root = tmp_path / "submissions"
    root.mkdir()
    _, bad = malformed(root, 0, layers)
    kept = [good(root, name, layers) for name in ("a_good_one", "z_good_one")]
    found = cli("check", root, "--truth", small_tree.path)
    assert (found.code, found.err) == (
        1,
        f"Refused: {bad / 'submission.yaml'}: missing; `safer-bench score CRITERION --out {bad}` writes one, and docs/submissions.md "
        "shows one\n",
    )
    assert [line.partition(":")[0] for line in found.out.splitlines() if " in order" in line] == [str(each) for each in kept]
    board = tmp_path / "board"
    found = cli("evaluate", root, "--truth", small_tree.path, "--out", board)
    assert (found.code, found.out.splitlines()[0]) == (1, f"Submissions: 2 read: {kept[0]}, {kept[1]}")
    assert found.err.startswith(f"Refused: {bad / 'submission.yaml'}: missing;")
    assert "a_good_one (reported)\n" in found.out
    assert "The page shows them unranked until `safer-bench check FOLDER --recompute` has done so." in found.err
    assert "a\\_good" not in (text := (board / "leaderboard.md").read_text())
    assert "| a_good_one |" in text
    found = cli("compare", "a_good_one", "snip", "--submissions", root, "--truth", small_tree.path)
    assert found.code == 0
    assert found.err.startswith("Refused: ")
    assert "a_good_one: reported by its author, not computed again from code: the difference ranks nothing.\n" in found.out
    only = cli("evaluate", bad, "--truth", small_tree.path, "--out", tmp_path / "none")
    assert (only.code, (tmp_path / "none").exists()) == (1, False)


def test_a_folder_that_nobody_may_look_into_is_one_message(small_tree, layers, tmp_path, monkeypatch):
    closed, kept = good(tmp_path, "closed", layers), good(tmp_path, "open", layers)
    looked = Path.lstat

    def lstat(path):
        if closed in path.parents:
            raise PermissionError(13, "Permission denied")
        return looked(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    found, refused = read_all(small_tree, submission_folders(tmp_path))
    assert list(found) == [kept]
    card = closed / "submission.yaml"
    assert refused == {closed: f"{card}: cannot be read (Permission denied); expected a file"}


@pytest.mark.parametrize("letter", ["\x1b", "\n", "\u202e", "\udcff"])
def test_a_folders_name_moves_no_cursor(small_tree, layers, tmp_path, letter):
    odd, kept = tmp_path / f"a{letter}b", good(tmp_path, "kept", layers)
    good(tmp_path, "odd", layers).rename(odd)
    found, refused = read_all(small_tree, submission_folders(tmp_path))
    assert list(found) == [kept]
    assert refused[odd].isprintable()
    assert f"the folder's name holds the control character U+{ord(letter.replace(chr(10), chr(13))):04X}" in refused[odd]


def test_a_folder_that_is_a_link_is_refused(small_tree, layers, tmp_path):
    (tmp_path / "there").symlink_to(good(tmp_path, "here", layers))
    with pytest.raises(BadSubmission, match="there: a symbolic link; expected the folder itself"):
        read_submission(tmp_path / "there", small_tree)


def test_the_name_of_a_card_is_its_folders_where_there_are_others(small_tree, layers, tmp_path):
    first, second = (good(tmp_path, name, layers) for name in ("first", "second"))
    second = second.rename(tmp_path / "third")
    assert read_all(small_tree, [second])[1] == {}
    found, refused = read_all(small_tree, [first, second])
    assert list(found) == [first]
    assert refused == {second: f"{second / 'submission.yaml'}: name is 'second'; expected that of its folder, 'third'"}


def test_names_that_are_taken_for_each_other_are_both_left_out(small_tree, layers, tmp_path):
    folders = [good(tmp_path, name, layers) for name in ("mine", "Mine", "other")]
    found, refused = read_all(small_tree, folders)
    assert list(found) == folders[2:]
    assert refused[folders[0]] == (
        f"{folders[0] / 'submission.yaml'}: 'mine' would be taken for 'Mine' of {folders[1]}; rename one of them"
    )
    assert set(refused) == set(folders[:2])


def test_two_claims_to_one_criterion_stop_no_third(small_tree, layers, tmp_path):
    folders = [good(tmp_path, name, layers) for name in ("first", "second", "third")]
    for folder in folders[:2]:
        (folder / "submission.yaml").write_text(f"name: {folder.name}\ncriteria: [{{name: same}}]\n")
    assert read_all(small_tree, folders)[1] == {}  # the same scores: one criterion
    text = (folders[1] / "scores.csv").read_text()
    (folders[1] / "scores.csv").write_text(text.replace(",0.25", ",0.5"))
    found, refused = read_all(small_tree, folders)
    assert (list(found), set(refused)) == (folders[2:], set(folders[:2]))
    assert all("if these are two criteria, rename" in message for message in refused.values())


def test_scores_copied_from_the_truth_are_told(cli, small_tree, layers, tmp_path, monkeypatch):
    areas = {
        row["layer"]: row["value"]
        for row in small_tree["layer_sensitivity"].to_pylist()
        if (row["network"], row["perturbation"], row["summary"]) == (NETWORK, "gaussian_noise", "area")
    }
    assert len(set(areas.values())) >= 8
    folder = good(tmp_path, "mine", layers)
    at = "".join(f"{NETWORK},{layer},{areas[layer]!r}\n" for layer in layers)
    (folder / "scores.csv").write_text(f"network,layer,score\n{at}")
    assert "as the truth itself" not in cli("check", folder, "--truth", small_tree.path).out  # one small network
    monkeypatch.setattr("safer_bench.evaluation.copied.MANY_LAYERS", len(layers))
    found = cli("check", folder, "--truth", small_tree.path)
    assert found.code == 0
    assert "mine: a note: these scores order the layers as the truth itself does on 1 of 1 network, under one" in found.out
    assert "as the truth itself" not in cli("check", good(tmp_path, "honest", layers), "--truth", small_tree.path).out


def test_what_a_damaged_file_makes_arrow_say_moves_no_cursor(tmp_path, monkeypatch):
    """Its messages hold bytes of the file, such as "don't know what type: \\x0f"."""

    def damaged(*_, **__):
        raise OSError("don't know what type: \x1b[2J")

    (tmp_path / "scores.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pq, "ParquetFile", damaged)
    with pytest.raises(BadSubmission) as error:
        read_columns(tmp_path / "scores.parquet", {"score": "number"}, 10)
    assert str(error.value) == rf"{tmp_path / 'scores.parquet'}: cannot be read (don't know what type: \x1b[2J)"
