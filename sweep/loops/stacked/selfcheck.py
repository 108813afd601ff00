"""Whether the stacked loop may train here: a check in a process of its own, once per machine and versions.

Its numbers are compared with those of the reference loop, in a few steps of tiny models. After an error on a CUDA
device every later call of its process fails, so a child makes the check: `main`. What it finds is kept in the cache
folder, where that can be written. Imports torch for a CUDA device and in the child only, so that a driver's child
starts while the driver itself imports torch.
"""

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config import TrialConfig
from sweep.datasets import cache_folder
from sweep.errors import StorageError, first_line, last_line
from sweep.storage import LocalStorage

if TYPE_CHECKING:
    from sweep.loops.contract import Loop

# The child finds what this process finds, wherever either was started.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from sweep.loops.stacked.selfcheck import main; main(sys.argv[1])"
_WITHIN_S = 300.0
# How the variables begin by which torch and its libraries choose how to compute.
_VARIABLES = ("ATEN_", "CUBLAS_", "DNNL_", "MKL_", "NVIDIA_TF32_", "ONEDNN_", "OPENBLAS_", "TORCH_ALLOW_TF32_")
# Of losses, outputs, parameters and moments after six steps, all of order 1 or less. Rounding gives some 1e-8; a step
# of Adam is 1e-3.
_TOLERANCE = 1e-5

_lock = threading.Lock()


def unfit(device: str = "cpu") -> str:
    """Gives the reason why the stacked loop may not train on a device of this machine, "" if it may.

    Takes seconds where nothing is known yet, then no time.
    """
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        return f"it is for the CPU and for CUDA, not for {device}"
    if kind == "cuda" and (reason := cuda_reason()):
        return reason
    with _lock:
        return _found(device) or ""


def cuda_reason() -> str:
    """Gives the reason why CUDA cannot be used as this process is set up, "" if it can."""
    import torch

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
    return ""


def kept_in(device: str) -> Path:
    """Gives the file that keeps what was found: `{"reason": null or why not}`.

    Its name changes with everything that the answer depends on.

    Raises:
        RuntimeError: if there is no cache folder, because the user has no home.
    """
    digest = hashlib.sha256()
    for part in (_loops_source(), _torch_build(), sys.version, _processor(), _variables(), _device_name(device)):
        digest.update(hashlib.sha256(part.encode(errors="surrogateescape")).digest())
    return cache_folder() / f"stacked-{digest.hexdigest()[:32]}.json"


@functools.cache
def _found(device: str) -> str | None:
    # Whatever is wrong with the cache folder, the loop can still be checked.
    with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError, TypeError):
        kept: str | None = json.loads(kept_in(device).read_bytes())["reason"]
        return kept
    reason, lasting = _ask(device)
    if lasting:
        with contextlib.suppress(OSError, RuntimeError, StorageError):
            file = kept_in(device)
            LocalStorage(file.parent).write(file.name, json.dumps({"reason": reason}).encode())
    return reason


def _ask(device: str) -> tuple[str | None, bool]:
    """Gives what a child finds, and whether it will find the same another time."""
    try:
        # What torch leaves in the folder for temporary files goes with it.
        with tempfile.TemporaryDirectory(prefix="sweep-check-") as scratch:
            child = subprocess.run(
                [sys.executable, "-c", _PROGRAM, device, *map(str, sys.path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_WITHIN_S,
                env={**os.environ, "TMPDIR": scratch},
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"its self-check on {device} cannot be made: {error}", False
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
        return answer["reason"], answer["lasting"]
    except (ValueError, IndexError, KeyError, TypeError):
        ending = last_line(child.stderr) or f"exit code {child.returncode}"
        return f"its self-check on {device} ended with {ending}", False


# ---- what the answer depends on


def _loops_source() -> str:
    package = Path(__file__).parents[2]
    files = [package / "pieces.py", *sorted((package / "loops").rglob("*.py"))]
    return "".join(file.read_text(encoding="utf-8") for file in files)


def _torch_build() -> str:
    spec = importlib.util.find_spec("torch")
    assert spec
    assert spec.origin
    return Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.platform() + platform.processor()
    kinds = ("vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))


def _variables() -> str:
    # Other threads may change the environment meanwhile; its names are a copy.
    return "\n".join(sorted(f"{name}={os.environ.get(name)}" for name in os.environ if name.startswith(_VARIABLES)))


def _device_name(device: str) -> str:
    if device == "cpu":
        return device
    import torch

    driver = Path("/proc/driver/nvidia/version")
    return f"{device} {torch.cuda.get_device_name(device)} {driver.read_text() if driver.exists() else ''}"


# ---- the child


def main(device: str) -> None:
    """Prints what is found as JSON: `{"reason": null or why not, "lasting": whether it will be found again}`."""
    from sweep.loops import stacked
    from sweep.trial import prepare_torch

    prepare_torch(1)
    lasting = True
    try:
        reason = disagreement(stacked.make, device)
    except Exception as error:  # what fails here would fail in training
        reason = f"its self-check on {device} ended with {type(error).__name__}: {first_line(error)}"
        # So says a torch that lacks an operator or wants other arguments; anything else may be a matter of memory.
        lasting = isinstance(error, AttributeError | NotImplementedError | TypeError)
    print(json.dumps({"reason": reason, "lasting": lasting}))


def disagreement(make: "Callable[..., Loop]", device: str) -> str | None:
    """Trains tiny models with a loop and with the reference loop, both on a device; gives what is wrong.

    Every activation and every loss that the stacked loop has a step for takes part, and with them every operator; with
    whole batches and a short last one.
    """
    import torch

    from sweep.loops import stacked
    from sweep.loops.contract import TrainingSplit
    from sweep.loops.torch import ReferenceLoop

    draw = torch.Generator().manual_seed(0)
    training = TrainingSplit(
        inputs=torch.randn(23, 7, generator=draw), targets=torch.randint(0, 4, (23,), generator=draw), num_classes=4
    )
    activations, losses = list(stacked.ACTIVATIONS), list(stacked.LOSSES)
    for index in range(max(len(activations), len(losses))):
        activation, loss = activations[index % len(activations)], losses[index % len(losses)]
        trial = _tiny_trial(activation, loss)
        difference = _largest_difference(*(kind(trial, training, device=device) for kind in (ReferenceLoop, make)))
        if not difference <= _TOLERANCE:
            return (
                f"on {device} its numbers differ from the reference engine's by {difference:.0e} after six steps "
                f"({activation}, {loss}; allowed {_TOLERANCE:.0e})"
            )
    return None


def _largest_difference(one: "Loop", other: "Loop") -> float:
    import torch

    differences = []
    for epoch in (1, 2):
        scores = one.train_epoch(epoch), other.train_epoch(epoch)
        differences.append((scores[0].loss - scores[1].loss).abs().max())
    states = one.state(), other.state()
    differences += [(states[0][name] - states[1][name]).abs().max().double() for name in states[0]]
    inputs = torch.linspace(-2, 2, 5 * 7).view(5, 7)
    differences.append((one.outputs(inputs) - other.outputs(inputs)).abs().max().double())
    return float(torch.stack(differences).max())  # NaN if any is


def _tiny_trial(activation: str, loss: str) -> TrialConfig:
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
