"""Compares the stacked engine with the reference engine, in a few steps of tiny models.

`main` is the program of the child that `sweep.selfcheck` starts.
"""

import json
from collections.abc import Callable

import torch

from sweep.config import ACTIVATIONS, LOSSES, TrialConfig
from sweep.engine import Engine, ReferenceEngine, TrainingImages
from sweep.errors import first_line
from sweep.stacked.engine import StackedEngine

# Of losses, logits, parameters and moments after six steps, all of order 1 or less. Rounding gives some 1e-8; a step
# of Adam is 1e-3.
_TOLERANCE = 1e-5


def main(device: str) -> None:
    """Prints what is found as JSON: `{"reason": null or why not, "lasting": whether it will be found again}`."""
    from sweep.trial import prepare_torch

    prepare_torch(1)
    lasting = True
    try:
        reason = disagreement(StackedEngine, device)
    except Exception as error:  # what fails here would fail in training
        reason = f"its self-check on {device} ended with {type(error).__name__}: {first_line(error)}"
        # So says a torch that lacks an operator or wants other arguments; anything else may be a matter of memory.
        lasting = isinstance(error, AttributeError | NotImplementedError | TypeError)
    print(json.dumps({"reason": reason, "lasting": lasting}))


def cuda_reason() -> str | None:
    """Gives the reason why CUDA cannot be used as this process is set up, None if it can."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device here"
    products = torch.backends.cuda.matmul
    if hasattr(products, "fp32_precision"):
        # The one name that shows what counts, whichever of torch's settings or environment variables it came from.
        precision = products.fp32_precision
    else:  # torch before 2.9
        precision = "tf32" if products.allow_tf32 else "ieee"
    if precision not in ("none", "ieee"):
        return f"matrix products on CUDA are set to {precision}, not to float32; unset torch's float32 matmul precision"
    return None


def disagreement(engine: Callable[..., Engine], device: str) -> str | None:
    """Trains tiny models with an engine and with the reference engine, both on a device; gives what is wrong.

    Every activation and every loss takes part once, and with them every operator; with whole batches and a short last
    one.
    """
    draw = torch.Generator().manual_seed(0)
    training = TrainingImages(
        images=torch.randn(23, 7, generator=draw), labels=torch.randint(0, 4, (23,), generator=draw), num_classes=4
    )
    for activation, loss in zip(ACTIVATIONS, LOSSES, strict=True):
        trial = _trial(activation, loss)
        difference = _largest_difference(*(kind(trial, training, device=device) for kind in (ReferenceEngine, engine)))
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
