"""The step made for a CUDA device, taken on the CPU: all of it but the capture as a graph; and what surrounds it."""

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from loops import (
    ODD_SIZES,
    POINTS,
    assert_close_scores,
    assert_one_ulp,
    first,
    odd_training_split,
    point_trial,
    same_bits,
    training_split,
    trial,
)
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from sweep.config import HIDDEN_LAYERS
from sweep.loops.contract import TrainingSplit
from sweep.loops.stacked import ACTIVATIONS
from sweep.loops.stacked import device as device_module
from sweep.loops.stacked.buffers import Stack
from sweep.loops.stacked.device import DeviceStep, as_one_call, on_stream, own_stream, resident
from sweep.loops.stacked.loop import StackedLoop
from sweep.loops.stacked.step import make_all
from sweep.loops.torch import ReferenceLoop, layer_shapes

DeviceSide = partial(StackedLoop, step=DeviceStep)
ENGINES: list[Any] = [ReferenceLoop, DeviceSide]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def mnist() -> TrainingSplit:
    return training_split("mnist", 6400)


@pytest.fixture(scope="module")
def digits() -> TrainingSplit:
    return training_split("digits", 1437)


# -- The same numbers --


@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_one_step_agrees_to_one_unit_in_the_last_place(
    mnist: TrainingSplit, depth: str, activation: str, loss: str
) -> None:
    batch = first(mnist, 64)
    one, other = (engine(point_trial(depth, activation, loss, seeds=(0, 1)), batch) for engine in ENGINES)
    assert_close_scores(one.train_epoch(1), other.train_epoch(1), 64)
    for key, value in one.state().items():
        assert_one_ulp(value.float(), other.state()[key].float())


