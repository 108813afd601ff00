"""Texts with words that stand out, and tables of them as CSV for machines, LaTeX for papers, Markdown for GitHub.

Who writes a text marks its words, who shows it takes the marks off. A mark is a control character, and a text that
comes from an experiment has none (`sweep.records` replaces them): so no name is taken for a mark however it is spelt,
and whoever shows a text escapes every span of it alike.
"""

import math
import re
from typing import Any, NamedTuple

import pandas as pd

_KINDS = {"\x01": "bold", "\x02": "code", "\x03": "link"}
_SPAN = re.compile("([\x01-\x03])([^\x04\x05]*)(?:\x05([^\x04]*))?\x04")
_LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {sign: f"{{{sign}}}" for sign in "[*"}  # the line before ends in \\, which takes them for its arguments
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "×": r"$\times$", "±": r"$\pm$"}
    | {"–": "--", "—": "---", "−": "$-$"}
)
# What GitHub's Markdown would read in a text: its own signs, tags, entities, headings, and addresses as links.
_MARKDOWN = re.compile(
    r"[\\`*\[\]|~$]|<(?=[A-Za-z/!?])|&(?=#|\w+;)|(?<![^\W_])_|_(?![^\W_])|(?<!\S)#|(?<=\w):(?=//)|(?<=[wW]{3})\."
)
# What a spreadsheet would compute.
_FORMULA = re.compile(r"[=@]|[+-](?![\d.,]+$)")


class Span(NamedTuple):
    """A part of a text; `kind` is "bold", "code", "link" or "", `target` the address of a link."""

    text: str
    kind: str = ""
    target: str = ""


def bold(text: str) -> str:
    """Marks a text as important."""
    return f"\x01{text}\x04"


def code(text: str) -> str:
    """Marks a text as one to type, or the name of a file."""
    return f"\x02{text}\x04"


def link(text: str, target: str) -> str:
    """Marks a text as a link to a file of the same report."""
    return f"\x03{text}\x05{target}\x04"


def spans(text: str) -> list[Span]:
    """The parts of a text in order, without the marks."""
    parts = _SPAN.split(text)  # a text, then mark, marked text, target and the text after it, again and again
    found = [Span(parts[0])]
    for mark, marked, target, after in zip(*(parts[place::4] for place in (1, 2, 3, 4)), strict=True):
        found += [Span(marked, _KINDS[mark], target or ""), Span(after)]
    return [span for span in found if span.text]


def plain(text: str) -> str:
    """A text without its marks."""
    return "".join(span.text for span in spans(text))


def csv(table: pd.DataFrame) -> str:
    """A table as CSV; a missing value is empty, floats keep every bit.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    inert = table.set_axis([_inert(column) for column in table.columns], axis="columns")
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            inert.isetitem(place, [_inert(cell) for cell in table.iloc[:, place]])
    return str(inert.to_csv(index=False, lineterminator="\n"))


def booktabs(table: pd.DataFrame, *, caption: str) -> str:
    """A table of strings as LaTeX that needs the package `booktabs`; numbers are aligned right."""
    columns = "".join("r" if numeric else "l" for numeric in numeric_columns(table))
    cells: list[Any] = [table.columns, *table.itertuples(index=False)]
    head, *rows = (" & ".join(latex(str(cell)) for cell in row) + r" \\" for row in cells)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex(caption)}}}", rf"\begin{{tabular}}{{{columns}}}"]
    lines += [r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def markdown(table: pd.DataFrame) -> str:
    """A table of strings as a GitHub table; numbers are aligned right."""
    from tabulate import tabulate

    align = ["right" if numeric else "left" for numeric in numeric_columns(table)]
    cells: list[Any] = [table.columns, *table.itertuples(index=False)]
    head, *rows = ([marked_down(str(cell)) for cell in row] for row in cells)
    if not rows:
        return "(no rows)"
    return tabulate(rows, headers=head, tablefmt="pipe", colalign=align, disable_numparse=True)


def numeric_columns(table: pd.DataFrame) -> list[bool]:
    """For each column of strings whether all begin like a number, or say that there is none."""
    columns = (table.iloc[:, place] for place in range(table.shape[1]))
    return [len(table) > 0 and all(_is_number(plain(str(cell))) for cell in column) for column in columns]


def latex(text: str) -> str:
    """A text as LaTeX, with its special characters escaped."""
    commands = {"bold": r"\textbf{%s}", "code": r"\texttt{%s}"}
    return "".join(commands.get(span.kind, "%s") % span.text.translate(_LATEX) for span in spans(text))


def marked_down(text: str) -> str:
    """A text as Markdown, in which nothing but its marks stands out or leads anywhere."""
    parts = []
    for span in spans(text):
        escaped = _MARKDOWN.sub(r"\\\g<0>", span.text)
        if span.kind == "code":
            ticks = fence(span.text, 1)
            space = " " if span.text.startswith("`") or span.text.endswith("`") else ""
            parts.append(f"{ticks}{space}{span.text}{space}{ticks}".replace("|", r"\|"))
        elif span.kind == "link":
            parts.append(f"[{escaped}]({span.target})")
        else:
            parts.append(f"**{escaped}**" if span.kind == "bold" else escaped)
    return "".join(parts)


def fence(text: str, shortest: int) -> str:
    """The backticks between which a text can stand whatever backticks it has."""
    return "`" * max(shortest, *(len(run) + 1 for run in re.findall("`+", text)), 0)


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    text = plain(cell)
    return f"'{text}" if _FORMULA.match(text) else text


def _is_number(text: str) -> bool:
    if text in ("", "–", "nan"):
        return True
    try:
        return not math.isnan(float(text.split()[0].replace("−", "-").replace(",", "").lstrip("<") or 0))
    except (ValueError, IndexError):
        return False
