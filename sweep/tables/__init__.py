"""Records as tables: what can be compared, data frames of it, and their files.

`points` groups trials by grid point and finds twins; `frames` makes the data frames; `text` writes them as CSV,
LaTeX and Markdown, and says what stands out in a text. Imports neither torch nor ray.
"""

from sweep.tables.frames import history_table, results_table, summary_table
from sweep.tables.points import Configuration, Diverged, Grid, GridPoint, Replicate, make_grid, read_grid
from sweep.tables.text import (
    bold,
    booktabs,
    code,
    csv,
    fence,
    latex,
    link,
    markdown,
    marked_down,
    numeric_columns,
    plain,
    spans,
)

__all__ = [
    "Configuration",
    "Diverged",
    "Grid",
    "GridPoint",
    "Replicate",
    "bold",
    "booktabs",
    "code",
    "csv",
    "fence",
    "history_table",
    "latex",
    "link",
    "make_grid",
    "markdown",
    "marked_down",
    "numeric_columns",
    "plain",
    "read_grid",
    "results_table",
    "spans",
    "summary_table",
]