@pytest.mark.parametrize(("depth", "activation", "loss"), POINTS)
def test_a_hundred_steps_agree_within_a_millionth(mnist: TrainingSplit, depth: str, activation: str, loss: str) -> None:
    one, other = (engine(point_trial(depth, activation, loss), mnist) for engine in ENGINES)
    assert_close_scores(one.train_epoch(1), other.train_epoch(1), 6400, flips=1)
    assert one.state()["steps"] == other.state()["steps"] == 100
    for key in ("parameters", "exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(one.state()[key], other.state()[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("num_images", "batch_size", "layers", "num_classes"), ODD_SIZES)
@pytest.mark.parametrize(("activation", "loss"), [("relu", "hinge"), ("sigmoid", "cross_entropy")])
def test_odd_sizes_agree_with_the_reference(
    mnist: TrainingSplit,
    num_images: int,
    batch_size: int,
    layers: tuple[int, ...],
    num_classes: int,
    activation: str,
    loss: str,
) -> None:
    training = odd_training_split(mnist, num_images, num_classes)
    config = trial(activation=activation, loss=loss, layers=layers, batch_size=batch_size, seeds=(0, 1))
    one, other = (engine(config, training) for engine in ENGINES)
    for epoch in (1, 2):
        assert_close_scores(one.train_epoch(epoch), other.train_epoch(epoch), num_images, flips=1)
    for key in ("parameters", "exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(one.state()[key], other.state()[key], rtol=0, atol=1e-6)
    assert one.state()["steps"] == other.state()["steps"]


@pytest.mark.parametrize("depth", HIDDEN_LAYERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_both_cross_entropies_are_the_same_to_the_last_bit(digits: TrainingSplit, depth: str, activation: str) -> None:
    one, other = (
        DeviceSide(point_trial(depth, activation, loss, seeds=(0, 1)), digits)
        for loss in ("cross_entropy", "sparse_cross_entropy")
    )
    scores = one.train_epoch(1), other.train_epoch(1)
    assert torch.equal(scores[0].loss, scores[1].loss)
    assert torch.equal(scores[0].correct, scores[1].correct)
    assert same_bits(one.state(), other.state())


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_an_interrupted_replicate_matches_an_uninterrupted_one(digits: TrainingSplit, loss: str) -> None:
    config = trial(loss=loss, seeds=(0, 1))
    whole, resumed = DeviceSide(config, digits), DeviceSide(config, digits)
    whole.train_epoch(1)
    resumed.load_state(whole.state())
    assert same_bits(resumed.state(), whole.state())
    one, other = resumed.train_epoch(2), whole.train_epoch(2)
    assert torch.equal(one.loss, other.loss)
    assert torch.equal(one.correct, other.correct)
    assert same_bits(resumed.state(), whole.state())


def test_a_state_goes_from_one_kind_of_step_to_the_other(digits: TrainingSplit) -> None:
    for before, after in ((DeviceSide, StackedLoop), (StackedLoop, DeviceSide)):
        one, other = before(trial(seeds=(0, 1)), digits), after(trial(seeds=(0, 1)), digits)
        one.train_epoch(1)
        other.load_state(one.state())
        assert_close_scores(one.train_epoch(2), other.train_epoch(2), 1437, flips=1)


# -- What a graph reads --


class _Place:
    """Where a tensor lies, as a graph knows it: nothing here keeps that memory."""

    def __init__(self, tensor: Tensor) -> None:
        self._layout = (tensor.storage_offset(), tensor.shape, tensor.stride())
        self._dtype, self._storage = tensor.dtype, StorageWeakRef(tensor.untyped_storage())

    @property
    def tensor(self) -> Tensor:
        storage = torch.UntypedStorage._new_with_weak_ptr(self._storage.cdata)
        assert storage is not None, "the graph reads freed memory"
        return torch.empty(0, dtype=self._dtype).set_(storage, *self._layout)


class _Graph(TorchDispatchMode):
    """Stands in for a CUDA graph on the CPU: makes the captured operators again, on the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self._captured: list[tuple[Callable[..., object], Any, Any]] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._captured.append((operator, *tree_map_only(Tensor, _Place, (args, kwargs or {}))))
        return operator(*args, **(kwargs or {}))

    def replay(self) -> None:
        for operator, *places in self._captured:
            args, kwargs = tree_map_only(_Place, lambda place: place.tensor, places)
            operator(*args, **kwargs)


@contextmanager
def _capture(graph: _Graph, **options: Any) -> Iterator[None]:
    with graph:
        yield


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets steps on the CPU be captured as on a CUDA device, where a capture makes no call."""

    def captured(calls: Sequence[Any], changed: Sequence[Tensor], device: torch.device) -> Any:
        before = [tensor.clone() for tensor in changed]
        replay = device_module._captured(calls)
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)
        return replay

    monkeypatch.setattr(torch.cuda, "CUDAGraph", _Graph)
    monkeypatch.setattr(torch.cuda, "graph", _capture)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(device_module, "as_one_call", captured)


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_everything_that_a_graph_reads_lives_as_long_as_its_replay(
    monkeypatch: pytest.MonkeyPatch, digits: TrainingSplit, activation: str, loss: str
) -> None:
    config, training = trial(activation=activation, loss=loss, seeds=(0, 1)), first(digits, 3 * 64 + 5)
    replayed = DeviceSide(config, training)
    for epoch in (1, 2):
        gc.collect()  # what only a cycle keeps
        replayed.train_epoch(epoch)
    monkeypatch.undo()
    made_one_by_one = DeviceSide(config, training)
    for epoch in (1, 2):
        made_one_by_one.train_epoch(epoch)
    assert same_bits(replayed.state(), made_one_by_one.state())


@pytest.mark.usefixtures("graphs")
def test_a_replay_alone_keeps_what_its_calls_read_and_write() -> None:
    total, replay = _sum_of_ones()
    gc.collect()
    replay()
    replay()
    assert total.item() == 3


def _sum_of_ones() -> tuple[Tensor, Callable[[], object]]:
    total = torch.zeros(1)
    calls = [partial(total.add_, torch.ones(1))]
    return total, device_module._captured(calls)


# -- What surrounds a step --


def test_a_warm_up_makes_the_calls_and_leaves_no_trace() -> None:
    value, total = torch.tensor([1.0, 2.0]), torch.tensor(0.0)
    take = as_one_call([lambda: value.mul_(3), lambda: total.add_(1)], [value], value.device)
    assert value.tolist() == [1, 2]
    assert total > 0
    take()
    assert value.tolist() == [3, 6]


def test_engines_with_the_same_images_share_one_copy_on_a_device(digits: TrainingSplit) -> None:
    device = torch.device("meta")
    copy = resident(digits, device)
    assert copy.inputs.device == device
    again = TrainingSplit(inputs=digits.inputs, targets=digits.targets, num_classes=10)
    assert resident(again, device) is copy
    assert resident(first(digits, 100), device) is not copy
    assert resident(digits, torch.device("cpu")) is digits


def test_the_copy_on_a_device_goes_with_its_last_engine(digits: TrainingSplit) -> None:
    copy = weakref.ref(resident(digits, torch.device("meta")))
    gc.collect()
    assert copy() is None


def test_on_the_cpu_there_is_no_stream() -> None:
    stream = own_stream(object(), torch.device("cpu"))
    assert stream is None
    with on_stream(stream):
        assert torch.zeros(1).device.type == "cpu"


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
        training = TrainingSplit(inputs=torch.empty(24, 7, device=device), targets=labels, num_classes=4)
        stack = Stack(layer_shapes(7, (8, 5), 4), 2, device)
        with noted:
            step = DeviceStep(stack, trial(activation=activation, loss=loss), training, batch_size, 3)
            sums = step.repeat(torch.empty(2, 3 * batch_size, dtype=torch.int64, device=device))
    assert (sums.device, sums.shape) == (device, (2, 2))
    assert {"aten::bmm.out", "aten::baddbmm.out", "aten::_fused_adam_", "aten::index_copy_"} <= noted.names
    keys = ("CUDA", "CompositeExplicitAutograd", "CompositeImplicitAutograd")
    for name in noted.names - {"prim::device"}:
        assert any(torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for key in keys), name
