"""What a run is asked to do, and the command that goes on with it."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.records import Experiment
from sweep.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What `sweep confirm` asks for; None leaves it to the experiment.

    Attributes:
        count: Number of finalists.
        num_seeds: Number of fresh seeds.
    """

    count: int | None = None
    num_seeds: int | None = None


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a run is to do, and where.

    Attributes:
        storage: The storage path.
        name: Of the experiment.
        command: The command line, for manifest and report.
        address: Of the user's Ray cluster, None for a private one.
        data_dir: Folder of the data set, None for the cache.
        out: Folder that the user wants the report in, None for the usual one.
        extend: Whether a larger sweep may add trials to an existing experiment.
        only_failed: Whether only failed trials are run.
        confirm: What to train finalists with fresh seeds for, None if that is not asked for.
    """

    storage: Storage
    name: str
    command: str
    address: str | None = None
    data_dir: str | None = None
    out: str | None = None
    extend: bool = False
    only_failed: bool = False
    confirm: Confirmation | None = None

    @property
    def experiment(self) -> Experiment:
        """The experiment's files."""
        return Experiment(self.storage.folder(self.name))


def resume_command(launch: Launch) -> str:
    """Gives the exact command that goes on with an experiment."""
    words = ["sweep", "resume", launch.name]
    for option, value in (
        ("--storage", str(launch.storage)),
        ("--address", launch.address),
        ("--data-dir", launch.data_dir),
        ("--out", launch.out),
    ):
        if value and value != str(Path("experiments").absolute()):
            words += [option, value]
    return command_line(words)


def command_line(words: Sequence[str]) -> str:
    """Gives words as a shell takes them; one that is not UTF-8, as a path may be, byte by byte, so that all is text."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError:
        return "$'" + "".join(f"\\{byte:03o}" for byte in os.fsencode(word)) + "'"
    return shlex.quote(word)
