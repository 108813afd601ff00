"""Section 2: the ranking of all configurations."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sweep.figures import (
    Bar,
    ranking,
)
from sweep.report.detail import unused_seeds
from sweep.report.document import Block, Drawing, Paragraph, Section, Table, note, section
from sweep.report.findings import MOST_SHOWN, Analysis, Entry
from sweep.report.formats import (
    NONE,
    numbered,
    percent,
    percent_range,
    points,
    several,
    significant,
)
from sweep.tables import code


def ranking_section(analysis: Analysis) -> Section:
    """Every configuration with its mean, interval, seeds, letters and costs."""
    entries = analysis.entries
    shown = entries[:MOST_SHOWN]
    blocks: list[Block | None] = []
    if entries:
        seeds = analysis.grid.seeds
        blocks.append(
            Paragraph(
                text=f"By mean {analysis.criterion} over {several(len(seeds), 'seed')} ({numbered(seeds)}). Test "
                "accuracy took no part. An interval is of its own row alone: overlap of two rows decides nothing; two "
                "configurations that share a letter are not told apart (Tukey, 95 % confidence for all pairs together)."
                + ("" if analysis.best.cannot else " Shaded on the page: not distinguishable from the best.")
            )
        )
        unused = unused_seeds(analysis)
        blocks.append(note(unused.text if unused else ""))
        blocks.append(note(_cut(analysis)))
        blocks.append(
            Table(
                name="ranking",
                title="Ranking",
                shown=_ranking(analysis, shown),
                exact=_ranking_numbers(analysis),
                searchable=True,
                marked=frozenset(i for i, entry in enumerate(shown) if entry.in_best_set and not analysis.best.cannot),
            )
        )
        bars = [
            Bar(
                name=" ".join(_short(level) for level in entry.configuration.levels.values()),
                estimate=entry.score.estimate,
                low=entry.score.low,
                high=entry.score.high,
                values=entry.scores if len(entry.scores) > 1 else (),
                strong=entry.in_best_set,
            )
            for entry in shown
        ]
        also = ' "=": also under another name, see the table.' if analysis.twins else ""
        kind = "Filled: not distinguishable from the best." if not analysis.best.cannot else ""
        blocks.append(
            Drawing(
                picture=ranking(bars, score=analysis.criterion),
                caption=f"Mean {analysis.criterion} with its 95 % interval; ticks are single seeds. {kind}{also}",
            )
        )
        blocks.append(
            Table(
                name="scores",
                title="All scores, mean ± standard deviation over seeds (%)",
                shown=_scores(shown),
                folded=True,
            )
        )
    if analysis.grid.left_out:
        blocks.append(Paragraph(text="Not compared, for want of the same seeds:", kind="warning"))
        left = [
            {"grid point": point.name, "finished seeds": str(len(point.replicates)), "why": reason}
            for point, reason in analysis.grid.left_out[:MOST_SHOWN]
        ]
        blocks.append(Table(name="left-out", title="Grid points left out", shown=pd.DataFrame(left)))
    return section("ranking", "Ranking", blocks)


def _cut(analysis: Analysis) -> str:
    count = len(analysis.entries)
    if count <= MOST_SHOWN:
        return ""
    where = f"{code('tables/ranking.csv')} and {code('results.csv')}"
    return f"The first {MOST_SHOWN} of {count:,} are shown here; all are in {where}."


def _ranking(analysis: Analysis, shown: Sequence[Entry]) -> pd.DataFrame:
    rows = []
    for entry in shown:
        rows.append(
            {
                "rank": str(entry.rank),
                **entry.configuration.cells,
                f"{analysis.criterion} (%)": percent(entry.score.estimate),
                "95 % interval": percent_range(entry.score),
                "n": str(entry.score.n),
                "groups": entry.letters or NONE,
                "test accuracy (%)": percent(entry.configuration.mean("test_accuracy")),
                "parameters": f"{entry.parameters:,}",
                "training time (s)": significant(entry.configuration.mean("train_time_s")),
                "each seed (%)": " ".join(percent(score) for score in entry.scores[:10])
                + (" …" if len(entry.scores) > 10 else ""),
            }
        )
    return pd.DataFrame(rows)


def _ranking_numbers(analysis: Analysis) -> pd.DataFrame:
    criterion = analysis.grid.criterion
    return pd.DataFrame(
        {
            "rank": entry.rank,
            **entry.configuration.cells,
            f"{criterion}_mean": entry.score.estimate,
            f"{criterion}_low": entry.score.low,
            f"{criterion}_high": entry.score.high,
            "n": entry.score.n,
            "groups": entry.letters,
            "may_be_best": entry.in_best_set,
            "p_worse": entry.p_worse,
            "test_accuracy_mean": entry.configuration.mean("test_accuracy"),
            "parameters": entry.parameters,
            "train_time_s": entry.configuration.mean("train_time_s"),
            **{f"{criterion}_seed_{seed}": s for seed, s in zip(analysis.grid.seeds, entry.scores, strict=True)},
        }
        for entry in analysis.entries
    )


def _scores(shown: Sequence[Entry]) -> pd.DataFrame:
    columns = {
        "train_accuracy": "training",
        "validation_accuracy": "validation",
        "test_accuracy": "test",
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
    }
    return pd.DataFrame(
        {"rank": str(entry.rank), "configuration": entry.name}
        | {title: _spread(entry.configuration.scores(metric)) for metric, title in columns.items()}
        for entry in shown
    )


def _spread(values: NDArray[np.float64]) -> str:
    if not np.isfinite(values).all():
        return NONE
    return percent(float(values.mean())) + (f" ± {points(float(values.std(ddof=1)))}" if len(values) > 1 else "")


def _short(level: str) -> str:
    """Gives a level for a picture: of joined names the first."""
    return level.split(" = ")[0] + (" =" if " = " in level else "")
