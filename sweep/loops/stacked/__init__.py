"""The stacked loop: the numbers of the reference loop, close to the hardware's limit.

The R replicates of a grid point live in flat buffers and are trained step by step together. Forward and backward are
written out into buffers made once, a step is a prepared list of calls, Adam is one of them: so what autograd, Python
and allocation cost is gone, and nearly all time goes to the matrix products.

    buffers.py    where parameters, gradients and what lies between them are
    step.py       a step written out, and how it is repeated on the CPU
    losses.py     the losses of steps
    device.py     how it is repeated on a CUDA device, as a graph; streams and data there
    loop.py       epochs, outputs and state
    products.py   the same with numpy's products, and which library multiplies on a CPU

Here is what it takes: activations and losses whose step is written out; a machine on which its numbers are those of the
reference loop. That is found out in a few steps of tiny models, once per machine and versions, by a child (`main`),
since after an error on a CUDA device every later call of its process fails. What it finds is kept in the cache folder,
where that can be written. Torch is imported for a CUDA device and for a loop only, so that a driver's child starts
while the driver itself imports torch.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweep.config import TrialConfig
from sweep.datasets import cache_folder
from sweep.errors import StorageError, first_line, last_line
from sweep.pieces import PRODUCTS
from sweep.storage import LocalStorage

if TYPE_CHECKING:
    from sweep.loops.contract import Loop, TrainingSplit

# Operators of torch: in place on a layer's outputs; that of autograd, with its arguments after the gradient of the
# output and the output. By name, since a torch that lacks one can still score.
ACTIVATIONS: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "relu": ("relu_", "threshold_backward", (0,)),
    "sigmoid": ("sigmoid_", "sigmoid_backward", ()),
    "tanh": ("tanh_", "tanh_backward", ()),
}
LOSSES = {
    "cross_entropy": "sweep.loops.stacked.losses.CROSS_ENTROPY",
    "sparse_cross_entropy": "sweep.loops.stacked.losses.CROSS_ENTROPY",
    "hinge": "sweep.loops.stacked.losses.HINGE",
}

# The child finds what this process finds, wherever either was started.
_PROGRAM = f"import sys; sys.path[:] = sys.argv[2:]; from {__name__} import main; main(sys.argv[1])"
_WITHIN_S = 300.0
_TEXT_ONLY: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
# How the variables begin by which torch and its libraries choose how to compute.
_VARIABLES = ("ATEN_", "CUBLAS_", "DNNL_", "MKL_", "NVIDIA_TF32_", "ONEDNN_", "OPENBLAS_", "TORCH_ALLOW_TF32_")
_PROCESSOR = ("vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU part")
# Of losses, outputs, parameters and moments after six steps, all of order 1 or less. Rounding gives some 1e-8; a step
# of Adam is 1e-3.
_TOLERANCE = 1e-5
_UNKNOWN = "what numpy multiplies with is not known here, so the number of its threads cannot be set"

_lock = threading.Lock()
Answer = TypeVar("Answer")


def refuses(trial: TrialConfig) -> str:
    """Gives the reason why it cannot train a trial anywhere, "" if it can."""
    for axis, written_out in (("activation", ACTIVATIONS), ("loss", LOSSES)):
        if getattr(trial, axis) not in written_out:
            return f"it has no step written out for the {axis} {getattr(trial, axis)}"
    return ""


def make(trial: TrialConfig, training: "TrainingSplit", *, device: str = "cpu", products: str = "torch") -> "Loop":
    """Makes the loop of a trial on a device, "cpu" or "cuda", with a library of `sweep.pieces.PRODUCTS`."""
    from sweep.loops.stacked.loop import StackedLoop

    return StackedLoop(trial, training, device=device, products=products)


def unfit(device: str = "cpu", products: str = "torch") -> str:
    """Gives the reason why the stacked loop may not train on a device of this machine, "" if it may.

    With another library of products than torch's only on the CPU. Takes seconds where nothing is known yet, then no
    time.
    """
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        return f"it is for the CPU and for CUDA, not for {device}"
    if kind == "cuda" and (reason := cuda_reason()):
        return reason
    with _lock:
        return _found(device).get(products, f"there is no products={products} on {device}")


def cuda_reason() -> str:
    """Gives the reason why CUDA cannot be used as this process is set up, "" if it can."""
    import torch

    if not torch.cuda.is_available():
        return "torch finds no CUDA device here"
    products = torch.backends.cuda.matmul
    # The one name that shows what counts, whichever of torch's settings or environment variables it came from.
    before_2_9 = not hasattr(products, "fp32_precision")
    precision = ("tf32" if products.allow_tf32 else "ieee") if before_2_9 else products.fp32_precision
    if precision in ("none", "ieee"):
        return ""
    return f"matrix products on CUDA are set to {precision}, not to float32; unset torch's float32 matmul precision"


def kept_in(device: str, *questions: str) -> Path:
    """Gives the file that keeps what was found of a device: another one if anything else counts.

    Without questions it is `{"torch": "" or why not, ...}` for each library of products.

    Raises:
        RuntimeError: if there is no cache folder, because the user has no home.
    """
    package, torch_spec = Path(__file__).parents[2], importlib.util.find_spec("torch")
    assert torch_spec
    assert torch_spec.origin
    files = [package / "pieces.py", *sorted((package / "loops").rglob("*.py"))]
    files += [Path(torch_spec.origin).with_name("version.py")]
    # Other threads may change the environment meanwhile; its names are a copy.
    variables = sorted(f"{name}={os.environ.get(name)}" for name in os.environ if name.startswith(_VARIABLES))
    processor = [platform.platform(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor = sorted({line for line in lines if line.startswith(_PROCESSOR)})
    versions = [sys.version, importlib.metadata.version("numpy")]
    contents = [file.read_text(encoding="utf-8") for file in files]
    parts = [*versions, *processor, *variables, *contents, device, *questions]
    if device != "cpu":
        import torch

        driver = Path("/proc/driver/nvidia/version")
        parts += [torch.cuda.get_device_name(device), driver.read_text() if driver.exists() else ""]
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()
    return cache_folder() / f"stacked-{digest[:32]}.json"


@functools.cache
def _found(device: str) -> dict[str, str]:
    """The reason against each library of products on a device, "" for none."""
    return remembered(
        functools.partial(kept_in, device),
        functools.partial(_reasons, device=device),
        functools.partial(_ask, device),
    )


def remembered(
    file: Callable[[], Path], read: Callable[[Any], Answer], find: Callable[[], tuple[Answer, bool]]
) -> Answer:
    """Gives what a file of this machine's cache holds; else finds it, and keeps it there if it will last."""
    # Whatever is wrong with the cache folder, it can still be found.
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        return read(json.loads(file().read_bytes()))
    answer, lasting = find()
    if lasting:
        with contextlib.suppress(OSError, RuntimeError, StorageError):
            path = file()
            LocalStorage(path.parent).write(path.name, json.dumps(answer).encode())
    return answer


