"""The command that counts rows of a truth again."""

import shutil

from tests.made_up.commands import OWN, network_file


def test_verify_measures_a_users_network_where_it_is_given(cli, tmp_path):
    model = "torch.manual_seed(8); " + OWN.replace(
        "torch.arange(30) % 3", "model(torch.randn(30, 4, generator=torch.Generator().manual_seed(0))).argmax(1)"
    )
    spec = network_file(tmp_path, model)
    own = tmp_path / "own.py"
    own.write_text(
        "import safer_bench as sb\n"
        "@sb.perturbation(levels=(1.0,), scale='linear', deterministic=True, unit='', formula='-W', source='test')\n"
        "def turned(weight, level, rng):\n    return -level * weight\n"
    )
    chosen = ("--perturbation", "sign_flip:0.5", "--perturbation", f"{own}:turned", "--draws", 1)
    assert cli("measure", "--network", spec, *chosen, "--out", tmp_path / "run").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
    verify = ("verify", tmp_path / "tree")
    for given, code, last in (
        ((), 2, "0 of 0 rows equal"),
        (("--network", spec), 0, "1 of 1 rows equal"),
        (("--network", spec, "--perturbation", f"{own}:turned"), 0, "2 of 2 rows equal"),
    ):
        found = cli(*verify, *given)
        assert (found.code, found.out.splitlines()[-1]) == (code, last)
    path = tmp_path / "net.py"
    path.write_text(path.read_text().replace("manual_seed(8)", "manual_seed(9)"))
    found = cli(*verify, "--network", spec)
    assert found.code == 1
    assert ": inputs differ: weights_sha256 is " in found.out


def test_verify_tells_a_changed_file_from_a_changed_count(cli, small_tree, tmp_path):
    tree = shutil.copytree(small_tree.path, tmp_path / "tree")
    (tree / "notes.txt").write_text("mine")
    (tree / "README.md").write_text("changed")
    found = cli("verify", tree, "--rows", 0)
    assert (found.code, found.out.splitlines()) == (
        1,
        ["notes.txt: not in the manifest", "README.md: differs from the manifest"],
    )


def test_verify_without_images_counts_aloud_or_fails_where_they_are_named(cli, small_tree, monkeypatch, tmp_path):
    from safer_bench.networks import weights

    monkeypatch.setattr(weights, "PACKAGED", tmp_path)
    found = cli("verify", small_tree.path, "--rows", 4)
    assert found.code == 2
    assert found.out.splitlines()[-2:] == [
        "4 of 4 rows were not measured again: their images, weights or perturbation are not here",
        "0 of 0 rows equal",
    ]
