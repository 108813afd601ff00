"""Where the numbers of a step lie: in flat buffers made once, padded so that a place in the stack decides no bit.

Axis letters: R replicates, P parameters of one replicate.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sweep.loops.contract import MOMENTS

# Floats in 128 bytes. Every tensor of every replicate starts at a multiple of 128 bytes and is padded to one: kernels
# take two vectors at a time, of 64 bytes each with AVX-512, and treat the odd floats at an end differently, so a
# replicate's bits could depend on its place in the stack.
_LINE = 32


class Stack:
    """Parameters, gradients and Adam's moments of a group, each in one flat buffer `[R, P with padding]`."""

    def __init__(self, shapes: Sequence[tuple[int, int]], num_replicates: int, device: torch.device) -> None:
        self.num_replicates = num_replicates
        self._shapes = [shape for outputs, inputs in shapes for shape in ((outputs, inputs), (outputs,))]
        sizes = [math.prod(shape) for shape in self._shapes]
        *starts, end = itertools.accumulate(map(_whole_lines, sizes), initial=0)
        self._slices = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        # Where the parameters are among the padding, `[P]`.
        self.places = torch.cat([torch.arange(part.start, part.stop, device=device) for part in self._slices])
        names = ("parameters", "gradients", *MOMENTS)
        self.flat = {name: torch.zeros(num_replicates, end, device=device) for name in names}
        self.num_steps = torch.tensor(0.0, device=device)

    def layers(self, name: str) -> list[tuple[Tensor, Tensor]]:
        """Gives views of each layer's weights `[R, outputs, inputs]` and biases `[R, outputs]`."""
        parts = zip(self._slices, self._shapes, strict=True)
        views = [self.flat[name][:, part].view(-1, *shape) for part, shape in parts]
        return list(zip(views[::2], views[1::2], strict=True))


def padded(*shape: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Makes a buffer for matrices, flat `[..., M x N with padding]`, and the view of `shape`."""
    size = math.prod(shape[-2:])
    flat = torch.zeros(*shape[:-2], _whole_lines(size), device=device)
    return flat, torch.unflatten(flat[..., :size], -1, shape[-2:])


def _whole_lines(num_floats: int) -> int:
    return -(-num_floats // _LINE) * _LINE


def gapless_parts(*tensors: Tensor) -> Sequence[tuple[Tensor, ...]]:
    """The parts of tensors `[R, ...]` for a kernel that writes to tensors without gaps only; padding makes gaps."""
    return [tensors] if all(tensor.is_contiguous() for tensor in tensors) else list(zip(*tensors, strict=True))
