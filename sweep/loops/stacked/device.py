"""A step on a CUDA device, and what belongs to one: the data on it, a stream for each loop, graphs of steps.

Several loops may train in one process at the same time, each in a thread of its own. So nothing here, and nothing
that a loop does, may wait for the whole device: during a capture that is an error in both threads.
"""

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sweep.config import TrialConfig
from sweep.loops.contract import MOMENTS, TrainingSplit
from sweep.loops.stacked.buffers import Stack
from sweep.loops.stacked.losses import Call
from sweep.loops.stacked.step import Step, make_all

# As many streams as torch has on a device; it gives out the first again after the last.
MOST_STREAMS = 32
# Steps taken before a capture: they load kernels and libraries, which a capture must not.
_WARM_UP_STEPS = 3

_lock = threading.RLock()
_free_streams: dict[torch.device, list[Any]] = {}


class DeviceStep(Step):
    """A step that finds its batch by a counter on the device, and keeps its logits there.

    On a CUDA device it is one graph, replayed; elsewhere the same calls are made one by one.
    """

    on_cpu = False

    def __init__(self, stack: Stack, trial: TrialConfig, training: TrainingSplit, *sizes: int) -> None:
        super().__init__(stack, trial, training, *sizes)
        batches = (self._num_steps, self._num_replicates, self._batch_size)
        self._order = torch.zeros(batches, dtype=torch.int64, device=self._device)
        self._counter = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._kept = torch.zeros(*batches, training.num_classes, device=self._device)
        logits = self._logits_buffer()
        log_probabilities = torch.zeros(logits.shape, device=self._device)
        self._target_rows = self._loss.target_rows(training.num_classes, self._batch_size, self._device)
        targets = self._target_rows[self._order[0]]
        of_loss = self._loss.gradient(logits, log_probabilities, targets, self._gradients[-1][1])
        calls = [*self._next_batch(targets), *self._all_gradients(logits, of_loss)]
        calls += [
            partial(stack.num_steps.add_, torch.ones((), device=self._device)),
            self._adam(stack.num_steps),
            partial(self._kept.index_copy_, 0, self._counter, logits.unsqueeze(0)),
            partial(self._counter.add_, torch.ones_like(self._counter)),
        ]
        changed = [*(stack.flat[name] for name in ("parameters", *MOMENTS)), stack.num_steps, self._counter]
        self._one = as_one_call(calls, changed, self._device)

    def _take(self, batches: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        self._order.copy_(batches)
        self._counter.zero_()
        for _ in range(self._num_steps):
            self._one()
        return self._scored(self._kept, torch.log_softmax(self._kept, -1), classes)

    @classmethod
    def _products(cls, *operands: Tensor, out: Tensor) -> Iterator[Call]:
        yield partial(torch.baddbmm if len(operands) == 3 else torch.bmm, *operands, out=out)

    def _next_batch(self, targets: Tensor) -> Iterator[Call]:
        """Fetches the inputs and targets of the batch that the counter stands at."""
        indices = torch.zeros_like(self._order[:1])
        yield partial(torch.index_select, self._order, 0, self._counter, out=indices)
        yield from self._fetch(indices[0])
        every = self._target_rows[self._training.targets]
        yield partial(torch.index_select, every, 0, indices.flatten(), out=targets.flatten(0, 1))


def as_one_call(calls: Sequence[Call], changed: Sequence[Tensor], device: torch.device) -> Call:
    """Gives one call that makes all the calls, which change `changed`: on a CUDA device a graph of them.

    One at a time in a process. Meanwhile other threads may use the device, each on its stream.
    """
    with _lock:
        before = [tensor.clone() for tensor in changed]
        for _ in range(_WARM_UP_STEPS):
            make_all(calls)
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)
        return _captured(calls) if device.type == "cuda" else partial(make_all, calls)


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


def own_stream(owner: object, device: torch.device) -> Any:
    """Gives a stream that no other owner has while this one lives, None on the CPU.

    Raises:
        RuntimeError: if more than `MOST_STREAMS` owners live.
    """
    if device.type != "cuda":
        return None
    with _lock:
        if device not in _free_streams:
            make: Any = torch.cuda.Stream
            _free_streams[device] = [make(device) for _ in range(MOST_STREAMS)]
        if not (free := _free_streams[device]):
            raise RuntimeError(f"at most {MOST_STREAMS} stacked loops can be on one CUDA device in one process")
        stream = free.pop()
    weakref.finalize(owner, free.append, stream)
    return stream


@contextmanager
def on_stream(stream: Any) -> Iterator[None]:
    """Does what is inside on a stream, and has finished it when it ends; with None as ever."""
    with torch.cuda.stream(stream):
        try:
            yield
        finally:
            if stream is not None:
                stream.synchronize()


_residents: "weakref.WeakValueDictionary[tuple[object, ...], TrainingSplit]" = weakref.WeakValueDictionary()


def resident(training: TrainingSplit, device: torch.device) -> TrainingSplit:
    """Gives the training split on a device: one copy for all loops of the process that have the same tensors."""
    if training.inputs.device == device:
        return training
    tensors = (training.inputs, training.targets)
    key = (device, training.num_classes, *((tensor.data_ptr(), tensor.shape) for tensor in tensors))
    with _lock:
        if (known := _residents.get(key)) is not None:
            return known
        inputs, targets = (tensor.to(device) for tensor in tensors)
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()  # other streams will read it
        copy = _residents[key] = TrainingSplit(inputs=inputs, targets=targets, num_classes=training.num_classes)
        # Its source is held as long as it lives, so that no other tensor can come to lie at that address.
        weakref.finalize(copy, id, training)
        return copy
