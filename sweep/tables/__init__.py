"""Records as tables: what can be compared, data frames of it, and their files.

`points` groups trials by grid point and finds twins; `frames` makes the data frames; `files` writes them as CSV,
LaTeX and Markdown. Imports neither torch nor ray.
"""

from sweep.tables.files import booktabs, csv, latex, markdown, numeric_columns
from sweep.tables.frames import history_table, results_table, summary_table
from sweep.tables.points import Configuration, Grid, GridPoint, Replicate, level_name, read_grid

__all__ = [
    "Configuration",
    "Grid",
    "GridPoint",
    "Replicate",
    "booktabs",
    "csv",
    "history_table",
    "latex",
    "level_name",
    "markdown",
    "numeric_columns",
    "read_grid",
    "results_table",
    "summary_table",
]
