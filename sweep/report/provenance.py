"""Section 9: where the numbers come from, and how to make any of them again."""

import json
import re
import shlex
from collections import Counter
from typing import Any

import pandas as pd

from sweep.axes import value_name
from sweep.records import State
from sweep.report.document import Block, Paragraph, Section, Table, note, section
from sweep.report.formats import duration, numbered, several
from sweep.table import TIME
from sweep.tables import code

_MOST_FAILURES = 20


def provenance_section(records: State) -> Section:
    """Command, sweep, versions, hardware, times, failures, and how to reproduce a number."""
    manifest = records.manifest
    rows = [
        ("command", "; ".join(code(command) for command in manifest.commands)),
        ("sweep", f"{manifest.sweep.name} on {manifest.dataset.name}, {several(manifest.sweep.epochs, 'epoch')}"),
        ("seeds", _seeds(records)),
        ("created", manifest.created),
        ("commit", manifest.commit or "not run from a source tree"),
        ("versions", _words(manifest.versions)),
        ("hardware", _words(manifest.hardware)),
        ("wall time", _wall_time(records)),
        ("training time", _training_time(records)),
        ("data set", f"{manifest.dataset.name}, SHA-256 {code(manifest.dataset.sha256)}"),
        ("images", _sizes(records)),
        ("values", manifest.dataset.values or "unknown"),
        ("engine", ", ".join(sorted({trial.engine for trial in manifest.trials}))),
        ("failures and retries", _failures(records)),
        ("not bit-exact", _moved(records)),
        ("diverged", _diverged(records)),
    ]
    blocks: list[Block | None] = [
        Table(name="provenance", title="Provenance", shown=pd.DataFrame(rows, columns=["what", "value"]))
    ]
    if records.failed:
        failed = [{"trial": trial_id, "error": error} for trial_id, error in records.failed.items()]
        blocks.append(
            Table(
                name="failures",
                title="Failed trials",
                shown=pd.DataFrame(failed[:_MOST_FAILURES]),
                exact=pd.DataFrame(failed),
            )
        )
    example = next(iter(records.done), None)
    if example:
        again = shlex.join(["sweep", "verify", manifest.name, "--retrain", example])
        blocks.append(
            Paragraph(
                text=f"Any number can be made again: its trial is in {code('results.csv')}, and {code(again)} trains "
                "that trial anew and compares the bits."
            )
        )
    blocks.append(Paragraph(text="The sweep file, as launched:"))
    blocks.append(Paragraph(text=_toml(manifest.sweep.tables()), kind="code"))
    blocks.append(
        note("Times are measured and differ from run to run; no other number does on the same kind of machine.")
    )
    return section("provenance", "Provenance", blocks)


def _seeds(records: State) -> str:
    seeds = sorted({seed for trial in records.manifest.compared for seed in trial.seeds})
    return numbered(seeds)


def _words(values: Any) -> str:
    def word(value: Any) -> str:
        if isinstance(value, list | tuple):
            return ", ".join(map(str, value)) or "none"
        return value_name(value)

    return (
        "; ".join(f"{name.replace('_gb', ' (GB)').replace('_', ' ')} {word(value)}" for name, value in values.items())
        or "unknown"
    )


def _wall_time(records: State) -> str:
    """Sum over the runs that said how long they took; events are notes, so there may be none."""
    times = [
        event["wall_time_s"]
        for event in records.events
        if event.get("event") == "run_finished" and isinstance(event.get("wall_time_s"), int | float)
    ]
    started = sum(event.get("event") == "run_started" for event in records.events)
    if not times:
        return "unknown"
    runs = f" in {several(len(times), 'run')}" if max(started, len(times)) > 1 else ""
    unknown = f", and {started - len(times)} that did not say" if started > len(times) else ""
    return f"{duration(sum(times))}{runs}{unknown}"


def _training_time(records: State) -> str:
    times = [time for record in records.done.values() for time in record.final(TIME)]
    return f"{duration(sum(times))} for {several(len(times), 'model')}, one after the other"


def _sizes(records: State) -> str:
    dataset = records.manifest.dataset
    return f"{dataset.train_size:,} to train, {dataset.validation_size:,} to validate, {dataset.test_size:,} to test"


def _failures(records: State) -> str:
    counts = Counter(str(event.get("event")) for event in records.events)
    parts = [f"{len(records.failed)} of {several(len(records.manifest.trials), 'trial')} failed in the end"]
    for event, words in (
        ("trial_failed", "failure"),
        ("trial_retried", "retry"),
        ("checkpoint_corrupt", "damaged checkpoint"),
    ):
        if counts[event]:
            parts.append(f"{counts[event]} {words}" + ("" if counts[event] == 1 else "s").replace("ys", "ies"))
    return "; ".join(parts).replace("retrys", "retries")


def _moved(records: State) -> str:
    moved = [trial_id for trial_id, record in records.done.items() if not record.bit_exact(records.manifest)]
    if not moved:
        return "none: every trial ran where the manifest says"
    names = ", ".join(code(trial_id) for trial_id in moved[:6]) + (
        f" and {len(moved) - 6} more" if len(moved) > 6 else ""
    )
    return f"{several(len(moved), 'trial')} on other hardware or versions: {names}"


def _diverged(records: State) -> str:
    lost = [
        f"{trial_id} seed {replicate.seed}"
        for trial_id, record in records.done.items()
        for replicate in record.replicates
        if replicate.diverged
    ]
    return (
        f"{several(len(lost), 'replicate')}: {', '.join(lost[:6])}{' …' if len(lost) > 6 else ''}" if lost else "none"
    )


def _toml(tables: dict[str, Any]) -> str:
    """The sweep as a TOML file; JSON's scalars and lists are TOML's too."""
    plain = [_entry(key, value) for key, value in tables.items() if not isinstance(value, dict)]
    for key, table in tables.items():
        if isinstance(table, dict) and table:
            plain += ["", f"[{key}]", *(_entry(name, value) for name, value in table.items())]
    return "\n".join(plain)


def _entry(key: str, value: Any) -> str:
    return f"{key if re.fullmatch('[A-Za-z0-9_-]+', key) else _json(key)} = {_json(value)}"


def _json(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(_entry(name, item) for name, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_json, value))}]"
    return json.dumps(value, ensure_ascii=False)  # JSON's escapes of rare letters are not TOML's
