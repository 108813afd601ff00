"""Whether the stacked engine may train here: a check in a process of its own, once per machine and versions.

After an error on a CUDA device every later call of its process fails, so a child makes the check: the program in
`sweep.stacked.check`. What it finds is kept in the cache folder, where that can be written. Imports torch for a CUDA
device only, so that a driver's child starts while the driver itself imports torch.
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
from pathlib import Path

from sweep.datasets import cache_folder
from sweep.errors import StorageError, last_line
from sweep.storage import LocalStorage

# The child finds what this process finds, wherever either was started.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from sweep.stacked.check import main; main(sys.argv[1])"
_WITHIN_S = 300.0
# How the variables begin by which torch and its libraries choose how to compute.
_VARIABLES = ("ATEN_", "CUBLAS_", "DNNL_", "MKL_", "NVIDIA_TF32_", "ONEDNN_", "OPENBLAS_", "TORCH_ALLOW_TF32_")
# The files, beside those of the engine itself, whose numbers are compared.
_COMPARED_WITH = ("engine.py", "losses.py", "models.py")

_lock = threading.Lock()


def refusal(device: str = "cpu") -> str | None:
    """Gives the reason why the stacked engine may not train on a device, None if it may.

    Takes seconds where nothing is known yet, then no time.
    """
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        return f"it is for the CPU and for CUDA, not for {device}"
    if kind == "cuda":
        from sweep.stacked.check import cuda_reason

        if reason := cuda_reason():
            return reason
    with _lock:
        return _found(device)


def kept_in(device: str) -> Path:
    """Gives the file that keeps what was found: `{"reason": null or why not}`.

    Its name changes with everything that the answer depends on.

    Raises:
        RuntimeError: if there is no cache folder, because the user has no home.
    """
    digest = hashlib.sha256()
    for part in (_engine_source(), _torch_build(), sys.version, _processor(), _variables(), _device_name(device)):
        digest.update(hashlib.sha256(part.encode(errors="surrogateescape")).digest())
    return cache_folder() / f"stacked-{digest.hexdigest()[:32]}.json"


@functools.cache
def _found(device: str) -> str | None:
    # Whatever is wrong with the cache folder, the engine can still be checked.
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


def _engine_source() -> str:
    package = Path(__file__).parent
    files = [*sorted((package / "stacked").glob("*.py")), *(package / name for name in _COMPARED_WITH)]
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
