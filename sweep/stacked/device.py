"""What belongs to a CUDA device: the data on it, a stream for each engine, graphs of steps.

Several engines may train in one process at the same time, each in a thread of its own. So nothing here, and nothing
that an engine does, may wait for the whole device: during a capture that is an error in both threads.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sweep.engine import TrainingImages

# As many streams as torch has on a device; it gives out the first again after the last.
MOST_STREAMS = 32
# Steps taken before a capture: they load kernels and libraries, which a capture must not.
_WARM_UP_STEPS = 3

_lock = threading.RLock()
_free_streams: dict[torch.device, list[Any]] = {}
_num_streams: dict[torch.device, int] = {}


@dataclass(frozen=True, kw_only=True)
class _Resident(TrainingImages):
    """A copy on a device. It keeps its source, so that no other tensor can come to lie at that address."""

    source: TrainingImages


_residents: "weakref.WeakValueDictionary[tuple[object, ...], _Resident]" = weakref.WeakValueDictionary()


def resident(training: TrainingImages, device: torch.device) -> TrainingImages:
    """Gives the training split on a device: one copy for all engines of the process that have the same tensors."""
    if training.images.device == device:
        return training
    tensors = (training.images, training.labels)
    key = (device, training.num_classes, *((tensor.data_ptr(), tensor.shape) for tensor in tensors))
    with _lock:
        copy = _residents.get(key)
        if copy is None:
            images, labels = (tensor.to(device) for tensor in tensors)
            copy = _Resident(images=images, labels=labels, num_classes=training.num_classes, source=training)
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
                raise RuntimeError(f"at most {MOST_STREAMS} stacked engines can be on one CUDA device in one process")
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


def as_one_call(
    calls: Sequence[Callable[[], object]], changed: Sequence[Tensor], device: torch.device
) -> Callable[[], object]:
    """Gives one call that makes all the calls, which change `changed`: on a CUDA device a graph of them.

    One at a time in a process. Meanwhile other threads may use the device, each on its stream.
    """
    with _lock:
        warm_up(calls, changed)
        return _captured(calls) if device.type == "cuda" else partial(make_all, calls)


def warm_up(calls: Sequence[Callable[[], object]], changed: Sequence[Tensor]) -> None:
    """Makes the calls a few times, each time putting back what they changed."""
    before = [tensor.clone() for tensor in changed]
    for _ in range(_WARM_UP_STEPS):
        make_all(calls)
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)


def make_all(calls: Sequence[Callable[[], object]]) -> None:
    """Makes the calls, one by one."""
    for call in calls:
        call()


def _captured(calls: Sequence[Callable[[], object]]) -> Callable[[], object]:
    """Gives the replay of a graph of the calls, captured on the current stream.

    The replay holds the calls as well: a graph reads and writes their tensors where they were, and owns none of them.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
        make_all(calls)
    return partial(_replay, graph, tuple(calls))


def _replay(graph: Any, held: Sequence[Callable[[], object]]) -> None:
    graph.replay()
