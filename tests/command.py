"""Runs the command as a user would, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# In the environment of every sweep that tests run; nothing may write one down.
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret",
    "WANDB_API_KEY": "planted-wandb-key",
    "RAY_AUTH_TOKEN": "planted-ray-token",
    "DATABASE_OPTIONS": "--user=me --password=planted-password",
}


def run_command(
    *words: str, cwd: Path, timeout_s: float = 240, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `sweep WORDS` as a user would, in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
    return subprocess.run(
        [sys.executable, "-m", "sweep", *words],
        cwd=cwd,
        env={**environment, **SECRETS, "COLUMNS": "200", **(variables or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
