"""A document as one HTML page that needs nothing else: no network, no other file."""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sweep.report.document import Document, Drawing, Paragraph, Table
from sweep.tables import numeric_columns, spans


def page(document: Document) -> str:
    """Gives the HTML text of a document; the template escapes whatever comes from it."""
    text: str = _template().render(document=document, numeric_columns=numeric_columns, spans=spans)
    return text


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\u00a0%")
    environment.tests |= {
        "paragraph": lambda block: isinstance(block, Paragraph),
        "table": lambda block: isinstance(block, Table),
        "drawing": lambda block: isinstance(block, Drawing),
    }
    folder = resources.files("sweep") / "templates"
    css, script = ((folder / file).read_text(encoding="utf-8") for file in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {"css": Markup(css), "script": Markup(script), "script_hash": f"sha256-{digest}"}
    return environment.from_string((folder / "report.html").read_text(encoding="utf-8"))
