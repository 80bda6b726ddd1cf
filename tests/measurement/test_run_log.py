"""The log of a run folder names the machine, its cards included."""

from types import SimpleNamespace

import pytest
import torch

from safer_bench.measurement import run_log
from safer_bench.measurement.run_log import environment


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_machine_without_cards_says_so():
    lines = environment()
    assert lines[4:] == ["CUDA absent"]
    assert lines[2].endswith(f" threads, {torch.backends.cpu.get_cpu_capability()}")


def test_cards_and_what_drives_them_are_named(monkeypatch, tmp_path):
    names = ["NVIDIA One", "NVIDIA Two"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    card = lambda number: SimpleNamespace(name=names[number], total_memory=8 << 30, major=9, minor=number)  # noqa: E731
    monkeypatch.setattr(torch.cuda, "get_device_properties", card)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(run_log, "DRIVER", tmp_path / "version")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    named = [
        "cuda:0: NVIDIA One, 8589934592 bytes, compute capability 9.0",
        "cuda:1: NVIDIA Two, 8589934592 bytes, compute capability 9.1",
    ]
    assert environment()[4:] == [*named, "driver unknown, CUDA 13.0, cuDNN 91002"]
    (tmp_path / "version").write_text("580.65.06\n")
    lines = environment()
    assert lines[4:] == [*named, "driver 580.65.06, CUDA 13.0, cuDNN 91002"]
    assert "CUDA_VISIBLE_DEVICES=0,1" in lines[3]
