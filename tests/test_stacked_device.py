"""The step made for a CUDA device, taken on the CPU: all of it but the capture as a graph; and what surrounds it."""

import gc
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from engines import (
    ODD_SIZES,
    POINTS,
    assert_close_scores,
    assert_one_ulp,
    first,
    odd_training_images,
    point_trial,
    same_bits,
    training_images,
    trial,
)
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from sweep.config import ACTIVATIONS, HIDDEN_LAYERS
from sweep.engine import ReferenceEngine, TrainingImages
from sweep.models import layer_shapes
from sweep.stacked import StackedEngine, check
from sweep.stacked import device as device_module
from sweep.stacked.buffers import Stack
from sweep.stacked.device import make_all, own_stream, resident, warm_up
from sweep.stacked.steps import DeviceStep

DeviceSide = partial(StackedEngine, step=DeviceStep)
ENGINES: list[Any] = [ReferenceEngine, DeviceSide]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def mnist() -> TrainingImages:
    return training_images("mnist", 6400)


@pytest.fixture(scope="module")
def digits() -> TrainingImages:
    return training_images("digits", 1437)


# -- The same numbers --


@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_one_step_agrees_to_one_unit_in_the_last_place(
    mnist: TrainingImages, depth: str, activation: str, loss: str
) -> None:
    batch = first(mnist, 64)
    one, other = (engine(point_trial(depth, activation, loss, seeds=(0, 1)), batch) for engine in ENGINES)
    assert_close_scores(one.train_epoch(1), other.train_epoch(1), 64)
    for key, value in one.state().items():
        assert_one_ulp(value.float(), other.state()[key].float())