def _reasons(found: Mapping[str, Any], device: str) -> dict[str, str]:
    return {products: str(found[products]) for products in _libraries(device)}


def _libraries(device: str) -> list[str]:
    return [*PRODUCTS] if device == "cpu" else ["torch"]


def _ask(device: str) -> tuple[dict[str, str], bool]:
    """Gives what a child finds, and whether it will find the same another time."""

    def all_for(reason: str) -> tuple[dict[str, str], bool]:
        return dict.fromkeys(_libraries(device), reason), False

    try:
        # What torch leaves in the folder for temporary files goes with it.
        with tempfile.TemporaryDirectory(prefix="sweep-check-") as scratch:
            environment = {**os.environ, "TMPDIR": scratch}
            command = [sys.executable, "-c", _PROGRAM, device, *map(str, sys.path)]
            child = subprocess.run(command, timeout=_WITHIN_S, env=environment, **_TEXT_ONLY)
    except (OSError, subprocess.TimeoutExpired) as error:
        return all_for(f"its self-check on {device} cannot be made: {error}")
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
        return _reasons(answer["reasons"], device), answer["lasting"]
    except (ValueError, IndexError, KeyError, TypeError):
        ending = last_line(child.stderr) or f"exit code {child.returncode}"
        return all_for(f"its self-check on {device} ended with {ending}")


def main(device: str) -> None:
    """Prints what is found as JSON.

    `{"reasons": {library of products: "" or why not}, "lasting": whether it will be found again}`.
    """
    from sweep.loops.contract import prepare_torch
    from sweep.loops.stacked.products import numpy_library

    prepare_torch(1)
    reasons, lasting = {}, True
    for products in _libraries(device):
        try:
            known = products == "torch" or numpy_library()
            reasons[products] = disagreement(functools.partial(make, products=products), device) if known else _UNKNOWN
        except Exception as error:  # what fails here would fail in training
            reasons[products] = f"its self-check on {device} ended with {type(error).__name__}: {first_line(error)}"
            # So says a torch that lacks an operator or wants other arguments; anything else may be a matter of memory.
            lasting &= isinstance(error, AttributeError | NotImplementedError | TypeError)
    print(json.dumps({"reasons": reasons, "lasting": lasting}))


def disagreement(kind: Callable[..., Any], device: str) -> str:
    """Trains tiny models with a loop and with the reference loop, both on a device, and on a CPU one of them alone.

    Gives what is wrong.

    Every activation and every loss that has a step takes part, and with them every operator; with whole batches and a
    short last one.
    """
    import torch

    from sweep.loops.contract import TrainingSplit
    from sweep.loops.torch import ReferenceLoop

    def numbers(loop: "Loop") -> list[torch.Tensor]:
        losses = [loop.train_epoch(epoch).loss for epoch in (1, 2)]
        return [*losses, *loop.state().values(), loop.outputs(torch.linspace(-2, 2, 5 * 7).view(5, 7))]

    draw = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(23, 7, generator=draw), torch.randint(0, 4, (23,), generator=draw)
    training = TrainingSplit(inputs=inputs, targets=targets, num_classes=4)
    fields: dict[str, Any] = dict.fromkeys(("dataset", "dataset_sha256", "depth"), "") | {"learning_rate": 0.001}
    fields |= {"layers": (8, 5), "batch_size": 8, "epochs": 2, "seeds": (0, 1), "validation_size": 0}
    activations, losses = list(ACTIVATIONS), list(LOSSES)
    for turn in range(max(len(activations), len(losses))):
        activation, loss = activations[turn % len(activations)], losses[turn % len(losses)]
        trial = TrialConfig(**fields, activation=activation, loss=loss, engine="stacked")
        one, other = (numbers(each(trial, training, device=device)) for each in (ReferenceLoop, kind))
        differences = [(a - b).abs().max().double() for a, b in zip(one, other, strict=True)]
        if not (difference := float(torch.stack(differences).max())) <= _TOLERANCE:  # NaN if any is
            return (
                f"on {device} its numbers differ from the reference engine's by {difference:.0e} after six steps "
                f"({activation}, {loss}; allowed {_TOLERANCE:.0e})"
            )
        alone = numbers(kind(dataclasses.replace(trial, seeds=(1,)), training, device=device))
        if device == "cpu" and not all(torch.equal(a[-1:], b) for a, b in zip(other, alone, strict=True) if a.dim()):
            return f"the numbers of a replicate depend on those trained beside it ({activation}, {loss})"
    return ""
