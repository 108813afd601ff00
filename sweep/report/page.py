"""A document as one HTML page that needs nothing else: no network, no other file."""

import html
import re
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sweep.report.document import Document, Drawing, Paragraph, Table
from sweep.tables import numeric_columns


def page(document: Document) -> str:
    """Gives the HTML text of a document."""
    text: str = _template().render(document=document, numeric_columns=numeric_columns)
    return text


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["inline"] = _inline
    environment.tests |= {
        "paragraph": lambda block: isinstance(block, Paragraph),
        "table": lambda block: isinstance(block, Table),
        "drawing": lambda block: isinstance(block, Drawing),
    }
    folder = resources.files("sweep") / "templates"
    environment.globals |= {
        name: Markup((folder / file).read_text(encoding="utf-8"))
        for name, file in {"css": "report.css", "script": "report.js"}.items()
    }
    return environment.from_string((folder / "report.html").read_text(encoding="utf-8"))


def _inline(text: str) -> Markup:
    """Escapes a text and turns `**bold**` and `` `code` `` into HTML."""
    escaped = html.escape(text, quote=False).replace(" %", "\u00a0%")
    escaped = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped)
    escaped = re.sub(r"\[([^\]]+)\]\(([\w./+-]+)\)", r'<a href="\2">\1</a>', escaped)
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))
