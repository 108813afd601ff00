"""Puts the sections of a report together and writes its files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sweep.records import Experiment, ExperimentRecords, read_records
from sweep.report.analysis import analyse
from sweep.report.best import best_section
from sweep.report.checks import control_section, reproduction_section
from sweep.report.confusions import confusion_section
from sweep.report.detail import details
from sweep.report.document import Document, Paragraph, Section, section
from sweep.report.effects import effects_section
from sweep.report.files import write_files
from sweep.report.findings import Analysis
from sweep.report.formats import several
from sweep.report.grid import grid_section
from sweep.report.images import average_over_occurring
from sweep.report.page import page
from sweep.report.provenance import provenance_section
from sweep.report.ranking import ranking_section
from sweep.report.readme import readme
from sweep.report.verdict import incomplete, verdict
from sweep.storage import LocalStorage
from sweep.tables import booktabs, csv, history_table, results_table


def write(experiments: Sequence[Experiment], out: Path) -> Path:
    """Writes the report of one or several experiments; see `sweep.report.write_report`."""
    records = [average_over_occurring(read_records(experiment)) for experiment in experiments]
    if len(records) == 1:
        return _write_one(records[0], out)[1]
    from sweep.report.together import together

    analyses = [_write_one(one, out / one.manifest.name)[0] for one in records]
    return _write(together(analyses), analyses, out)


def document_of(analysis: Analysis) -> Document:
    """Gives the report of one experiment."""
    manifest = analysis.manifest
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
        title=f"{manifest.name}: {' × '.join(analysis.grid.axes).replace('_', ' ')} on {manifest.dataset.name}",
        subtitle=f"{several(len(analysis.grid.points), 'grid point')}, "
        f"{several(len(analysis.grid.seeds), 'shared seed')}, {several(manifest.sweep.epochs, 'epoch')}{protocol}. "
        f"Selected by {analysis.criterion}.",
        banner=incomplete(analysis),
        sections=tuple(one for one in sections if one),
    )


def _verdict_section(analysis: Analysis) -> Section:
    sentences = [sentence.text for sentence in verdict(analysis) if sentence.topic != "state"]
    blocks = [Paragraph(text=" ".join(sentences), kind="verdict")]
    points = [Paragraph(text=sentence.text, kind="point") for sentence in details(analysis)]
    blocks += [Paragraph(text="In detail:"), *points] if points else []
    return section("verdict", "Verdict", blocks)


def _write_one(records: ExperimentRecords, out: Path) -> tuple[Analysis, Path]:
    # A fixed start, so that the same records always give the same report.
    analysis = analyse(records, np.random.default_rng(0))
    return analysis, _write(document_of(analysis), [analysis], out)


def _write(document: Document, analyses: Sequence[Analysis], out: Path) -> Path:
    files: dict[str, str] = {}
    for picture in document.pictures():
        files[f"figures/{picture.name}.svg"] = picture.file()
    for table in document.tables():
        files[f"tables/{table.name}.csv"] = csv(table.shown if table.exact is None else table.exact)
        files[f"tables/{table.name}.tex"] = booktabs(table.shown, caption=table.title)
    if len(analyses) == 1:
        files["results.csv"] = csv(results_table(analyses[0].records))
        files["history.csv"] = csv(history_table(analyses[0].records))
    files["README.md"] = readme(document)
    files["report.html"] = page(document)
    write_files(LocalStorage(out), {path: text.encode() for path, text in files.items()})
    return out / "report.html"
