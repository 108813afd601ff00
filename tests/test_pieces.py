"""The tables of what a sweep file may name: every path leads somewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from sweep.pieces import ACTIVATIONS, LOOPS, LOSSES, load


@pytest.mark.parametrize("path", [*ACTIVATIONS.values(), *LOSSES.values()])
def test_a_piece_can_be_imported(path: str) -> None:
    assert load(path).__name__ == path.rpartition(".")[2]


@pytest.mark.parametrize("path", LOOPS.values())
def test_a_loop_is_a_module_that_says_what_it_refuses(path: str) -> None:
    assert all(callable(getattr(load(path), name)) for name in ("refuses", "unfit", "make"))


def test_a_path_that_leads_nowhere_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"sweep\.errors\.Nothing"):
        load("sweep.errors.Nothing")


def test_a_driver_chooses_loops_for_its_workers_without_torch() -> None:
    code = (
        "import sys; from sweep.config import load_sweep; from sweep.plan import Worker; "
        "trials = load_sweep('mnist').trials(dataset_sha256=''); "
        "print({Worker(fingerprint={}).assign('auto', trial).engine for trial in trials}, 'torch' in sys.modules)"
    )
    root = Path(__file__).parent.parent
    answer = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout == "{'stacked'} False\n"
