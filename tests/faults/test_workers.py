"""Faults of workers, while the driver lives."""

import os
import signal
from pathlib import Path

import pytest
from harness import WORDS, Case, Numbers, check_promise


def test_worker_killed_while_writing_each_kind_of_file_is_retried(
    case: Case, cluster: str, truth: dict[str, Numbers]
) -> None:
    case.set_faults(
        {"kill_before_rename": "*-relu-cross_entropy-*/checkpoint-0005-*"},
        {"kill_before_rename": "*-relu-hinge-*/predictions.npz"},
        {"kill_before_rename": "*-tanh-hinge-*/done.json"},
    )
    run = case.sweep("run", *WORDS, address=cluster)
    assert run.process.returncode == 0, run.output
    assert run.output.count("retrying") == 3
    assert case.ledger.repeated == 1
    check_promise(case, truth)
