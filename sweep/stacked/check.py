"""Whether the stacked engine gives the numbers of the reference engine here, and if not, why, in words."""

from collections.abc import Callable

import torch

from sweep.config import ACTIVATIONS, LOSSES, TrialConfig
from sweep.engine import Engine, ReferenceEngine, TrainingImages

# The versions of torch (from, before) whose private operators were checked against the reference engine.
_CHECKED_VERSIONS = ((2, 15), (2, 16))
_PRIVATE = ("_fused_adam_", "_log_softmax", "_log_softmax_backward_data")
# Of losses, logits, parameters and moments after six steps, all of order 1 or less. Rounding gives some 1e-8; a step
# of Adam is 1e-3.
_TOLERANCE = 1e-5


def version_reason() -> str | None:
    """Gives the reason why this torch will not do, None if it will."""
    first, end = _CHECKED_VERSIONS
    if not first <= tuple(int(part) for part in torch.__version__.split(".")[:2]) < end:
        return f"it was checked with torch >={first[0]}.{first[1]},<{end[0]}.{end[1]}, this is {torch.__version__}"
    missing = [name for name in _PRIVATE if not hasattr(torch, name)]
    return f"torch {torch.__version__} lacks {', '.join(missing)}" if missing else None


def cuda_reason() -> str | None:
    """Gives the reason why CUDA cannot be used as this process is set up, None if it can."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device here"
    # The one name that shows what counts, whichever of torch's settings or environment variables it came from.
    precision = torch.backends.cuda.matmul.fp32_precision
    if precision not in ("none", "ieee"):
        return f"matrix products on CUDA are set to {precision}, not to float32; unset torch's float32 matmul precision"
    return None


def disagreement(engine: Callable[..., Engine], device: str) -> str | None:
    """Trains tiny models with an engine and with the reference engine, both on a device; gives what is wrong.

    Every activation and every loss takes part once, with whole batches and a short last one.
    """
    draw = torch.Generator().manual_seed(0)
    training = TrainingImages(
        images=torch.randn(23, 7, generator=draw), labels=torch.randint(0, 4, (23,), generator=draw), num_classes=4
    )
    for activation, loss in zip(ACTIVATIONS, LOSSES, strict=True):
        trial = _trial(activation, loss)
        try:
            difference = _largest_difference(
                *(kind(trial, training, device=device) for kind in (ReferenceEngine, engine))
            )
        except Exception as error:  # what fails here would fail in training
            first_line = str(error).partition("\n")[0]
            return f"its self-check on {device} ended with {type(error).__name__}: {first_line}"
        if not difference <= _TOLERANCE:
            return (
                f"on {device} its numbers differ from the reference engine's by {difference:.0e} after six steps "
                f"({activation}, {loss}; allowed {_TOLERANCE:.0e})"
            )
    return None


def _largest_difference(one: Engine, other: Engine) -> float:
    differences = []
    for epoch in (1, 2):
        scores = one.train_epoch(epoch), other.train_epoch(epoch)
        differences.append((scores[0].loss - scores[1].loss).abs().max())
    states = one.state(), other.state()
    differences += [(states[0][name] - states[1][name]).abs().max().double() for name in states[0]]
    images = torch.linspace(-2, 2, 5 * 7).view(5, 7)
    differences.append((one.logits(images) - other.logits(images)).abs().max().double())
    return float(torch.stack(differences).max())  # NaN if any is


def _trial(activation: str, loss: str) -> TrialConfig:
    return TrialConfig(
        dataset="",
        dataset_sha256="",
        validation_size=0,
        depth="",
        layers=(8, 5),
        activation=activation,
        loss=loss,
        learning_rate=0.001,
        batch_size=8,
        epochs=2,
        seeds=(0, 1),
        engine="stacked",
    )
