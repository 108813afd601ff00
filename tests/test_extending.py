"""The examples of docs/extending.md: their edits are made to a copy of the package, and their Python is run with it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def sections() -> dict[str, list[tuple[str, str]]]:
    """The blocks below each heading, each with its language."""
    title, *parts = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.MULTILINE)
    assert not BLOCK.findall(title)
    found = {heading: BLOCK.findall(text) for heading, text in zip(parts[::2], parts[1::2], strict=True)}
    return {heading: blocks for heading, blocks in found.items() if blocks}


def edit(folder: Path, diff: str) -> set[str]:
    """Makes the edits of a diff; gives the names of its files."""
    files = re.findall(r"^\+\+\+ b/(.+)\n((?:(?!--- ).*\n)*)", diff, re.MULTILINE)
    for name, hunks in files:
        file = folder / name
        text = file.read_text() if file.exists() else ""
        for hunk in filter(None, hunks.split("@@\n")):
            lines = hunk.splitlines(keepends=True)
            assert {line[0] for line in lines} <= {" ", "+", "-"}
            before, after = ("".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
            assert text.count(before) == 1  # also of nothing in a file that is new
            text = text.replace(before, after)
        file.write_text(text)
    return {name for name, _ in files}


FIRST, *EXAMPLES = sections()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "sweep", tmp_path / "sweep", ignore=shutil.ignore_patterns("mnist", "__pycache__"))
    return tmp_path


def test_each_seam_has_an_example() -> None:
    assert FIRST == "A run in one process"
    assert EXAMPLES == ["An activation", "A metric", "A storage back end", "A report section"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "files"),
    [
        ("An activation", {"sweep/pieces.py"}),
        ("A metric", {"sweep/tasks/classification.py"}),
        ("A storage back end", set()),
        ("A report section", {"sweep/report/cost.py", "sweep/report/writing.py"}),
    ],
)
def test_an_example_takes_these_files_and_works(package: Path, example: str, files: set[str]) -> None:
    blocks = sections()
    assert set().union(*(edit(package, text) for language, text in blocks[example] if language == "diff")) == files
    script = [text for part in (FIRST, example) for language, text in blocks[part] if language == "python"]
    assert len(script) == 2
    finished = subprocess.run(
        [sys.executable, "-c", "\n\n".join(script)],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package), "XDG_CACHE_HOME": str(package / "cache")},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
