"""Simulates experiments whose truth is known, and counts how often the product's own analysis claims what is false.

    python scripts/simulate.py --csv rates.csv --jobs 2            the whole table of reports/simulation
    python scripts/simulate.py --csv some.csv --case "equal"       the cases whose names begin so
    python scripts/simulate.py --csv one.csv --case "third twice" --configurations 40 --seeds 4 --experiments 200
    python scripts/simulate.py --csv rates.csv --page reports/simulation/README.md

The last one simulates nothing: it writes the tables of the page from the CSV. What is drawn depends on the case and its
size alone, so a rerun gives the same numbers. What is simulated: `simulation/cases.py`; what is counted as false:
`simulation/truth.py`.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from simulation.cases import Cell, cells
from simulation.page import fill
from simulation.rates import Rate, measure, read, write


def simulate(chosen: list[Cell], jobs: int) -> list[Rate]:
    """Simulates cells in several processes, the longest first; rates in the order of the cells."""
    # Small matrices: more threads than processes are only in each other's way.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    longest = sorted(chosen, key=lambda cell: -cell.configurations * cell.experiments * max(len(cell.case.looks), 1))
    begun = time.monotonic()
    found: dict[str, list[Rate]] = {}
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for cell, rates in zip(longest, pool.map(measure, longest), strict=True):
            found[cell.name] = rates
            print(f"{time.monotonic() - begun:6.0f} s  {len(found)} of {len(chosen)}: {cell.name}", file=sys.stderr)
    return [rate for cell in chosen for rate in found[cell.name]]


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, required=True, help="the table of rates")
    parser.add_argument("--page", type=Path, help="write the tables of this page from the CSV, and simulate nothing")
    parser.add_argument("--case", default="", metavar="NAME", help="beginning of the names of cases")
    parser.add_argument("--configurations", type=int, metavar="K")
    parser.add_argument("--seeds", type=int, metavar="S", help="with K: also a size that is not in the table")
    parser.add_argument("--experiments", type=int, metavar="N", help="of each cell; by default 1,000, large ones 300")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args()
    if given.page:
        given.page.write_text(fill(given.page.read_text(), read(given.csv)))
        return
    try:
        chosen = cells(given.case, given.configurations, given.seeds, given.experiments)
    except ValueError as error:
        parser.error(str(error))
    write(simulate(chosen, given.jobs), given.csv)


if __name__ == "__main__":
    main()
