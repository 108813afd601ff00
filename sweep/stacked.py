"""The stacked engine: the numbers of the reference engine, close to the hardware's limit.

The R replicates of a grid point live in flat buffers and are trained step by step together. Forward and backward are
written out into buffers made once, a step is a prepared list of calls, Adam is one of them: so what autograd, Python
and allocation cost is gone, and nearly all time goes to the matrix products. These stay one product per replicate,
since one wide product for all would change a replicate's bits with R.

The caller first sets the number of threads and flushes denormals (`trial.prepare_torch`). Axis letters: R replicates,
S steps, B images of a batch, N images, D inputs, C classes, P parameters of one replicate.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from sweep.config import TrialConfig
from sweep.engine import SCORING_BATCH, EpochScores, TrainingImages
from sweep.models import initial_parameters, layer_shapes, shuffle

# The versions of torch (from, before) whose private operators were checked against the reference engine.
_CHECKED_VERSIONS = ((2, 15), (2, 16))
_PRIVATE = ("_fused_adam_", "_log_softmax", "_log_softmax_backward_data")
# Floats in 64 bytes. Every tensor of every replicate starts at a multiple and is padded to one: kernels treat the odd
# floats at an end differently, so a replicate's bits could depend on its place in the stack.
_LINE = 16
# Steps whose logits are kept until they are scored together: few enough to stay in the cache.
_KEPT_STEPS = 64
# Replicates whose buffers exceed this leave the cache; so they are divided into groups, which take turns.
_GROUP_BYTES = 8 * 2**20
_MOMENTS = ("exp_avg", "exp_avg_sq")

_Call = Callable[[], object]
_Layers = list[tuple[Tensor, Tensor]]
_aten = torch.ops.aten
# In place on a layer's outputs.
_ACTIVATIONS = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_}
# The operators of autograd: (operator, its arguments after the gradient of the output and the output).
_ACTIVATION_GRADIENTS: dict[str, tuple[Callable[..., object], tuple[float, ...]]] = {
    "relu": (_aten.threshold_backward.grad_input, (0,)),
    "sigmoid": (_aten.sigmoid_backward.grad_input, ()),
    "tanh": (_aten.tanh_backward.grad_input, ()),
}
_LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": functional.cross_entropy,
    "sparse_cross_entropy": functional.cross_entropy,
    "hinge": functional.multi_margin_loss,
}


def supported(device: str = "cpu") -> str | None:
    """Gives the reason why the stacked engine cannot be used here, None if it can."""
    if not device.startswith("cpu"):
        return f"it is for the CPU, not for {device}"
    first, end = _CHECKED_VERSIONS
    if not first <= tuple(int(part) for part in torch.__version__.split(".")[:2]) < end:
        return f"it was checked with torch >={first[0]}.{first[1]},<{end[0]}.{end[1]}, this is {torch.__version__}"
    missing = [name for name in _PRIVATE if not hasattr(torch, name)]
    return f"torch {torch.__version__} lacks {', '.join(missing)}" if missing else None


class StackedEngine:
    """Trains all replicates together; interface and numbers are those of `ReferenceEngine`.

    A replicate's bits depend neither on R nor on its place among the others. The time of an epoch is divided evenly
    among the replicates.

    Args:
        trial: The grid point and its seeds.
        training: The training split.
        device: "cpu".
    """

    def __init__(self, trial: TrialConfig, training: TrainingImages, *, device: str = "cpu") -> None:
        assert supported(device) is None, supported(device)
        shapes = layer_shapes(training.images.shape[1], trial.layers, training.num_classes)
        parameters = torch.stack([initial_parameters(shapes, seed) for seed in trial.seeds])
        self._trial, self._training = trial, training
        self._group_sizes = _group_sizes(*parameters.shape)
        self._groups = [_Stack(shapes, size) for size in self._group_sizes]
        self._write("parameters", parameters)
        # By group and batch size: that of whole batches and that of the last short one.
        self._steps: dict[tuple[_Stack, int], _Step] = {}

    @torch.inference_mode()
    def train_epoch(self, epoch: int) -> EpochScores:
        """Trains every replicate for one epoch, counted from 1."""
        start = time.perf_counter()
        num_images, num_replicates = len(self._training.images), len(self._trial.seeds)
        order = torch.stack([shuffle(num_images, seed, epoch) for seed in self._trial.seeds])
        sums = torch.zeros(2, num_replicates, dtype=torch.float64)
        for batch_size, first, end in _stretches(num_images, self._trial.batch_size):
            rows = torch.split(order[:, first:end], self._group_sizes)
            steps = [self._step(group, batch_size) for group in self._groups]
            sums += torch.cat([step.repeat(part) for step, part in zip(steps, rows, strict=True)], dim=1)
        loss, accuracy = sums / num_images
        train_time_s = torch.full_like(loss, (time.perf_counter() - start) / num_replicates)
        return EpochScores(loss=loss, accuracy=accuracy, train_time_s=train_time_s)

    def _step(self, group: "_Stack", batch_size: int) -> "_Step":
        key = (group, batch_size)
        if key not in self._steps:
            self._steps[key] = _Step(group, self._trial, self._training, batch_size)
        return self._steps[key]

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """Gives the logits `[R, N, C]` of images `[N, D]`, on the CPU, without learning."""
        # Copied, since a product's last bits may depend on how its operands are aligned.
        chunks = [chunk.clone() for chunk in torch.split(images, SCORING_BATCH)]
        return torch.stack([torch.cat([self._forward(chunk, model) for chunk in chunks]) for model in self._models()])

    def _models(self) -> Iterator[_Layers]:
        """Gives the layers of each replicate."""
        for group in self._groups:
            layers = group.layers("parameters")
            for r in range(group.num_replicates):
                yield [(weight[r], bias[r]) for weight, bias in layers]

    def _forward(self, outputs: Tensor, model: _Layers) -> Tensor:
        for depth, (weight, bias) in enumerate(model):
            if depth:
                _ACTIVATIONS[self._trial.activation](outputs)
            outputs = torch.addmm(bias, outputs, weight.t())
        return outputs

    def state(self) -> dict[str, Tensor]:
        """Gives a copy of everything that the next epoch depends on, on the CPU."""
        names = ("parameters", *_MOMENTS)
        tensors = {name: torch.cat([group.read(name) for group in self._groups]) for name in names}
        return {"steps": self._groups[0].num_steps.long(), **tensors}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continues from what `state` gave."""
        for group in self._groups:
            group.num_steps.copy_(state["steps"])
        for name in ("parameters", *_MOMENTS):
            self._write(name, state[name])

    def _write(self, name: str, values: Tensor) -> None:
        for group, rows in zip(self._groups, torch.split(values, self._group_sizes), strict=True):
            group.write(name, rows)


