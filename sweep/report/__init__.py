"""The report: from an experiment's folder to one self-contained page, a README with pictures, and tables.

    images ─┐
            ├─► analysis ─► verdict ─┐
    tables ─┘       └─► scores, confusions, checks, provenance ─► document ─► page (HTML), readme (Markdown)

`analysis` computes every number once; all others only read it. Imports neither torch nor ray.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.report.files import choose_folder

if TYPE_CHECKING:
    from sweep.records import State


def write_report(states: "Sequence[State]", out: Path) -> Path:
    """Writes the report of one experiment, or of several side by side, and gives the page to open.

    Writes `report.html`, `README.md`, `figures/`, `tables/`, `results.csv`, `history.csv` and `SHA256SUMS` (their
    list) into `out`, which is new, empty or of an older report, and removes what only that one had. Of several
    experiments these are the comparison, and each has its own whole report in a folder of its name below `out`.

    Raises:
        ConfigError: if `out` holds anything but an older report.
        StorageError: if `out` cannot be written.
    """
    from sweep.report.writing import write

    return write(states, out)


__all__ = ["choose_folder", "write_report"]
