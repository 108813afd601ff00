"""Tables as files: CSV for machines, booktabs LaTeX for papers, Markdown for GitHub.

Cells may have the marks of `marks`.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from sweep.tables.marks import plain, spans

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
        "[": "{[}",  # the line before ends in \\, which takes what is in brackets for its argument
        "*": "{*}",
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
# What GitHub's Markdown would read in a text: its own signs, tags, entities, headings, and addresses as links.
_MARKDOWN = re.compile(
    r"[\\`*\[\]|~$]|<(?=[A-Za-z/!?])|&(?=#|\w+;)|(?<![^\W_])_|_(?![^\W_])|(?<!\S)#|(?<=\w):(?=//)|(?<=[wW]{3})\."
)
# What a spreadsheet would compute.
_FORMULA = re.compile(r"[=@]|[+-](?![\d.,]+$)")


def csv(table: pd.DataFrame) -> str:
    """Gives a table as CSV; a missing value is empty, floats keep every bit.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    inert = table.set_axis([_inert(column) for column in table.columns], axis="columns")
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            inert.isetitem(place, [_inert(cell) for cell in table.iloc[:, place]])
    return str(inert.to_csv(index=False, lineterminator="\n"))


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
    cells = [[marked_down(str(value)) for value in row] for row in table.itertuples(index=False)]
    if not cells:
        return "(no rows)"
    headers = [marked_down(str(column)) for column in table.columns]
    return tabulate(cells, headers=headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def numeric_columns(table: pd.DataFrame) -> list[bool]:
    """Gives for each column of strings whether all begin like a number, or say that there is none."""
    columns = [[plain(str(value)) for value in table.iloc[:, place]] for place in range(table.shape[1])]
    return [
        bool(texts) and all(text in ("", "–", "nan") or _starts_with_number(text) for text in texts)
        for texts in columns
    ]


def latex(text: str) -> str:
    """Gives a text as LaTeX, with its special characters escaped."""
    commands = {"bold": r"\textbf{%s}", "code": r"\texttt{%s}"}
    return "".join(commands.get(span.kind, "%s") % span.text.translate(_LATEX) for span in spans(text))


def marked_down(text: str) -> str:
    """Gives a text as Markdown, in which nothing but its marks stands out or leads anywhere."""
    parts = []
    for span in spans(text):
        escaped = _MARKDOWN.sub(r"\\\g<0>", span.text)
        if span.kind == "code":
            parts.append(_fenced(span.text))
        elif span.kind == "link":
            parts.append(f"[{escaped}]({span.target})")
        else:
            parts.append(f"**{escaped}**" if span.kind == "bold" else escaped)
    return "".join(parts)


def fence(text: str, shortest: int) -> str:
    """Gives the backticks between which a text can stand whatever backticks it has."""
    return "`" * max(shortest, *(len(run) + 1 for run in re.findall("`+", text)), 0)


def _fenced(text: str) -> str:
    ticks = fence(text, 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{space}{text}{space}{ticks}".replace("|", r"\|")


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    text = plain(cell)
    return f"'{text}" if _FORMULA.match(text) else text


def _latex_row(cells: Sequence[Any]) -> str:
    return " & ".join(latex(str(cell)) for cell in cells) + r" \\"


def _starts_with_number(text: str) -> bool:
    try:
        return not math.isnan(float(text.split()[0].replace("−", "-").replace(",", "").lstrip("<") or 0))
    except (ValueError, IndexError):
        return False
