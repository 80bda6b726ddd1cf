"""The command that counts rows of a truth again."""

import shutil

from tests.cli.given import OWN, network_file


def test_verify_counts_rows_of_a_users_network_as_absent(cli, tmp_path):
    model = OWN.replace(
        "torch.arange(30) % 3", "model(torch.randn(30, 4, generator=torch.Generator().manual_seed(0))).argmax(1)"
    )
    spec = network_file(tmp_path, model)
    assert cli("measure", "--network", spec, "--perturbation", "sign_flip:0.5", "--out", tmp_path / "run").code == 0
    assert cli("pack", tmp_path / "run", "--out", tmp_path / "tree").code == 0
    found = cli("verify", tmp_path / "tree")
    assert (found.code, found.out.splitlines()[-1]) == (2, "0 of 0 rows equal")


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
    from safer_bench.zoo import weights

    monkeypatch.setattr(weights, "PACKAGED", tmp_path)
    found = cli("verify", small_tree.path, "--rows", 4)
    assert found.code == 2
    assert found.out.splitlines()[-2:] == [
        "4 of 4 rows were not measured again: their images, weights or perturbation are not here",
        "0 of 0 rows equal",
    ]
