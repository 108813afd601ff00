"""Tables as files: CSV, LaTeX and Markdown, and the marks of what stands out in a text."""

from sweep.tables.files import booktabs, csv, fence, latex, markdown, marked_down, numeric_columns
from sweep.tables.marks import bold, code, link, plain, spans

__all__ = [
    "bold",
    "booktabs",
    "code",
    "csv",
    "fence",
    "latex",
    "link",
    "markdown",
    "marked_down",
    "numeric_columns",
    "plain",
    "spans",
]
