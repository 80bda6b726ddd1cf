"""Runs: shares of them, and their log."""

import pickle
import re
import shutil

import pytest

from safer_bench.dataset.pack import pack
from safer_bench.errors import BadInput
from safer_bench.measurement.design import Design, Shard, make_protocol
from safer_bench.measurement.run import measure_into, share_of
from safer_bench.networks.loading import load_network
from safer_bench.truth.run_folder import RunFolder
from tests.made_up.cases import first_by_default
from tests.made_up.durability import differing, parts
from tests.made_up.networks import tiny_network
from tests.made_up.run_folders import as_before

PROTOCOL = make_protocol(["gaussian_noise:0.5,2", "quantize:2"], draws=4, n_examples=15)


@pytest.mark.parametrize("n_shards", [3, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 7))])
def test_shards_measure_every_unit_once_and_pack_to_the_same_tree(tmp_path, n_shards):
    networks = [tiny_network("one"), tiny_network("two")]
    measure_into(tmp_path / "whole", networks, PROTOCOL)
    shards = [tmp_path / f"shard{number}" for number in range(n_shards)]
    counts = [
        measure_into(folder, networks, PROTOCOL, shard=Shard(number + 1, n_shards)) for number, folder in enumerate(shards)
    ]
    found = [part for folder in shards for part in parts(folder)]
    assert len(found) == len(set(found))
    assert set(found) == parts(tmp_path / "whole")
    assert sum(counts) == RunFolder(tmp_path / "whole").probes().num_rows
    pack([tmp_path / "whole"], [], tmp_path / "tree")
    pack(shards, [], tmp_path / "merged")
    assert differing(tmp_path / "tree", tmp_path / "merged")[0] == 0


def test_a_missing_shard_is_named(tmp_path):
    for number in (1, 3):
        measure_into(tmp_path / str(number), [tiny_network()], PROTOCOL, shard=Shard(number, 4))
    with pytest.raises(BadInput) as error:
        pack([tmp_path / "1", tmp_path / "3"], [], tmp_path / "tree")
    assert str(error.value) == "of 4 shards of a run, 2, 4 are not among the run folders; give all of them"


def test_a_shard_given_twice_counts_once(tmp_path):
    folders = [tmp_path / str(number) for number in (1, 2)]
    for number, folder in enumerate(folders, start=1):
        measure_into(folder, [tiny_network()], PROTOCOL, shard=Shard(number, 2))
    pack(folders, [], tmp_path / "tree")
    shutil.copytree(folders[0], tmp_path / "copy")
    pack([tmp_path / "copy", *folders, folders[1]], [], tmp_path / "again")
    assert differing(tmp_path / "tree", tmp_path / "again")[0] == 0


@pytest.mark.parametrize(
    ("change", "found"),
    first_by_default(
        [(lambda share: [share[0], share[1] + 1], 2), (lambda share: [share[0], share[1] - 1], 0), (lambda _: [0, 0], 0)]
    ),
)
def test_shares_that_leave_out_units_or_hold_them_twice_are_refused(tmp_path, change, found):
    for number in (1, 2):
        measure_into(tmp_path / str(number), [tiny_network()], PROTOCOL, shard=Shard(number, 2))
    edit = lambda facts: facts["request"]["share"].update(tiny=change(facts["request"]["share"]["tiny"]))  # noqa: E731
    as_before(tmp_path / "1", keep=True, change=edit)
    with pytest.raises(BadInput, match=rf"1 and the other shards of its run: of network 'tiny', .* is in {found} of them, "):
        pack([tmp_path / "1", tmp_path / "2"], [], tmp_path / "tree")


def test_a_shard_does_not_go_on_with_another(tmp_path):
    measure_into(tmp_path, [tiny_network()], PROTOCOL, shard=Shard(1, 2))
    with pytest.raises(BadInput, match=r"belongs to a run with another shard \(\[1, 2\], now \[2, 2\]\)"):
        measure_into(tmp_path, [tiny_network()], PROTOCOL, shard=Shard(2, 2))


def test_shares_have_about_as_much_work_each():
    network = load_network("digits_resnet")
    designs = {network.name: Design(network, make_protocol(["gaussian_noise"], 8, 75))}
    every = [designs[network.name].work(unit.slice, unit.layer) for unit in designs[network.name].units()]
    for n_shards in (2, 5):
        stretches = [share_of(designs, Shard(number, n_shards))["share"][network.name] for number in range(1, n_shards + 1)]
        work = [sum(every[first:last]) for first, last in stretches]
        assert max(work) < sum(every) / n_shards + max(every)
        assert [first for first, _ in stretches[1:]] == [last for _, last in stretches[:-1]]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(BadInput) as error:
        Shard.parse(text)
    assert str(error.value) == f"shard {text!r}; expected i/n with i from 1 to n, such as 1/4"


def test_a_protocol_survives_pickling_with_a_users_perturbation(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(
        "import safer_bench as sb\n"
        "@sb.perturbation(levels=(0.5, 0.1), scale='linear', unit='share', source='mine')\n"
        "def shrink(weight, level, rng):\n"
        "    return weight * level\n"
    )
    monkeypatch.chdir(tmp_path)
    protocol = make_protocol(["mine.py:shrink:0.1"], {"tiny": {"shrink": [3]}}, 7, 5)
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(protocol))
    (entry, levels), (before, _) = again.perturbations[0], protocol.perturbations[0]
    assert (entry.name, levels, again.n_examples, again.seed) == ("shrink", (0.1,), 7, 5)
    assert again.draws_of("tiny", entry, 0.1) == protocol.draws_of("tiny", before, 0.1) == range(3)


def test_the_log_tells_what_was_run_where_and_how_it_went(tmp_path):
    def stop(what, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_into(tmp_path, [tiny_network()], PROTOCOL, stop)
    measure_into(tmp_path, [tiny_network()], PROTOCOL)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines)
    text = [line.split(" ", 1)[1] for line in lines]
    assert text[0].startswith("command: ")
    assert re.match(r"python 3\.\d+\.\d+, safer-bench \d.*, torch \d.*, numpy \d", text[1])
    assert re.search(r"\d+ processors, \d+ threads, ", text[2])
    assert re.match("environment: .*OMP_NUM_THREADS=", text[3])
    assert text.index("interrupted") < text.index("1 of 15 parts are there and intact") < text.index("finished")
    units = [
        line
        for line in text
        if re.match(r"tiny (conv|hidden|head), \d+ examples from \d+: .* s, \d+ bytes; settled: ", line)
    ]
    assert len(units) == 15
    assert re.fullmatch(r"14 parts in \d+\.\d\d s; workers were measuring for \d+\.\d\d s", text[-2])


def test_the_log_says_what_was_measured_by_whole_passes(tmp_path):
    network = tiny_network()
    network.model.register_forward_hook(lambda module, args, output: output * float(output.abs().max() > 0))
    measure_into(tmp_path, [network], PROTOCOL)
    assert " tiny: by whole passes: torch.export: " in (tmp_path / "log.txt").read_text()
