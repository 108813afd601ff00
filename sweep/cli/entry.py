"""Runs the command and ends the process with its exit code."""

import gc
import os
import sys
from typing import NoReturn

from sweep.cli.streams import lost_output, prepare_streams
from sweep.cli.verbs import app
from sweep.errors import SweepError


def main() -> NoReturn:
    """Runs the command and ends the process."""
    # Nearly all that large libraries make as they are imported lives to the end: looking through it again and again
    # for garbage takes a report a fifth of its time.
    gc.set_threshold(10_000)
    prepare_streams()
    try:
        execute()
    except SystemExit as ending:
        if not isinstance(ending.code, int):
            raise
        exit_code = ending.code
    if problem := lost_output():
        print(f"error: standard output cannot be written: {problem}", file=sys.stderr)
        exit_code = exit_code or 1
    sys.stderr.flush()
    # Everything is closed and written; what Python would do yet takes it a second after torch and Ray.
    os._exit(exit_code)


def execute() -> NoReturn:
    """Runs the command and exits with its code; a user's mistake prints one line and no traceback."""
    try:
        app(standalone_mode=True)
    except SweepError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
