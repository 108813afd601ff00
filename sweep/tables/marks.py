"""Texts with words that stand out: who writes a text marks them, who shows it takes the marks off.

A mark is a control character, and a text that comes from an experiment has none (`sweep.records` replaces them): so
no name is taken for a mark however it is spelt, and whoever shows a text escapes every span of it alike.
"""

import re
from dataclasses import dataclass

_SPAN = re.compile("\x01(?P<bold>[^\x04]*)\x04|\x02(?P<code>[^\x04]*)\x04|\x03(?P<link>[^\x04]*)\x05([^\x04]*)\x04")


@dataclass(frozen=True, kw_only=True)
class Span:
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
    """Gives the parts of a text in order, without the marks."""
    found, end = [], 0
    for match in _SPAN.finditer(text):
        found.append(Span(text=text[end : match.start()]))
        kind = next(kind for kind in ("bold", "code", "link") if match[kind] is not None)
        found.append(Span(text=match[kind], kind=kind, target=match[4] or ""))
        end = match.end()
    found.append(Span(text=text[end:]))
    return [span for span in found if span.text]


def plain(text: str) -> str:
    """Gives a text without its marks."""
    return "".join(span.text for span in spans(text))
