"""Puts the sections of a report together and writes its files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sweep.records import State
from sweep.report.analysis import analyse
from sweep.report.best import best_section
from sweep.report.checks import control_section, reproduction_section
from sweep.report.confusions import confusion_section
from sweep.report.detail import details
from sweep.report.document import Document, Paragraph, Section, section
from sweep.report.effects import effects_section
from sweep.report.files import folders_of, proposed_folder, write_files
from sweep.report.findings import Analysis
from sweep.report.formats import several
from sweep.report.grid import grid_section
from sweep.report.images import average_over_occurring
from sweep.report.page import page
from sweep.report.provenance import provenance_section
from sweep.report.ranking import ranking_section
from sweep.report.readme import readme
from sweep.report.verdict import incomplete, verdict
from sweep.table import history_table, results_table
from sweep.tables import booktabs, csv


def write(states: Sequence[State], out: Path) -> Path:
    """Writes the report of one or several experiments; see `sweep.report.write_report`."""
    # A fixed start, so that the same records always give the same report.
    analyses = [analyse(average_over_occurring(state.legible), np.random.default_rng(0)) for state in states]
    names = [state.experiment.name for state in states]
    instead = proposed_folder(out, names)
    folders = folders_of(names)
    if folders:
        from sweep.report.together import together

        write_files(out, _files(together(dict(zip(folders, analyses, strict=True)))), instead=instead)
    for folder, analysis in zip(folders or ["."], analyses, strict=True):
        write_files(out / folder, _files(document_of(analysis), analysis), instead=instead)
    return out / "report.html"


def document_of(analysis: Analysis) -> Document:
    """Gives the report of one experiment."""
    manifest = analysis.manifest
    axes = " × ".join(axis.name for axis in analysis.grid.axes).replace("_", " ")
    sections = [
        _verdict_section(analysis),
        ranking_section(analysis),
        effects_section(analysis),
        best_section(analysis),
        grid_section(analysis),
        confusion_section(analysis),
        control_section(analysis),
        reproduction_section(analysis),
        provenance_section(analysis.records),
    ]
    protocol = ", published protocol" if manifest.sweep.protocol == "published" else ""
    return Document(
        title=f"{manifest.name}: {axes} on {manifest.dataset.name}",
        subtitle=f"{several(len(analysis.grid.points), 'grid point')}, "
        f"{several(len(analysis.grid.seeds), 'seed')}, {several(manifest.sweep.epochs, 'epoch')}{protocol}. "
        f"Selected by {analysis.criterion}.",
        banner=incomplete(analysis),
        sections=tuple(one for one in sections if one),
    )


def _verdict_section(analysis: Analysis) -> Section:
    # The banner above says how the experiment stands.
    blocks = [Paragraph(text=one.text, kind="verdict") for one in verdict(analysis) if one.topic != "state"]
    points = [Paragraph(text=sentence.text, kind="point") for sentence in details(analysis)]
    blocks += [Paragraph(text="In detail:"), *points] if points else []
    return section("verdict", "Verdict", blocks)


def _files(document: Document, analysis: Analysis | None = None) -> dict[str, bytes]:
    files: dict[str, str] = {}
    for picture in document.pictures():
        files[f"figures/{picture.name}.svg"] = picture.file()
    for table in document.tables():
        files[f"tables/{table.name}.csv"] = csv(table.shown if table.exact is None else table.exact)
        files[f"tables/{table.name}.tex"] = booktabs(table.shown, caption=table.title)
    if analysis:
        files["results.csv"] = csv(results_table(analysis.records))
        files["history.csv"] = csv(history_table(analysis.records))
    files["README.md"] = readme(document)
    files["report.html"] = page(document)
    return {path: text.encode() for path, text in files.items()}
