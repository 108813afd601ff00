"""Puts the sections of a report together and writes its files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sweep.examples.published import published_section
from sweep.records import State
from sweep.report.analysis import Analysis, analyse
from sweep.report.comparisons import comparisons_section
from sweep.report.control import control_section
from sweep.report.document import Document, Drawing, Section, Table, page, readme
from sweep.report.effects import effects_section
from sweep.report.files import folders_of, proposed_folder, write_files
from sweep.report.formats import several
from sweep.report.grid import grid_section
from sweep.report.provenance import provenance_section
from sweep.report.ranking import ranking_section
from sweep.report.text import booktabs, csv
from sweep.report.together import together
from sweep.report.verdict import incomplete, verdict_section
from sweep.table import history_table, results_table


def task_section(analysis: Analysis) -> Section:
    """What only the task has to show."""
    return analysis.of_task.section(analysis)


# In their order; one that has nothing to do with an experiment gives None.
SECTIONS: tuple[Callable[[Analysis], Section | None], ...] = (
    verdict_section,
    ranking_section,
    effects_section,
    comparisons_section,
    grid_section,
    task_section,
    control_section,
    published_section,
    provenance_section,
)


def write(states: Sequence[State], out: Path) -> Path:
    """Writes the report of one or several experiments; see `sweep.report.write_report`."""
    # A fixed start, so that the same records always give the same report.
    analyses = [analyse(state.legible.averaged) for state in states]
    names = [state.experiment.name for state in states]
    instead = proposed_folder(out, names)
    folders = folders_of(names)
    if folders:
        write_files(out, _files(together(dict(zip(folders, analyses, strict=True)))), instead=instead)
    for folder, analysis in zip(folders or ["."], analyses, strict=True):
        tables = {"results.csv": results_table(analysis.state), "history.csv": history_table(analysis.state)}
        files = {name: csv(table).encode() for name, table in tables.items()}
        write_files(out / folder, files | _files(document_of(analysis)), instead=instead)
    return out / "report.html"


def document_of(analysis: Analysis) -> Document:
    """Gives the report of one experiment."""
    manifest, grid = analysis.manifest, analysis.grid
    axes = " × ".join(axis.name for axis in grid.axes).replace("_", " ")
    counts = ((len(grid.points), "grid point"), (len(grid.seeds), "seed"), (manifest.sweep.epochs, "epoch"))
    protocol = f", {manifest.sweep.protocol} protocol" if manifest.sweep.protocol else ""
    return Document(
        title=f"{manifest.name}: {axes} on {manifest.dataset.name}",
        subtitle=f"{', '.join(several(*count) for count in counts)}{protocol}. Selected by {analysis.criterion.title}.",
        banner=incomplete(analysis),
        sections=tuple(filter(None, (make(analysis) for make in SECTIONS))),
    )


def _files(document: Document) -> dict[str, bytes]:
    files: dict[str, str] = {}
    for block in document.blocks:
        if isinstance(block, Drawing):
            files[f"figures/{block.picture.name}.svg"] = block.picture.file()
        elif isinstance(block, Table):
            files[f"tables/{block.name}.csv"] = csv(block.shown if block.exact is None else block.exact)
            files[f"tables/{block.name}.tex"] = booktabs(block.shown, caption=block.title)
    files |= {"README.md": readme(document), "report.html": page(document)}
    return {path: text.encode() for path, text in files.items()}
