"""The report: from the state of an experiment to one self-contained page, a README with pictures, and tables.

    state ─► analysis (findings, claims) ─► verdict and sections ─► document ─► HTML, Markdown, CSV, LaTeX

`analysis` computes what several parts need, each section what only it shows. To add a section write a function from
`Analysis` to `Section` and name it in `SECTIONS` of `writing.py`. Imports neither torch nor ray.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.report.files import choose_folder

if TYPE_CHECKING:
    from sweep.records import State


def write_report(states: "Sequence[State]", out: Path) -> Path:
    """Writes the report of one experiment, or of several side by side, and gives the page to open.

    `out` is new, empty or of an older report, of which nothing stays. Of several experiments it has the comparison, and
    each has its own whole report in a folder of its name below `out`.

    Raises:
        ConfigError: if `out` holds anything but an older report.
        StorageError: if `out` cannot be written.
    """
    from sweep.report.writing import write

    return write(states, out)


__all__ = ["choose_folder", "write_report"]
