"""Whether the stacked engine may train: a child is asked, once; its answer is kept, if it is one."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from sweep.loops import stacked
from sweep.loops.stacked import kept_in, unfit
from sweep.pieces import PRODUCTS

Answer = Callable[[str], Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and a process that has asked nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stacked._found.cache_clear()
    yield tmp_path / "cache" / "sweep"
    stacked._found.cache_clear()


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Lets a program of two lines answer instead of the check; gives the file in which it notes each call."""

    def program(line: str) -> Path:
        calls, script = tmp_path / "calls", tmp_path / "program"
        script.write_text(f"#!/bin/sh\necho called >>{calls}\n{line}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        return calls

    return program


def asked_again() -> str:
    """What a new process would be told."""
    stacked._found.cache_clear()
    return unfit()


@pytest.mark.slow
def test_the_real_check_passes_here_in_a_process_of_its_own_and_is_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unfit() == ""
    assert list(cache.iterdir()) == [kept_in("cpu")]
    assert json.loads(kept_in("cpu").read_bytes()) == dict.fromkeys(PRODUCTS, "")
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert asked_again() == ""


def answer(reason: str, *, lasting: bool) -> str:
    """A line that prints it for every library of products."""
    return f"echo 'a warning'; echo '{json.dumps({'reasons': dict.fromkeys(PRODUCTS, reason), 'lasting': lasting})}'"


@pytest.mark.parametrize("reason", ["", "no such operator"])
def test_an_answer_is_asked_for_once_on_a_machine(answers: Answer, reason: str) -> None:
    calls = answers(answer(reason, lasting=True))
    assert [unfit(), unfit(), asked_again()] == [reason] * 3
    assert calls.read_text() == "called\n"


def test_what_will_not_last_is_asked_again_by_the_next_process(answers: Answer) -> None:
    calls = answers(answer("no memory is left", lasting=False))
    assert [unfit(), unfit(), asked_again()] == ["no memory is left"] * 3
    assert calls.read_text() == "called\n" * 2
    assert not kept_in("cpu").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("echo 'Traceback'; echo 'CUDA error: device-side assert' >&2; exit 1", "CUDA error: device-side assert"),
        ("kill -ABRT $$", "exit code -6"),
        ("echo not JSON", "exit code 0"),
        ("echo '[]'", "exit code 0"),
    ],
)
def test_a_child_that_dies_is_a_reason_in_one_line_and_not_kept(answers: Answer, line: str, said: str) -> None:
    answers(line)
    assert unfit() == f"its self-check on cpu ended with {said}"
    assert not kept_in("cpu").exists()


def test_a_child_that_cannot_be_started_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert "cannot be made" in unfit()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"torch": ""}'])
def test_a_kept_answer_that_is_damaged_is_asked_for_again(answers: Answer, content: bytes) -> None:
    calls = answers(answer("", lasting=True))
    kept_in("cpu").parent.mkdir(parents=True)
    kept_in("cpu").write_bytes(content)
    assert unfit() == ""
    assert calls.exists()


def test_without_a_cache_folder_the_check_is_made_each_time(answers: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answers(answer("", lasting=True))
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)  # no folder can be made there
    assert [unfit(), asked_again()] == ["", ""]

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert asked_again() == ""
    assert calls.read_text() == "called\n" * 3


def test_an_answer_holds_for_one_torch_one_processor_and_one_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [kept_in("cpu")]
    for name in ("HOME", "OMP_NUM_THREADS", "RAY_ADDRESS"):
        monkeypatch.setenv(name, str(tmp_path))
        assert kept_in("cpu") == files[0]
    for name in ("ATEN_CPU_CAPABILITY", "MKL_CBWR"):
        monkeypatch.setenv(name, "compatible")
        files.append(kept_in("cpu"))
    (tmp_path / "version.py").write_text("__version__ = '2.11.0'")
    spec = importlib.util.spec_from_file_location("torch", tmp_path / "__init__.py")
    monkeypatch.setattr(torch, "__spec__", spec)
    files.append(kept_in("cpu"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    files.append(kept_in("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "another")
    files.append(kept_in("cuda"))
    assert len(set(files)) == 6


def test_each_library_of_products_has_a_reason_of_its_own(answers: Answer) -> None:
    reasons = {name: f"{name} is slow" for name in PRODUCTS}
    answers(f"echo '{json.dumps({'reasons': reasons, 'lasting': True})}'")
    assert {name: unfit("cpu", name) for name in PRODUCTS} == reasons
    assert [unfit(), asked_again()] == ["torch is slow"] * 2


def test_it_is_for_the_cpu_and_for_cuda() -> None:
    assert unfit("mps") == "it is for the CPU and for CUDA, not for mps"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_it_says_so() -> None:
    assert unfit("cuda") == unfit("cuda:1") == "torch finds no CUDA device here"
