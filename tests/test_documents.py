"""README and docs: what they tell people to type works, and their links lead somewhere.

Every block of `bash` in the README is run, all in one folder and in their order, except those under a comment
`<!-- not run: REASON -->`. Of all other commands the words and options are read by the command line itself.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import typer
from command import SECRETS

from sweep.cli import app
from sweep.datasets import Dataset

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("reports/*/README.md")]
# The language of a block, and its text.
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*\Z")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(document: Path, language: str) -> list[tuple[str, bool]]:
    """The blocks of a language, and whether each is to be run."""
    text = document.read_text()
    found = [match for match in BLOCK.finditer(text) if match[1] == language]
    return [(match[2], NOT_RUN.search(text[: match.start()]) is None) for match in found]


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> list[str]:
    """Every command `sweep ...` in a block or in the running text of the documents."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        spans = re.findall(r"`(sweep [^`]+)`", BLOCK.sub("", text).replace("\n", " "))
        lines = [line.removeprefix("$ ") for _, block in BLOCK.findall(text) for line in block.splitlines()]
        found += [command for command in (*spans, *lines) if command.startswith("sweep ")]
    return sorted(set(found))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for target in LINK.findall(BLOCK.sub("", document.read_text())):
        path, _, anchor = unquote(target).partition("#")
        if path.startswith(("http:", "https:", "data:")):
            continue
        file = document.parent / path if path else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("command", commands())
def test_commands_have_words_and_options_that_exist(command: str) -> None:
    name, *words = shlex.split(command, comments=True)[1:]
    group = typer.main.get_command(app)
    if name.startswith("-"):
        assert name in {option for parameter in group.params for option in parameter.opts}
        return
    verb = group.commands[name]  # type: ignore[attr-defined]
    if words not in ([], ["--help"]):  # a verb alone is its name
        verb.make_context(name, words)


def test_the_readme_is_short_and_its_picture_small() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 200
    (picture,) = re.findall(r"\]\((\S+\.png)\)", readme)
    content = (ROOT / picture).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 300_000


@pytest.mark.slow
def test_the_readme_does_what_it_says(digits: Dataset, tmp_path: Path) -> None:
    (sweep_file,) = [text for text, _ in blocks(ROOT / "README.md", "toml")]
    (tmp_path / "mine.toml").write_text(sweep_file)
    images, labels = np.resize(digits.train.images, (2000, 64)), np.resize(digits.train.labels, 2000)
    test = digits.test
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels, x_test=test.images, y_test=test.labels)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "sweep"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sweep "$@"\n')
    command.chmod(0o755)

    to_run = [text for text, run in blocks(ROOT / "README.md", "bash") if run]
    assert len(to_run) >= 3
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
    finished = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", "\n".join(to_run)],
        cwd=tmp_path,
        env={**kept, **SECRETS, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{kept['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert (tmp_path / "experiments" / "smoke" / "report" / "report.html").is_file()