def _group_sizes(num_replicates: int, num_parameters: int) -> list[int]:
    """Divides the replicates into as few groups of nearly equal size as fit the cache."""
    largest = max(1, _GROUP_BYTES // (4 * 4 * num_parameters))
    groups = torch.arange(num_replicates).tensor_split(-(-num_replicates // largest))
    return [len(group) for group in groups]


def _stretches(num_images: int, batch_size: int) -> Iterator[tuple[int, int, int]]:
    """Cuts an epoch into stretches of whole batches of one size: (batch size, first image, end)."""
    batch_size = min(batch_size, num_images)
    whole = num_images - num_images % batch_size
    for first in range(0, whole, batch_size * _KEPT_STEPS):
        yield batch_size, first, min(first + batch_size * _KEPT_STEPS, whole)
    if whole < num_images:
        yield num_images - whole, whole, num_images


class _Stack:
    """Parameters, gradients and Adam's moments of a group, each in one flat buffer `[R, P with padding]`."""

    def __init__(self, shapes: Sequence[tuple[int, int]], num_replicates: int) -> None:
        self.num_replicates = num_replicates
        self._shapes = [shape for outputs, inputs in shapes for shape in ((outputs, inputs), (outputs,))]
        self._sizes = [torch.Size(shape).numel() for shape in self._shapes]
        self._padded = [_whole_lines(size) for size in self._sizes]
        names = ("parameters", "gradients", *_MOMENTS)
        self.flat = {name: torch.zeros(num_replicates, sum(self._padded)) for name in names}
        self.num_steps = torch.tensor(0.0)

    def layers(self, name: str) -> _Layers:
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


class _Step:
    """A step of a group with batches of B images: its buffers, and all it does as a list of prepared calls."""

    def __init__(self, stack: _Stack, trial: TrialConfig, training: TrainingImages, batch_size: int) -> None:
        self._trial, self._training, self._batch_size = trial, training, batch_size
        self._replicates = range(stack.num_replicates)
        layers, gradients = stack.layers("parameters"), stack.layers("gradients")
        widths = [weight.shape[1] for weight, _ in layers]
        # Of every layer; the first are the inputs, which need no gradient.
        self._outputs = [self._buffer(width) for width in (training.images.shape[1], *widths)]
        self._gradients = [self._buffer(width) for width in widths]
        self._gather = [partial(torch.index_select, training.images, 0, out=inputs) for inputs in self._outputs[0][1]]
        self._targets = self._target_rows(torch.zeros(stack.num_replicates, batch_size, dtype=torch.int64))
        self._logits, self._logit_gradients = self._outputs[-1][1], self._gradients[-1][1]
        num_kept = min(_KEPT_STEPS, len(training.images) // batch_size)
        self._kept = torch.empty(stack.num_replicates, num_kept, *self._logits.shape[1:])
        loss_gradient = self._hinge_gradient if trial.loss == "hinge" else self._cross_entropy_gradient
        self._calls = [*self._forward(layers), *loss_gradient(), *self._backward(layers, gradients), *self._adam(stack)]

    def repeat(self, order: Tensor) -> Tensor:
        """Takes a step per batch of `order` `[R, S x B]`; gives sums of losses and of correct predictions, `[2, R]`."""
        labels = self._training.labels[order]
        targets = torch.split(self._target_rows(labels), self._batch_size, dim=1)
        batches = zip(*(torch.split(row, self._batch_size) for row in order), strict=True)
        kept = self._kept[:, : len(targets)]
        for batch, target, logits in zip(batches, targets, kept.unbind(1), strict=True):
            for gather, indices in zip(self._gather, batch, strict=True):
                gather(indices)
            self._targets.copy_(target)
            for call in self._calls:
                call()
            logits.copy_(self._logits)
        rows = list(zip(kept.flatten(1, 2), labels, strict=True))
        losses = [_LOSSES[self._trial.loss](row, row_labels, reduction="none") for row, row_labels in rows]
        correct = [row.argmax(1) == row_labels for row, row_labels in rows]
        return torch.stack([torch.stack([row.double().sum() for row in values]) for values in (losses, correct)])

    def _forward(self, layers: _Layers) -> Iterator[_Call]:
        for depth, (weight, bias) in enumerate(layers):
            (flat, inputs), (_, outputs) = self._outputs[depth : depth + 2]
            for part in _parts(flat) if depth else ():
                yield partial(_ACTIVATIONS[self._trial.activation], part)
            for r in self._replicates:
                yield partial(torch.addmm, bias[r], inputs[r], weight[r].t(), out=outputs[r])

    def _target_rows(self, labels: Tensor) -> Tensor:
        """Gives what the loss's gradient needs of the labels `[R, N]`.

        For hinge these themselves; for cross-entropy its gradient with respect to the logarithms of the
        probabilities, `[R, N, C]`: -1/B at the label.
        """
        if self._trial.loss == "hinge":
            return labels
        gradient = torch.zeros(*labels.shape, self._training.num_classes)
        return gradient.scatter_(2, labels.unsqueeze(2), -1 / self._batch_size)

    def _cross_entropy_gradient(self) -> Iterator[_Call]:
        whole = (self._logits, self._targets, self._logit_gradients)
        # The operators write only to tensors without gaps; with padding every replicate's part is one.
        parts = [whole] if self._logits.is_contiguous() else zip(*whole, strict=True)
        for logits, targets, gradient in parts:
            logs = torch.empty(logits.shape)
            yield partial(torch._log_softmax, logits, -1, False, out=logs)
            yield partial(torch._log_softmax_backward_data, targets, logs, -1, torch.float32, out=gradient)

    def _hinge_gradient(self) -> Iterator[_Call]:
        power, margin, weight, mean, one = 1, 1.0, None, 1, torch.tensor(1.0)
        for logits, labels, gradient in zip(self._logits, self._targets, self._logit_gradients, strict=True):
            operands = (one, logits, labels, power, margin, weight, mean)
            yield partial(_aten.multi_margin_loss_backward.grad_input, *operands, grad_input=gradient)

    def _backward(self, layers: _Layers, layer_gradients: _Layers) -> Iterator[_Call]:
        operator, further = _ACTIVATION_GRADIENTS[self._trial.activation]
        for depth in reversed(range(len(layers))):
            (weight, _), (weight_gradient, bias_gradient) = layers[depth], layer_gradients[depth]
            (flat_inputs, inputs), (_, gradient) = self._outputs[depth], self._gradients[depth]
            for r in self._replicates:
                yield partial(torch.mm, gradient[r].t(), inputs[r], out=weight_gradient[r])
            yield partial(torch.sum, gradient, 1, out=bias_gradient)
            if depth:
                flat_gradient, input_gradient = self._gradients[depth - 1]
                for r in self._replicates:
                    yield partial(torch.mm, gradient[r], weight[r], out=input_gradient[r])
                for part, outputs in zip(_parts(flat_gradient), _parts(flat_inputs), strict=True):
                    yield partial(operator, part, outputs, *further, grad_input=part)

    def _adam(self, stack: _Stack) -> Iterator[_Call]:
        yield partial(stack.num_steps.add_, torch.tensor(1.0))
        tensors = ([stack.flat[name].view(-1)] for name in ("parameters", "gradients", *_MOMENTS))
        settings = {"lr": self._trial.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
        yield partial(torch._fused_adam_, *tensors, [], [stack.num_steps], amsgrad=False, maximize=False, **settings)

    def _buffer(self, width: int) -> tuple[Tensor, Tensor]:
        """Makes a buffer: flat, `[R, B x width with padding]`, and the view `[R, B, width]` of it."""
        size = self._batch_size * width
        flat = torch.zeros(len(self._replicates), _whole_lines(size))
        return flat, flat[:, :size].view(-1, self._batch_size, width)


def _whole_lines(num_floats: int) -> int:
    return -(-num_floats // _LINE) * _LINE


def _parts(flat: Tensor) -> Sequence[Tensor]:
    """Gives the parts to hand to a kernel that works element by element.

    On one thread all at once. Several threads would share that out at places that depend on R.
    """
    return [flat.view(-1)] if torch.get_num_threads() == 1 else flat.unbind(0)
