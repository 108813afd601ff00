"""What a report is made of, before it is HTML or Markdown: sections of paragraphs, tables and pictures.

Texts may have the marks of `sweep.tables` (`bold`, `code`, `link`), and are escaped by whoever shows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from sweep.figures import Picture


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

    def tables(self) -> list[Table]:
        """Every table, in order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Table)]

    def pictures(self) -> list[Picture]:
        """Every picture, in order."""
        return [block.picture for section in self.sections for block in section.blocks if isinstance(block, Drawing)]


def section(name: str, title: str, blocks: Sequence[Block | None]) -> Section:
    """Makes a section of what there is to show."""
    return Section(name=name, title=title, blocks=tuple(block for block in blocks if block is not None))


def note(text: str) -> Paragraph | None:
    """Makes a note of a text, None of an empty one."""
    return Paragraph(text=text, kind="note") if text else None
