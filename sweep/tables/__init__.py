"""Tables as files: CSV, LaTeX and Markdown, and the marks of what stands out in a text."""

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
