"""Runs the command as a user would, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def run_command(
    *words: str, cwd: Path, timeout_s: float = 240, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `sweep WORDS` as a user would, in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
    return subprocess.run(
        [sys.executable, "-m", "sweep", *words],
        cwd=cwd,
        env={**environment, "COLUMNS": "200", **(variables or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