@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_a_hundred_steps_agree_within_a_millionth(
    mnist: TrainingImages, depth: str, activation: str, loss: str
) -> None:
    one, other = (engine(point_trial(depth, activation, loss), mnist) for engine in ENGINES)
    assert_close_scores(one.train_epoch(1), other.train_epoch(1), 6400, flips=1)
    assert one.state()["steps"] == other.state()["steps"] == 100
    for key in ("parameters", "exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(one.state()[key], other.state()[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("num_images", "batch_size", "layers", "num_classes"), ODD_SIZES)
@pytest.mark.parametrize(("activation", "loss"), [("relu", "hinge"), ("sigmoid", "cross_entropy")])
def test_odd_sizes_agree_with_the_reference(
    mnist: TrainingImages,
    num_images: int,
    batch_size: int,
    layers: tuple[int, ...],
    num_classes: int,
    activation: str,
    loss: str,
) -> None:
    training = odd_training_images(mnist, num_images, num_classes)
    config = trial(activation=activation, loss=loss, layers=layers, batch_size=batch_size, seeds=(0, 1))
    one, other = (engine(config, training) for engine in ENGINES)
    for epoch in (1, 2):
        assert_close_scores(one.train_epoch(epoch), other.train_epoch(epoch), num_images, flips=1)
    for key in ("parameters", "exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(one.state()[key], other.state()[key], rtol=0, atol=1e-6)
    assert one.state()["steps"] == other.state()["steps"]


@pytest.mark.parametrize("depth", HIDDEN_LAYERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_both_cross_entropies_are_the_same_to_the_last_bit(digits: TrainingImages, depth: str, activation: str) -> None:
    one, other = (
        DeviceSide(point_trial(depth, activation, loss, seeds=(0, 1)), digits)
        for loss in ("cross_entropy", "sparse_cross_entropy")
    )
    scores = one.train_epoch(1), other.train_epoch(1)
    assert torch.equal(scores[0].loss, scores[1].loss)
    assert torch.equal(scores[0].accuracy, scores[1].accuracy)
    assert same_bits(one.state(), other.state())


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_an_interrupted_replicate_matches_an_uninterrupted_one(digits: TrainingImages, loss: str) -> None:
    config = trial(loss=loss, seeds=(0, 1))
    whole, resumed = DeviceSide(config, digits), DeviceSide(config, digits)
    whole.train_epoch(1)
    resumed.load_state(whole.state())
    assert same_bits(resumed.state(), whole.state())
    one, other = resumed.train_epoch(2), whole.train_epoch(2)
    assert torch.equal(one.loss, other.loss)
    assert torch.equal(one.accuracy, other.accuracy)
    assert same_bits(resumed.state(), whole.state())


def test_a_state_goes_from_one_kind_of_step_to_the_other(digits: TrainingImages) -> None:
    for before, after in ((DeviceSide, StackedEngine), (StackedEngine, DeviceSide)):
        one, other = before(trial(seeds=(0, 1)), digits), after(trial(seeds=(0, 1)), digits)
        one.train_epoch(1)
        other.load_state(one.state())
        assert_close_scores(one.train_epoch(2), other.train_epoch(2), 1437, flips=1)


# -- What surrounds a step --


def test_a_warm_up_makes_the_calls_and_leaves_no_trace() -> None:
    value, total = torch.tensor([1.0, 2.0]), torch.tensor(0.0)
    warm_up([lambda: value.mul_(3), lambda: total.add_(1)], [value])
    assert value.tolist() == [1, 2]
    assert total > 0


def test_engines_with_the_same_images_share_one_copy_on_a_device(digits: TrainingImages) -> None:
    device = torch.device("meta")
    copy = resident(digits, device)
    assert copy.images.device == device
    again = TrainingImages(images=digits.images, labels=digits.labels, num_classes=10)
    assert resident(again, device) is copy
    assert resident(first(digits, 100), device) is not copy
    assert resident(digits, torch.device("cpu")) is digits


def test_the_copy_on_a_device_goes_with_its_last_engine(digits: TrainingImages) -> None:
    copy = weakref.ref(resident(digits, torch.device("meta")))
    gc.collect()
    assert copy() is None


def test_on_the_cpu_there_is_no_stream() -> None:
    with own_stream(object(), torch.device("cpu")) as stream:
        assert stream is None


class _OnCuda(TorchDispatchMode):
    """Checks that operators mix no devices, and notes their names."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        assert all(tensor.is_cuda for tensor in tensors), f"{operator} got tensors of the CPU"
        self.names.add(operator.name())
        # The one kind of operator that knows no fake tensors.
        if "multi_margin_loss" in operator.name():
            return kwargs["grad_input"] if kwargs else torch.empty(len(args[0]), device=args[0].device)
        return operator(*args, **kwargs)


@pytest.mark.skipif(not torch.version.cuda, reason="this torch is built without CUDA")
@pytest.mark.parametrize(("activation", "loss"), [("relu", "cross_entropy"), ("sigmoid", "hinge"), ("tanh", "hinge")])
@pytest.mark.parametrize("batch_size", [8, 7])
def test_every_operator_of_a_step_stays_on_the_device_and_exists_there(
    monkeypatch: pytest.MonkeyPatch, activation: str, loss: str, batch_size: int
) -> None:
    monkeypatch.setattr(device_module, "_captured", lambda calls: partial(make_all, calls))
    noted = _OnCuda()
    with FakeTensorMode():
        device = torch.device("cuda", 0)
        labels = torch.empty(24, dtype=torch.int64, device=device)
        training = TrainingImages(images=torch.empty(24, 7, device=device), labels=labels, num_classes=4)
        stack = Stack(layer_shapes(7, (8, 5), 4), 2, device)
        with noted:
            step = DeviceStep(stack, trial(activation=activation, loss=loss), training, batch_size, 3)
            sums = step.repeat(torch.empty(2, 3 * batch_size, dtype=torch.int64, device=device))
    assert (sums.device, sums.shape) == (device, (2, 2))
    assert {"aten::bmm.out", "aten::baddbmm.out", "aten::_fused_adam_", "aten::index_copy_"} <= noted.names
    keys = ("CUDA", "CompositeExplicitAutograd", "CompositeImplicitAutograd")
    for name in noted.names - {"prim::device"}:
        assert any(torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for key in keys), name


# -- The self-check --


def test_the_self_check_finds_nothing_wrong_with_either_kind_of_step() -> None:
    assert check.disagreement(StackedEngine, "cpu") is None
    assert check.disagreement(DeviceSide, "cpu") is None


def test_the_self_check_finds_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    right = DeviceStep._cross_entropy_gradient

    def wrong(step: DeviceStep, *tensors: Tensor) -> Iterator[Any]:
        yield from right(step, *tensors)
        yield partial(step._logit_gradients.mul_, 1.01)

    monkeypatch.setattr(DeviceStep, "_cross_entropy_gradient", wrong)
    reason = check.disagreement(DeviceSide, "cpu")
    assert reason is not None
    assert reason.startswith("on cpu its numbers differ from the reference engine's by ")
    assert "(relu, cross_entropy; allowed 1e-05)" in reason


def test_the_self_check_does_not_take_numbers_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(step: DeviceStep, *tensors: Tensor) -> Iterator[Any]:
        yield partial(step._logit_gradients.fill_, torch.nan)

    monkeypatch.setattr(DeviceStep, "_hinge_gradient", wrong)
    reason = check.disagreement(DeviceSide, "cpu")
    assert reason is not None
    assert "differ from the reference engine's by nan" in reason
    assert "hinge" in reason


def test_an_error_in_the_self_check_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(step: DeviceStep, order: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore lines")

    monkeypatch.setattr(DeviceStep, "repeat", failing)
    assert check.disagreement(DeviceSide, "cpu") == (
        "its self-check on cpu ended with RuntimeError: CUDA error: operation not permitted when stream is capturing"
    )


def test_tf32_is_found_however_it_was_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert check.cuda_reason() is None
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert "set to tf32, not to float32" in (check.cuda_reason() or "")
    finally:
        torch.set_float32_matmul_precision(before)
    assert check.cuda_reason() is None
