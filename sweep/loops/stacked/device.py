"""A step on a CUDA device, and what belongs to one: the data on it, a stream for each loop, graphs of steps.

Several loops may train in one process at the same time, each in a thread of its own. So nothing here, and nothing
that a loop does, may wait for the whole device: during a capture that is an error in both threads.
"""

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sweep.config import TrialConfig
from sweep.loops.contract import TrainingSplit
from sweep.loops.stacked.step import MOMENTS, Call, Stack, Step, make_all

# As many streams as torch has on a device; it gives out the first again after the last.
MOST_STREAMS = 32
# Steps taken before a capture: they load kernels and libraries, which a capture must not.
_WARM_UP_STEPS = 3

_lock = threading.RLock()
_free_streams: dict[torch.device, list[Any]] = {}
_num_streams: dict[torch.device, int] = {}


class DeviceStep(Step):
    """A step that finds its batch by a counter on the device, and keeps its logits there.

    On a CUDA device it is one graph, replayed; elsewhere the same calls are made one by one.
    """

    in_groups = False

    def __init__(self, stack: Stack, trial: TrialConfig, training: TrainingSplit, *sizes: int) -> None:
        super().__init__(stack, trial, training, *sizes)
        batches = (self._num_steps, self._num_replicates, self._batch_size)
        self._order = torch.zeros(batches, dtype=torch.int64, device=self._device)
        self._counter = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._kept = torch.zeros(*batches, training.num_classes, device=self._device)
        logits = self._buffer(training.num_classes)[1]
        log_probabilities = torch.zeros(logits.shape, device=self._device)
        targets = self._targets(*batches[1:])
        keep = partial(self._kept.index_copy_, 0, self._counter, logits.unsqueeze(0))
        advance = partial(self._counter.add_, torch.ones_like(self._counter))
        count = partial(stack.num_steps.add_, torch.ones((), device=self._device))
        calls = [*self._next_batch(targets), *self._take(logits, log_probabilities, targets)]
        calls += [count, self._adam(stack.num_steps), keep, advance]
        changed = [*(stack.flat[name] for name in ("parameters", *MOMENTS)), stack.num_steps, self._counter]
        self._one = as_one_call(calls, changed, self._device)

    @staticmethod
    def most_steps(batch_size: int, num_classes: int) -> None:
        """Any number: a stretch is an epoch."""

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        self._order.copy_(self._batches(order))
        self._counter.zero_()
        for _ in range(self._num_steps):
            self._one()
        return self._sums(self._kept, torch.log_softmax(self._kept, -1), self._training.targets[self._order])

    def _next_batch(self, targets: Tensor) -> Iterator[Call]:
        """Fetches the inputs and targets of the batch that the counter stands at."""
        indices = torch.zeros_like(self._order[:1])
        yield partial(torch.index_select, self._order, 0, self._counter, out=indices)
        yield from self._fetch(indices[0])
        rows = self._target_rows[self._training.targets]
        yield partial(torch.index_select, rows, 0, indices.flatten(), out=targets.flatten(0, 1))

    def _affine(self, bias: Tensor, inputs: Tensor, weight: Tensor, outputs: Tensor) -> Iterator[Call]:
        yield partial(torch.baddbmm, bias.unsqueeze(1), inputs, weight, out=outputs)

    def _product(self, one: Tensor, other: Tensor, result: Tensor) -> Iterator[Call]:
        yield partial(torch.bmm, one, other, out=result)


@dataclass(frozen=True, kw_only=True)
class _Resident(TrainingSplit):
    """A copy on a device. It keeps its source, so that no other tensor can come to lie at that address."""

    source: TrainingSplit


_residents: "weakref.WeakValueDictionary[tuple[object, ...], _Resident]" = weakref.WeakValueDictionary()


def resident(training: TrainingSplit, device: torch.device) -> TrainingSplit:
    """Gives the training split on a device: one copy for all loops of the process that have the same tensors."""
    if training.inputs.device == device:
        return training
    tensors = (training.inputs, training.targets)
    key = (device, training.num_classes, *((tensor.data_ptr(), tensor.shape) for tensor in tensors))
    with _lock:
        copy = _residents.get(key)
        if copy is None:
            inputs, targets = (tensor.to(device) for tensor in tensors)
            copy = _Resident(inputs=inputs, targets=targets, num_classes=training.num_classes, source=training)
            if device.type == "cuda":
                torch.cuda.current_stream(device).synchronize()  # other streams will read it
            _residents[key] = copy
        return copy


def own_stream(owner: object, device: torch.device) -> AbstractContextManager[object]:
    """Gives a context that can be entered again and again: a stream that no other owner has while this one lives.

    What is done inside is finished when it ends. On the CPU it does nothing.

    Raises:
        RuntimeError: if more than `MOST_STREAMS` owners live.
    """
    if device.type != "cuda":
        return nullcontext()
    with _lock:
        free = _free_streams.setdefault(device, [])
        if not free:
            _num_streams[device] = _num_streams.get(device, 0) + 1
            if _num_streams[device] > MOST_STREAMS:
                raise RuntimeError(f"at most {MOST_STREAMS} stacked loops can be on one CUDA device in one process")
            free.append(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
        stream = free.pop()
    weakref.finalize(owner, free.append, stream)
    return _OwnStream(stream)


class _OwnStream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._entered = torch.cuda.stream(stream)

    def __enter__(self) -> None:
        self._entered.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        try:
            self._stream.synchronize()
        finally:
            self._entered.__exit__(*error)


def as_one_call(calls: Sequence[Call], changed: Sequence[Tensor], device: torch.device) -> Call:
    """Gives one call that makes all the calls, which change `changed`: on a CUDA device a graph of them.

    One at a time in a process. Meanwhile other threads may use the device, each on its stream.
    """
    with _lock:
        warm_up(calls, changed)
        return _captured(calls) if device.type == "cuda" else partial(make_all, calls)


def warm_up(calls: Sequence[Call], changed: Sequence[Tensor]) -> None:
    """Makes the calls a few times, each time putting back what they changed."""
    before = [tensor.clone() for tensor in changed]
    for _ in range(_WARM_UP_STEPS):
        make_all(calls)
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)


def _captured(calls: Sequence[Call]) -> Call:
    """Gives the replay of a graph of the calls, captured on the current stream.

    The replay holds the calls as well: a graph reads and writes their tensors where they were, and owns none of them.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
        make_all(calls)
    return partial(_replay, graph, tuple(calls))


def _replay(graph: Any, held: Sequence[Call]) -> None:
    graph.replay()
