"""The stacked loop: the numbers of the reference loop, close to the hardware's limit.

The R replicates of a grid point live in flat buffers and are trained step by step together. Forward and backward are
written out into buffers made once, a step is a prepared list of calls, Adam is one of them: so what autograd, Python
and allocation cost is gone, and nearly all time goes to the matrix products.

    step.py        buffers, a step written out, and how it is repeated on the CPU
    device.py      how it is repeated on a CUDA device, as a graph; streams and data there
    loop.py        epochs, outputs and state
    selfcheck.py   whether its numbers are those of the reference loop, on this machine

Here is what it takes: the activations and losses whose step is written out. Torch is imported when a loop is made.
"""

from typing import TYPE_CHECKING

from sweep.config import TrialConfig
from sweep.loops.stacked.selfcheck import unfit

if TYPE_CHECKING:
    from sweep.loops.contract import Loop, TrainingSplit

__all__ = ["ACTIVATIONS", "LOSSES", "make", "refuses", "unfit"]

# Operators of torch: in place on a layer's outputs; that of autograd, with its arguments after the gradient of the
# output and the output. By name, since a torch that lacks one can still score.
ACTIVATIONS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "relu": ("relu_", "threshold_backward", (0,)),
    "sigmoid": ("sigmoid_", "sigmoid_backward", ()),
    "tanh": ("tanh_", "tanh_backward", ()),
}
LOSSES = {
    "cross_entropy": "sweep.loops.stacked.step.CrossEntropy",
    "sparse_cross_entropy": "sweep.loops.stacked.step.CrossEntropy",
    "hinge": "sweep.loops.stacked.step.Hinge",
}


def refuses(trial: TrialConfig) -> str:
    """Gives the reason why it cannot train a trial anywhere, "" if it can."""
    for axis, written_out in (("activation", ACTIVATIONS), ("loss", LOSSES)):
        if getattr(trial, axis) not in written_out:
            return f"it has no step written out for the {axis} {getattr(trial, axis)}"
    return ""


def make(trial: TrialConfig, training: "TrainingSplit", *, device: str = "cpu") -> "Loop":
    """Makes the loop of a trial on a device: "cpu" or "cuda"."""
    from sweep.loops.stacked.loop import StackedLoop

    return StackedLoop(trial, training, device=device)
