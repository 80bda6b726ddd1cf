"""A run that was interrupted, damaged, repeated or asked for something else."""

import fcntl
import os
import resource
import signal
from pathlib import Path

import pytest

from safer_bench.errors import BadInput
from safer_bench.measurement.design import make_protocol
from safer_bench.measurement.pilot import make_plan
from safer_bench.measurement.run import measure_into
from safer_bench.truth.run_folder import RunFolder, Unit, part_of
from tests.made_up.networks import tiny_network

PROTOCOL = make_protocol(["sign_flip:0.5", "quantize:2"], 2, 20, deterministic_examples=20)


class Death(BaseException):
    """The end of the process, which no handler of errors sees."""


def run(folder, protocol=PROTOCOL, stop_after=None, network=None):
    """Measure the tiny network; return the number of units reported."""
    reported = []

    def report(what, done, total):
        if what not in ("starting", "going on"):
            reported.append(what)
        if stop_after is not None and len(reported) == stop_after:
            raise KeyboardInterrupt

    measure_into(folder, [network or tiny_network()], protocol, report)
    return len(reported)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "parts").rglob("*.parquet"))}


def test_an_interrupted_run_is_finished_by_the_same_command_to_the_same_bytes(tmp_path):
    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_after=2)
    assert len(content(tmp_path / "cut")) == 2
    assert run(tmp_path / "cut") == 4
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_finished_parts_are_not_measured_again(tmp_path):
    run(tmp_path / "run")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "parts").rglob("*.parquet")}
    run(tmp_path / "run")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "parts").rglob("*.parquet")} == times


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:40] + b"X" + data[41:], lambda data: b""])
def test_a_damaged_part_is_found_and_measured_again(tmp_path, damage):
    run(tmp_path / "run")
    whole = content(tmp_path / "run")
    part = next((tmp_path / "run" / "parts").rglob("*.parquet"))
    part.write_bytes(damage(part.read_bytes()))
    with pytest.raises(BadInput) as error:
        RunFolder(tmp_path / "run").probes()
    assert str(error.value) == (
        f"{tmp_path / 'run'}: 1 of 6 parts are missing or damaged; finish the run by repeating its measure command"
    )
    run(tmp_path / "run")
    assert content(tmp_path / "run") == whole


@pytest.mark.parametrize(
    ("protocol", "network", "what"),
    [
        (
            make_protocol(["sign_flip:0.5", "quantize:2"], 3, 20, deterministic_examples=20),
            tiny_network(),
            "draws (2, now 3)",
        ),
        (
            make_protocol(["sign_flip:0.5", "quantize:2"], 2, 20, 5, deterministic_examples=20),
            tiny_network(),
            "seed (0, now 5)",
        ),
        (make_protocol(["sign_flip:0.5", "quantize:2"], 2, 20), tiny_network(), "slices "),
        (
            make_protocol(["quantize:2"], 2, 20, deterministic_examples=20),
            tiny_network(),
            "perturbations (sign_flip: [0.5], now none)",
        ),
        (PROTOCOL, tiny_network("other"), "set of networks (tiny, now other)"),
    ],
)
def test_another_request_in_an_old_folder_is_refused_and_nothing_changes(tmp_path, protocol, network, what):
    run(tmp_path / "run")
    before = content(tmp_path / "run")
    with pytest.raises(BadInput) as error:
        run(tmp_path / "run", protocol, network=network)
    other = "other" if what.split()[0].endswith("s") else "another"
    assert f"{tmp_path / 'run'}: belongs to a run with {other} {what}" in str(error.value)
    assert str(error.value).endswith("use a new folder, or repeat the first command to finish it")
    assert content(tmp_path / "run") == before


def test_other_images_and_another_protocol_in_an_old_folder_are_refused(tmp_path):
    run(tmp_path / "run")
    before, other = content(tmp_path / "run"), tiny_network()
    other.inputs[0, 0, 0, 0] += 1
    with pytest.raises(BadInput, match=r"belongs to a run with other inputs of network 'tiny' \(\w{16}, now \w{16}\); use"):
        run(tmp_path / "run", network=other)
    text = (tmp_path / "run" / "run.json").read_text()
    (tmp_path / "run" / "run.json").write_text(text.replace('"protocol": 1', '"protocol": 0'))
    with pytest.raises(BadInput, match=r"belongs to a run with another protocol \(0, now 1\)"):
        run(tmp_path / "run")
    assert content(tmp_path / "run") == before


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run" / "lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BadInput) as error:
            run(tmp_path / "run")
    assert str(error.value) == (f"{tmp_path / 'run'}: another run measures into this folder; wait for it or use another")
    assert run(tmp_path / "run") == 6


@pytest.mark.parametrize("start", [run, lambda folder: make_plan(folder, [tiny_network()], PROTOCOL, 0.9, 8)])
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path, start):
    """A lock would break a dataset tree."""
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BadInput) as error:
        start(tmp_path)
    assert str(error.value) == f"{tmp_path}: not empty and not a run folder; use a new folder"
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_run_that_begins_meanwhile_is_told_from_something_else(tmp_path, monkeypatch):
    """Its parts may be seen where its request was not there yet: the request is looked for last."""
    seen = Path.iterdir

    def begins(folder):
        (folder / "run.json").write_text("{}")
        (folder / "log.txt").touch()
        return seen(folder)

    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BadInput):
        RunFolder(tmp_path).refuse_foreign()
    (tmp_path / "letter.txt").unlink()
    monkeypatch.setattr(Path, "iterdir", begins)
    RunFolder(tmp_path).refuse_foreign()
    assert {path.name for path in seen(tmp_path)} == {"run.json", "log.txt"}, "it looked while the other run began"


