"""The comparison with the reference engine finds whatever would make the stacked engine's numbers wrong."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import threadpoolctl
import torch
from torch import Tensor

from sweep.loops import stacked as check
from sweep.loops.stacked import losses
from sweep.loops.stacked.device import DeviceStep
from sweep.loops.stacked.loop import StackedLoop
from sweep.loops.stacked.step import HostStep
from sweep.pieces import PRODUCTS

DeviceSide = partial(StackedLoop, step=DeviceStep)
NumpySide = partial(StackedLoop, products="numpy")
# What a step uses beside torch's public functions.
FUNCTIONS = ("_fused_adam_", "_log_softmax", "_log_softmax_backward_data")
OPERATORS = ("threshold_backward", "sigmoid_backward", "tanh_backward", "multi_margin_loss_backward")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the program prints for the CPU."""
    check.main("cpu")
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_it_finds_nothing_wrong_with_any_kind_of_step() -> None:
    for products in PRODUCTS:
        assert check.disagreement(partial(StackedLoop, products=products), "cpu") == ""
    assert check.disagreement(DeviceSide, "cpu") == ""


@pytest.mark.parametrize("version", ["2.6.0", "2.11.0+cu130", "3.0.1"])
def test_no_version_of_torch_is_refused_for_its_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    assert found(capsys) == {"reasons": dict.fromkeys(PRODUCTS, ""), "lasting": True}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_torch_without_a_function_that_steps_use_is_refused_for_good(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.delattr(torch, name)
    answer = found(capsys)
    assert name in answer["reasons"]["torch"]
    assert answer["lasting"]


@pytest.mark.parametrize("name", OPERATORS)
def test_a_torch_without_an_operator_that_steps_use_is_refused_for_good(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(torch.ops.aten, name, object())
    answer = found(capsys)
    assert "AttributeError" in answer["reasons"]["torch"]
    assert answer["lasting"]


def test_a_torch_whose_operator_wants_other_arguments_is_refused_for_good(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "_fused_adam_", lambda parameters: None)
    answer = found(capsys)
    assert all("TypeError" in reason for reason in answer["reasons"].values())
    assert answer["lasting"]


def test_trouble_of_the_moment_is_a_reason_in_one_line_but_not_for_good(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(step: HostStep, order: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: out of memory\nmore lines")

    monkeypatch.setattr(HostStep, "repeat", failing)
    reason = "its self-check on cpu ended with RuntimeError: CUDA error: out of memory"
    assert found(capsys) == {"reasons": dict.fromkeys(PRODUCTS, reason), "lasting": False}


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = losses.CROSS_ENTROPY

    def wrong(*tensors: Tensor) -> Iterator[Any]:
        yield from right.gradient(*tensors)
        yield partial(tensors[-1].mul_, 1.01)

    monkeypatch.setattr(losses, "CROSS_ENTROPY", replace(right, gradient=wrong))
    reason = check.disagreement(DeviceSide, "cpu")
    assert reason.startswith("on cpu its numbers differ from the reference engine's by ")
    assert "(relu, cross_entropy; allowed 1e-05)" in reason


def test_numbers_that_are_none_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*tensors: Tensor) -> Iterator[Any]:
        yield partial(tensors[-1].fill_, torch.nan)

    monkeypatch.setattr(losses, "HINGE", replace(losses.HINGE, gradient=wrong))
    reason = check.disagreement(DeviceSide, "cpu")
    assert "differ from the reference engine's by nan" in reason
    assert "hinge" in reason


@pytest.mark.parametrize("at_class", [-1.01, math.nan])
def test_a_wrong_loss_by_columns_is_found(monkeypatch: pytest.MonkeyPatch, at_class: float) -> None:
    monkeypatch.setattr(losses.HINGE.columns, "at_class", staticmethod(lambda batch_size: at_class))
    reason = check.disagreement(NumpySide, "cpu")
    assert "differ from the reference engine's by " in reason
    assert "hinge" in reason


def test_a_replicate_that_depends_on_its_stack_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = losses.HINGE.columns.calls

    def depends(self: Any, step: int) -> Iterator[Any]:
        yield from right(self, step)
        yield partial(self._gradient.__imul__, 1 + 1e-6 * (len(self._gradient) - 2))  # right for two replicates

    monkeypatch.setattr(losses.HINGE.columns, "calls", depends)
    assert "depend on those trained beside it" in check.disagreement(NumpySide, "cpu")


def test_a_library_without_a_name_is_not_used_since_its_threads_cannot_be_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threadpoolctl, "threadpool_info", list)
    reasons = found(capsys)["reasons"]
    assert reasons.pop("torch") == ""
    assert all("threads" in reason for reason in reasons.values())


def test_tf32_is_found_however_it_was_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert check.cuda_reason() == ""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert "set to tf32, not to float32" in check.cuda_reason()
    finally:
        torch.set_float32_matmul_precision(before)
    assert check.cuda_reason() == ""
