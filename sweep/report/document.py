"""What a report is made of, and how that becomes one HTML page that needs nothing else, or Markdown for GitHub.

Texts may have the marks of `sweep.report.text` (`bold`, `code`, `link`), and are escaped by whoever shows them.
"""

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sweep.figures.drawing import Picture
from sweep.metrics import NONE
from sweep.report.text import fence, markdown, marked_down, numeric_columns, plain, spans

_MARKS = {"text": "", "verdict": "", "point": "- ", "note": "> ", "warning": "> **Note:** "}
# A short table costs no scrolling, and people search a README for its numbers.
_MOST_UNFOLDED = 12


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A text; `kind` is "text", "verdict", "point" of a list, "note" (a limit, an assumption), "warning" or "code"."""

    text: str
    kind: str = "text"


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table of strings.

    Attributes:
        name: Of its files.
        title: What it shows.
        shown: Strings, as a reader sees them.
        exact: The same in numbers for the CSV file; `shown` if None.
        searchable: Whether the page offers to sort and filter it.
        folded: Whether the page shows it only on demand.
        narrow: Whether another table fits beside it.
        marked: Rows that stand out.
    """

    name: str
    title: str
    shown: pd.DataFrame
    exact: pd.DataFrame | None = None
    searchable: bool = False
    folded: bool = False
    narrow: bool = False
    marked: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture with its caption."""

    picture: Picture
    caption: str


Block = Paragraph | Table | Drawing
# What a section can be made of: a text is a paragraph, and what is empty is left out.
Content = Block | str | None


@dataclass(frozen=True, kw_only=True)
class Section:
    """A numbered part of a report; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report: a title, a line below it, and sections."""

    title: str
    subtitle: str
    banner: str
    sections: tuple[Section, ...]

    @property
    def blocks(self) -> list[Block]:
        """Every block, in order."""
        return [block for section in self.sections for block in section.blocks]


def section(name: str, title: str, contents: Iterable[Content]) -> Section:
    """Makes a section of what there is to show."""
    blocks = [Paragraph(text=one) if isinstance(one, str) else one for one in contents if one]
    return Section(name=name, title=title, blocks=tuple(blocks))


def table(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, str]],
    exact: Sequence[Mapping[str, Any]] | None = None,
    **options: Any,
) -> Table:
    """Makes a table of its rows, and of the same in numbers for the CSV file; `options` are the other attributes."""
    numbers = None if exact is None else pd.DataFrame(exact)
    return Table(name=name, title=title, shown=pd.DataFrame(rows).fillna(NONE), exact=numbers, **options)


def note(text: str) -> Paragraph | None:
    """Makes a note of a text, None of an empty one."""
    return Paragraph(text=text, kind="note") if text else None


def warning(text: str) -> Paragraph | None:
    """Makes a warning of a text, None of an empty one."""
    return Paragraph(text=text, kind="warning") if text else None


def page(document: Document) -> str:
    """Gives the HTML text of a document; the template escapes whatever comes from it."""
    text: str = _template().render(document=document, numeric_columns=numeric_columns, spans=spans)
    return text


def readme(document: Document) -> str:
    """Gives the Markdown text of a document; pictures are at `figures/<name>.svg`."""
    parts = [f"**{marked_down(document.banner)}**"] if document.banner else []
    parts += [f"# {marked_down(document.title)}", marked_down(document.subtitle)]
    for number, section in enumerate(document.sections, start=1):
        parts += [f"## {number}. {section.title}", *map(_markdown, section.blocks)]
    return "\n\n".join(filter(None, parts)) + "\n"


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    folder = resources.files("sweep") / "templates"
    css, script = ((folder / file).read_text(encoding="utf-8") for file in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {"css": Markup(css), "script": Markup(script), "script_hash": f"sha256-{digest}"}
    return environment.from_string((folder / "report.html").read_text(encoding="utf-8"))


def _markdown(block: Block) -> str:
    if isinstance(block, Drawing):
        title, caption = marked_down(block.picture.title), marked_down(plain(block.caption))
        return f"![{title}](figures/{block.picture.name}.svg)\n\n*{caption}*"
    if isinstance(block, Table):
        text = markdown(block.shown)
        if block.folded and len(block.shown) > _MOST_UNFOLDED:
            return f"<details><summary>{html.escape(block.title)}</summary>\n\n{text}\n\n</details>"
        return f"**{marked_down(block.title)}**\n\n{text}"
    if block.kind == "code":
        ticks = fence(block.text, 3)
        return f"{ticks}toml\n{block.text}\n{ticks}"
    return _MARKS[block.kind] + marked_down(block.text)
