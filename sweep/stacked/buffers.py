"""Flat, padded buffers of a group of replicates, and views of them by layer.

Every tensor of every replicate starts at a multiple of 128 bytes and is padded to one: kernels take two vectors at a
time, of 64 bytes each with AVX-512, and treat the odd floats at an end differently, so a replicate's bits could depend
on its place in the stack.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Floats in 128 bytes.
_LINE = 32
MOMENTS = ("exp_avg", "exp_avg_sq")

Layers = list[tuple[Tensor, Tensor]]


class Stack:
    """Parameters, gradients and Adam's moments of a group, each in one flat buffer `[R, P with padding]`."""

    def __init__(self, shapes: Sequence[tuple[int, int]], num_replicates: int, device: torch.device) -> None:
        self.num_replicates = num_replicates
        self._shapes = [shape for outputs, inputs in shapes for shape in ((outputs, inputs), (outputs,))]
        self._sizes = [torch.Size(shape).numel() for shape in self._shapes]
        self._padded = [_whole_lines(size) for size in self._sizes]
        names = ("parameters", "gradients", *MOMENTS)
        self.flat = {name: torch.zeros(num_replicates, sum(self._padded), device=device) for name in names}
        self.num_steps = torch.tensor(0.0, device=device)

    def layers(self, name: str) -> Layers:
        """Gives views of each layer's weights `[R, outputs, inputs]` and biases `[R, outputs]`."""
        views = [part.view(-1, *shape) for part, shape in zip(self._parts(name), self._shapes, strict=True)]
        return list(zip(views[::2], views[1::2], strict=True))

    def read(self, name: str) -> Tensor:
        """Gives a copy `[R, P]` without the padding."""
        return torch.cat(self._parts(name), dim=1)

    def write(self, name: str, values: Tensor) -> None:
        """Takes over `[R, P]` without the padding."""
        for part, value in zip(self._parts(name), torch.split(values, self._sizes, dim=1), strict=True):
            part.copy_(value)

    def _parts(self, name: str) -> list[Tensor]:
        padded = torch.split(self.flat[name], self._padded, dim=1)
        return [part[:, :size] for part, size in zip(padded, self._sizes, strict=True)]


def batch_buffer(num_replicates: int, batch_size: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Makes a buffer: flat, `[R, B x width with padding]`, and the view `[R, B, width]` of it."""
    size = batch_size * width
    flat = torch.zeros(num_replicates, _whole_lines(size), device=device)
    return flat, flat[:, :size].view(-1, batch_size, width)


def elementwise_parts(flat: Tensor) -> Sequence[Tensor]:
    """Gives the parts of a flat buffer to hand to a kernel that works element by element.

    On one thread, and on a CUDA device, all at once. Several threads would share that out at places that depend on R.
    """
    return [flat.view(-1)] if flat.is_cuda or torch.get_num_threads() == 1 else flat.unbind(0)


def gapless_parts(*tensors: Tensor) -> Sequence[tuple[Tensor, ...]]:
    """Gives the parts of tensors `[R, ...]` to hand to a kernel that writes only to tensors without gaps.

    All at once if they have none; with padding every replicate's part is one.
    """
    return [tensors] if all(tensor.is_contiguous() for tensor in tensors) else list(zip(*tensors, strict=True))


def _whole_lines(num_floats: int) -> int:
    return -(-num_floats // _LINE) * _LINE
