"""An experiment from somebody else: whatever its texts say, they are shown as texts, and nothing leaves the folder."""

import csv
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from hostile import hostile, write_hostile_experiment
from markdown_it import MarkdownIt

from sweep.cli import execute
from sweep.errors import one_line
from sweep.records import list_experiments, read_state
from sweep.report import write_report
from sweep.storage import LocalStorage

# A name that a folder can have.
AWKWARD = "<img src=x onerror=ran()> [a](b) $x$ `c` | **d** &amp; javascript:ran()"
# What of the experiment is shown in full somewhere on the page.
SHOWN = ["shallow", "medium", "deep", "relu", "tanh", "hinge", "cross_entropy", "data", "hash", "sweep", "command",
         "created", "version", "hardware", "gpu", "commit", "engine",
         *(f"class {number}" for number in range(4))]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    experiments = [write_hostile_experiment(folder / "all" / name) for name in ("e", AWKWARD)]
    write_report([read_state(experiment) for experiment in experiments], folder / "out")
    return folder


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.scripts, self.within = set(), [], "", [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        self.within = tag

    def handle_data(self, data):
        if self.within == "script" and data.strip():
            self.scripts.append(data)
        self.text += data


def pages(folder):
    return sorted((folder / "out").rglob("report.html"))


def test_every_text_is_on_the_page_as_a_text(folder):
    text = Elements((folder / "out" / "e" / "report.html").read_text()).text.replace("\u00a0", " ")
    assert [what for what in SHOWN if one_line(hostile(what)) not in text] == []
    # Of a traceback the last line is shown, and an underscore of a package's name is a blank.
    assert [what for what in ("error", "package", "part") if f"end of {what}" not in text] == []


def test_the_page_has_no_element_attribute_or_address_but_its_own(folder):
    assert len(pages(folder)) == 3
    for page in pages(folder):
        found = Elements(page.read_text())
        assert not found.tags & {"img", "iframe", "object", "embed", "form", "base", "audio", "video", "foreignobject"}
        assert len(found.scripts) == 1
        assert "ran()" not in found.scripts[0]
        assert [name for name, _ in found.attributes if name.startswith("on") or name in ("autofocus", "srcdoc")] == []
        addresses = [value for name, value in found.attributes if name in ("href", "src", "xlink:href", "action")]
        inside = [address for address in addresses if not address.startswith(("#", "data:"))]
        assert all((page.parent / address.replace("%20", " ")).exists() or "%" in address for address in inside)
        assert [address for address in inside if ":" in address] == []


def test_a_picture_holds_texts_and_nothing_else(folder):
    pictures = list((folder / "out").rglob("*.svg"))
    assert len(pictures) > 20
    for picture in pictures:
        root = ET.fromstring(picture.read_text())
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "g", "defs", "style", "clipPath", "path", "rect", "text", "use", "image", "pattern"}
        for element in root.iter():
            assert not any(name.lower().startswith("on") for name in element.attrib)
            assert not any("evil" in value for name, value in element.attrib.items() if name != "aria-label")
    drawn = "".join((folder / "out" / "e" / "figures" / "ranking.svg").read_text())
    assert "&lt;script&gt;ran()&lt;/script&gt;" in drawn


def test_the_readme_has_no_link_tag_or_heading_but_its_own(folder):
    render = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render
    for readme in (folder / "out").rglob("README.md"):
        found = Elements(render(readme.read_text()))
        assert found.tags <= {"h1", "h2", "p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "code",
                              "pre", "blockquote", "ul", "li", "img", "details", "summary", "a"}  # fmt: skip
        addresses = [value for name, value in found.attributes if name in ("href", "src")]
        assert [address for address in addresses if not re.match("figures/|e/|%3Cimg", address)] == []
    text = Elements(render((folder / "out" / "e" / "README.md").read_text())).text
    for what in ("shallow", "class 0", "created"):
        assert one_line(hostile(what)) in text


def test_a_spreadsheet_finds_no_formula_and_latex_no_command(folder):
    for file in (folder / "out").rglob("*.csv"):
        with file.open(newline="") as rows:
            cells = [cell for row in csv.reader(rows) for cell in row]
        assert [cell for cell in cells if re.match(r"[=@]|[+-](?![\d.,]+$)", cell)] == []
        assert "\x1b" not in file.read_text()
    for file in (folder / "out").rglob("*.tex"):
        text = file.read_text()
        assert set(re.findall(r"\\([A-Za-z]+)", text)) <= {
            "begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule", "textbf", "texttt", "pm",
            "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "times",
        }  # fmt: skip
        plain = re.sub(r"\\\\|\\[{}&%$#_]", "", text)
        assert plain.count("{") == plain.count("}")
        assert plain.count("$") % 2 == 0
        assert "%" not in plain


def test_nothing_is_written_outside_and_names_of_files_are_ours(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["all", "out"]
    for path in (folder / "out").rglob("*"):
        if path.is_file() and path.parent.name in ("figures", "tables"):
            assert re.fullmatch(r"[\w.-]{1,60}\.(svg|csv|tex)", path.name), path.name


def test_what_is_printed_steers_no_terminal(folder, monkeypatch, capsys):
    storage = str(folder / "all")
    assert list_experiments(LocalStorage(storage)) == sorted(["e", AWKWARD])
    for words in (["status", "e"], ["status", AWKWARD, "--json"], ["list"], ["report", "e", "--out", "e-again"]):
        monkeypatch.chdir(folder / "all")
        monkeypatch.setattr(sys, "argv", ["sweep", *words, "--storage", storage])
        with pytest.raises(SystemExit) as exited:
            execute()
        assert exited.value.code == 0
        captured = capsys.readouterr()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\u2028]", captured.out + captured.err)
