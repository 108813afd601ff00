"""Tables as files: CSV for machines, booktabs LaTeX for papers, Markdown for GitHub.

A cell that is `**bold**` as a whole stands out in Markdown and LaTeX.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "–": "--",
        "—": "---",
        "−": "$-$",
        "×": r"$\times$",
        "±": r"$\pm$",
    }
)
_BOLD = re.compile(r"\*\*(.+)\*\*")


def csv(table: pd.DataFrame) -> str:
    """Gives a table as CSV; a missing value is empty, floats keep every bit."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def booktabs(table: pd.DataFrame, *, caption: str) -> str:
    """Gives a table of strings as LaTeX that needs the package `booktabs`; numbers are aligned right."""
    right = numeric_columns(table)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(caption)}}}",
        rf"\begin{{tabular}}{{{''.join('r' if numeric else 'l' for numeric in right)}}}",
        r"\toprule",
        _latex_row(list(table.columns)),
        r"\midrule",
        *(_latex_row(list(row)) for row in table.itertuples(index=False)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def markdown(table: pd.DataFrame) -> str:
    """Gives a table of strings as a GitHub table; numbers are aligned right."""
    from tabulate import tabulate

    align = ["right" if numeric else "left" for numeric in numeric_columns(table)]
    cells = [[str(value).replace("|", r"\|") for value in row] for row in table.itertuples(index=False)]
    if not cells:
        return "(no rows)"
    return tabulate(cells, headers=list(table.columns), tablefmt="pipe", colalign=align, disable_numparse=True)


def numeric_columns(table: pd.DataFrame) -> list[bool]:
    """Gives for each column of strings whether all begin like a number, or say that there is none."""
    columns = [[str(value) for value in table.iloc[:, place]] for place in range(table.shape[1])]
    return [
        bool(texts) and all(text in ("", "–", "nan") or _starts_with_number(text) for text in texts)
        for texts in columns
    ]


def latex(text: str) -> str:
    """Gives a text with LaTeX's special characters escaped."""
    return text.translate(_LATEX)


def _latex_row(cells: Sequence[Any]) -> str:
    return " & ".join(_latex_cell(str(cell)) for cell in cells) + r" \\"


def _latex_cell(text: str) -> str:
    bold = _BOLD.fullmatch(text)
    return rf"\textbf{{{latex(bold[1])}}}" if bold else latex(text)


def _starts_with_number(text: str) -> bool:
    try:
        return not math.isnan(float(text.strip("*").split()[0].replace("−", "-").replace(",", "").lstrip("<") or 0))
    except (ValueError, IndexError):
        return False
