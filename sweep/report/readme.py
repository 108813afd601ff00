"""A document as Markdown for GitHub, with its pictures as files beside it."""

import html

from sweep.report.document import Block, Document, Drawing, Paragraph, Table
from sweep.tables import fence, markdown, marked_down, plain

_MARKS = {"text": "", "verdict": "", "point": "- ", "note": "> ", "warning": "> **Note:** "}
# A short table costs no scrolling, and people search a README for its numbers.
_MOST_UNFOLDED = 12


def readme(document: Document) -> str:
    """Gives the Markdown text of a document; pictures are at `figures/<name>.svg`."""
    parts = [f"# {marked_down(document.title)}", marked_down(document.subtitle)]
    if document.banner:
        parts.insert(0, f"**{marked_down(document.banner)}**")
    for number, section in enumerate(document.sections, start=1):
        parts.append(f"## {number}. {section.title}")
        parts += [_block(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        if block.kind == "code":
            ticks = fence(block.text, 3)
            return f"{ticks}toml\n{block.text}\n{ticks}"
        return _MARKS[block.kind] + marked_down(block.text)
    if isinstance(block, Drawing):
        picture = block.picture
        title, caption = marked_down(picture.title), marked_down(plain(block.caption))
        return f"![{title}](figures/{picture.name}.svg)\n\n*{caption}*"
    return _table(block)


def _table(table: Table) -> str:
    text = markdown(table.shown)
    if table.folded and len(table.shown) > _MOST_UNFOLDED:
        return f"<details><summary>{html.escape(table.title)}</summary>\n\n{text}\n\n</details>"
    return f"**{marked_down(table.title)}**\n\n{text}"