def test_what_a_start_that_was_cut_short_leaves_behind_does_not_stop_the_next(tmp_path):
    (tmp_path / ".run.json.partial").write_text("{")
    (tmp_path / "layers.parquet").write_bytes(b"PAR1")
    assert run(tmp_path) == 6
    assert RunFolder(tmp_path).probes().num_rows == 3 * (2 + 1)


def test_damaged_tables_are_named_and_mended_by_the_same_command(tmp_path):
    run(tmp_path)
    whole = (tmp_path / "networks.parquet").read_bytes()
    (tmp_path / "networks.parquet").write_bytes(whole[:50])
    with pytest.raises(BadInput) as error:
        RunFolder(tmp_path).table("networks")
    assert str(error.value) == f"{tmp_path / 'networks.parquet'}: missing or damaged; repeat the run's measure command"
    run(tmp_path)
    assert (tmp_path / "networks.parquet").read_bytes() == whole


@pytest.mark.parametrize("text", ["{}", "[1]", "{", "\xff"])
def test_a_damaged_request_is_named(tmp_path, text):
    run(tmp_path)
    (tmp_path / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(BadInput, match=r"run.json: damaged \(.*\); measure again in a new folder"):
        run(tmp_path)


def test_an_edited_perturbation_is_another_request(tmp_path):
    """Finishing the run would mix what two functions did."""
    path = tmp_path / "mine.py"
    text = (
        "import safer_bench as sb\n"
        "@sb.perturbation(levels=(0.5, 0.1), scale='linear', unit='share', source='mine')\n"
        "def shrink(weight, level, rng):\n"
        "    return weight * level\n"
    )
    path.write_text(text)
    run(tmp_path / "run", make_protocol([f"{path}:shrink"]))
    path.write_text(text.replace("* level", "* -level"))
    with pytest.raises(
        BadInput,
        match=r"mine.py, which perturbation 'shrink' needs, is another file now \(SHA-256 \w{16}, was \w{16}\); restore it",
    ):
        run(tmp_path / "run", make_protocol([f"{path}:shrink"]))


def test_no_run_folder_is_named(tmp_path):
    with pytest.raises(BadInput) as error:
        RunFolder(tmp_path).request()
    assert str(error.value) == f"{tmp_path}: is not a run folder (it has no run.json); make one: safer-bench measure"
    with pytest.raises(BadInput) as error:
        RunFolder(tmp_path / "gone").request()
    assert str(error.value) == f"{tmp_path / 'gone'}: is not a run folder (there is none); make one: safer-bench measure"
    packed = tmp_path / "run.tar.xz"
    packed.write_bytes(b"packed")
    with pytest.raises(BadInput) as error:
        RunFolder(packed).request()
    assert str(error.value) == f"{packed}: a file; expected a run folder, unpacked: tar -xJf {packed} -C runs"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal is the operating system's, simulated."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("safer_bench.tables.files.open", refuse, raising=False)
    with pytest.raises(BadInput) as error:
        run(tmp_path / "run")
    assert str(error.value) == (
        f"{tmp_path / 'run'}: cannot write there (Permission denied); give another folder with --out"
    )


def test_a_full_disk_is_named_and_leaves_no_part(tmp_path, monkeypatch):
    run_folder = RunFolder(tmp_path)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\)"):
        run_folder.write(Unit("tiny", 0, 60, 0), part_of([]))
    assert content(tmp_path) == {}
    assert not list(tmp_path.rglob("*.partial")), "a half-written file would stay on the full disk"
    monkeypatch.undo()
    run_folder.write(Unit("tiny", 0, 60, 0), part_of([]))
    assert len(content(tmp_path)) == 1


@pytest.mark.long
@pytest.mark.parametrize("step", ["fsync", "open", "replace", "close"])
def test_a_run_that_dies_at_any_step_of_writing_is_finished_to_the_same_bytes(tmp_path, monkeypatch, step):
    """The process ends in the midst of the k-th call, for every k; nothing may tidy up after it."""
    run(tmp_path / "whole")
    deaths, k = 0, 0
    while True:
        folder, left = tmp_path / f"cut{k}", [k]

        def dies(function, left=left):
            def call(*args, **kwargs):
                if left[0] == 0:
                    left[0] = -1
                    raise Death
                left[0] -= 1
                return function(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            if step == "replace":
                patch.setattr("pathlib.Path.replace", dies(Path.replace))
            else:
                patch.setattr(f"safer_bench.tables.files.os.{step}", dies(getattr(os, step)))
            try:
                run(folder)
            except Death:
                deaths += 1
            else:
                break
        run(folder)
        assert content(folder) == content(tmp_path / "whole")
        k += 1
    assert deaths >= 8  # six parts, the tables and the request


def test_files_can_grow_no_further_than_the_system_lets_them(tmp_path):
    """A real refusal in the midst of a part, as a full disk gives it: one message, and the rest goes on later."""
    network = tiny_network()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sizes = []

    def shrink(what, done, total):
        sizes.append(what)
        if len(sizes) == 3:  # "starting" and two parts
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    try:
        with pytest.raises(BadInput, match=r"cannot be written \(File too large\)"):
            measure_into(tmp_path / "run", [network], PROTOCOL, shrink)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert len(content(tmp_path / "run")) == 2
    assert not list((tmp_path / "run").rglob("*.partial"))
    run(tmp_path / "run")
    run(tmp_path / "whole")
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_two_networks_of_one_name_are_refused(tmp_path):
    with pytest.raises(BadInput, match="two networks have one name: tiny, tiny"):
        measure_into(tmp_path / "run", [tiny_network(), tiny_network()], PROTOCOL)
