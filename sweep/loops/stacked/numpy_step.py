"""A step on the CPU whose products are numpy's: on some processors its OpenBLAS is up to twice as fast as torch's MKL.

Whole products, or cut into tiles that OpenBLAS takes with its small-matrix kernels, which pack nothing first. Numpy and
torch work on the same memory. Adam and most activations stay torch's, the loss is worked out by columns.

Axis letters: R replicates, S steps, B samples of a batch, C classes.
"""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sweep.loops.stacked.losses import Call
from sweep.loops.stacked.step import HostStep, make_all

# What numpy has faster than torch, in place of `sweep.loops.stacked.ACTIVATIONS`.
_ACTIVATIONS = {"tanh": np.tanh}
# OpenBLAS's small-matrix kernels take products of at most so many rows x columns x depth; where the right factor is a
# transpose, of at most so many rows x columns and of at least that depth.
# Source: OpenBLAS, kernel/x86_64/sgemm_small_kernel_permit_skylakex.c.
_SMALL = 1_000_000
_SMALL_RESULT, _SMALL_DEPTH = 1200, 32
# A tile has as many rows and columns at least, and columns for whole vectors of AVX-512 if they divide so.
_LEAST, _VECTOR = 4, 16


class NumpyStep(HostStep):
    """Takes products as a whole."""

    cut: ClassVar[bool] = False

    def _losses(self) -> Iterator[Iterable[Call]]:
        by_columns = (tensor.transpose(-1, -2).numpy() for tensor in (self._logits, self._gradients[-1][1]))
        self._columns = self._loss.columns(*by_columns)
        return map(self._columns.calls, range(self._num_steps))

    def _take(self, batches: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        with np.errstate(all="ignore"):  # training that diverges is said in the report
            self._columns.begin(classes.numpy())
            self._make_steps(batches)
            losses = torch.from_numpy(self._columns.of_samples(classes.numpy()))
        predictions = self._logits[: len(batches)].transpose(-1, -2).max(-2).indices
        return losses, predictions == classes

    def _products(self, *operands: Tensor, out: Tensor) -> Iterator[Call]:
        *bias, left, right = operands
        return self._product(left, right, out, *bias)

    def _bias_gradient(self, gradient: Tensor, out: Tensor) -> Call:
        ones = np.ones((1, self._batch_size), np.float32)
        return partial(np.matmul, ones, gradient.numpy(), out.unsqueeze(1).numpy())

    def _logits_buffer(self, *steps: int) -> Tensor:
        by_samples = super()._logits_buffer(*steps).flatten(-2)
        return torch.unflatten(by_samples, -1, (-1, self._batch_size)).transpose(-1, -2)

    @classmethod
    def _product(cls, left: Tensor, right: Tensor, out: Tensor, *bias: Tensor) -> Iterator[Call]:
        operands = tiles(left, right, out) if cls.cut else (left, right, out)
        yield partial(np.matmul, *(tensor.numpy() for tensor in operands))
        for values in bias:
            yield partial(out.add_, values)

    @classmethod
    def activation(cls, name: str, values: Tensor) -> Call:
        """Prepares an activation of values, in their place."""
        if name not in _ACTIVATIONS:
            return super().activation(name, values)
        array = values.numpy()
        return partial(_ACTIVATIONS[name], array, array)

    @classmethod
    def linear(cls, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Gives the outputs `[N, outputs]` of a layer of one replicate."""
        outputs = inputs.new_empty(len(inputs), len(weight))
        with np.errstate(all="ignore"):
            make_all([*cls._product(inputs, weight.t(), outputs, bias)])
        return outputs


class CutNumpyStep(NumpyStep):
    """Takes products in tiles."""

    cut = True


def tiles(left: Tensor, right: Tensor, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cuts a product of matrices `[..., M, K]` and `[..., K, N]` into products of views, as `tile` says."""
    (num_rows, depth), num_columns = left.shape[-2:], right.shape[-1]
    rows, columns = tile(num_rows, num_columns, depth, transposed=right.stride(-1) != 1)
    return (
        torch.unflatten(left, -2, (-1, rows)).unsqueeze(-3),
        torch.unflatten(right, -1, (-1, columns)).transpose(-2, -3).unsqueeze(-4),
        torch.unflatten(torch.unflatten(out, -1, (-1, columns)), -3, (-1, rows)).transpose(-2, -3),
    )


def tile(num_rows: int, num_columns: int, depth: int, *, transposed: bool) -> tuple[int, int]:
    """Gives the rows and columns of the tiles of a product: as few as are small, all of one size, as square as can be.

    The whole, if it is small or cannot be cut so. Always the same for the same sizes, since they decide the last bits
    of the numbers. A product is `transposed` if its right factor is the transpose of what lies in memory.
    """
    whole, most = (num_rows, num_columns), _SMALL // depth
    if transposed:
        most = min(most, _SMALL_RESULT)
    if num_rows * num_columns <= most or (transposed and depth < _SMALL_DEPTH):
        return whole
    vector = math.gcd(num_columns, _VECTOR)
    sizes = [
        (rows, columns)
        for rows in _divisors(num_rows)
        for columns in _divisors(num_columns)
        if rows * columns <= most and columns % vector == 0
    ]
    return max(sizes, key=lambda size: (size[0] * size[1], -max(size) / min(size), size), default=whole)


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(_LEAST, number + 1) if number % divisor == 0]
