"""Where the numbers come from, and how to make any of them again."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sweep.axes import value_name
from sweep.records import State
from sweep.report.analysis import Analysis
from sweep.report.document import Content, Paragraph, Section, note, section, table
from sweep.report.formats import duration, numbered, several
from sweep.report.text import code
from sweep.table import TIME

_MOST_FAILURES, _MOST_NAMED = 20, 6


def provenance_section(analysis: Analysis) -> Section:
    """Command, sweep, versions, hardware, times, failures, and how to reproduce a number."""
    state, manifest = analysis.state, analysis.manifest
    facts = [{"what": what, "value": value} for what, value in _facts(state).items()]
    failed = [{"trial": trial_id, "error": error} for trial_id, error in state.failed.items()]
    blocks: list[Content] = [
        table("provenance", "Provenance", facts),
        table("failures", "Failed trials", failed[:_MOST_FAILURES], failed) if failed else None,
    ]
    if state.done:
        again = code(shlex.join(["sweep", "verify", manifest.name, "--retrain", next(iter(state.done))]))
        text = f"Any number can be made again: its trial is in {code('results.csv')}, and {again} trains that trial "
        blocks.append(f"{text}anew and compares the bits.")
    blocks += [
        "The sweep file, as launched:",
        Paragraph(text=_toml(manifest.sweep.tables()), kind="code"),
        note("Times are measured and differ from run to run; no other number does on the same kind of machine."),
    ]
    return section("provenance", "Provenance", blocks)


def _facts(state: State) -> dict[str, str]:
    manifest, dataset, records = state.manifest, state.manifest.dataset, state.done.values()
    times = [time for record in records for time in record.final(TIME)]
    sizes = {"train": dataset.train_size, "validate": dataset.validation_size, "test": dataset.test_size}
    moved = [code(trial_id) for trial_id, record in state.done.items() if not record.bit_exact(manifest)]
    lost = [f"{one.trial_id} seed {each.seed}" for one in records for each in one.replicates if each.diverged]
    more = f" and {len(moved) - _MOST_NAMED} more" if len(moved) > _MOST_NAMED else ""
    elsewhere = f"{several(len(moved), 'trial')} on other hardware or versions: {', '.join(moved[:_MOST_NAMED])}{more}"
    named = f"{', '.join(lost[:_MOST_NAMED])}{' …' * (len(lost) > _MOST_NAMED)}"
    return {
        "command": "; ".join(code(command) for command in manifest.commands),
        "sweep": f"{manifest.sweep.name} on {dataset.name}, {several(manifest.sweep.epochs, 'epoch')}",
        "seeds": numbered(sorted({seed for trial in manifest.compared for seed in trial.seeds})),
        "created": manifest.created,
        "commit": manifest.commit or "not run from a source tree",
        "versions": _words(manifest.versions),
        "hardware": _words(manifest.hardware),
        "wall time": _wall_time(state),
        "training time": f"{duration(sum(times))} for {several(len(times), 'model')}, one after the other",
        "data set": f"{dataset.name}, SHA-256 {code(dataset.sha256)}",
        "images": ", ".join(f"{size:,} to {purpose}" for purpose, size in sizes.items()),
        "values": dataset.values or "unknown",
        "engine": ", ".join(sorted({trial.engine for trial in manifest.trials})),
        "products": manifest.products_in_words,
        "failures and retries": _failures(state),
        "not bit-exact": elsewhere if moved else "none: every trial ran where the manifest says",
        "diverged": f"{several(len(lost), 'replicate')}: {named}" if lost else "none",
    }


def _words(values: Mapping[str, Any]) -> str:
    def word(value: Any) -> str:
        return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else value_name(value)

    names = {name: name.replace("_gb", " (GB)").replace("_", " ") for name in values}
    return "; ".join(f"{names[name]} {word(value)}" for name, value in values.items()) or "unknown"


def _wall_time(state: State) -> str:
    """Sum over the runs that said how long they took; events are notes, so there may be none."""
    said = [event.get("wall_time_s") for event in state.events if event.get("event") == "run_finished"]
    times = [time for time in said if isinstance(time, int | float)]
    started = sum(event.get("event") == "run_started" for event in state.events)
    if not times:
        return "unknown"
    runs = f" in {several(len(times), 'run')}" if max(started, len(times)) > 1 else ""
    unknown = f", and {started - len(times)} that did not say" if started > len(times) else ""
    return f"{duration(sum(times))}{runs}{unknown}"


def _failures(state: State) -> str:
    counts = Counter(str(event.get("event")) for event in state.events)
    kinds = {
        "trial_failed": ("failure", "failures"),
        "trial_retried": ("retry", "retries"),
        "checkpoint_corrupt": ("damaged checkpoint", "damaged checkpoints"),
    }
    parts = [f"{len(state.failed)} of {several(len(state.manifest.trials), 'trial')} failed in the end"]
    parts += [f"{counts[event]} {words[counts[event] > 1]}" for event, words in kinds.items() if counts[event]]
    return "; ".join(parts)


def _toml(tables: dict[str, Any]) -> str:
    """The sweep as a TOML file; JSON's scalars and lists are TOML's too."""
    plain = [_entry(key, value) for key, value in tables.items() if not isinstance(value, dict)]
    for key, items in tables.items():
        if isinstance(items, dict) and items:
            plain += ["", f"[{key}]", *(_entry(name, value) for name, value in items.items())]
    return "\n".join(plain)


def _entry(key: str, value: Any) -> str:
    return f"{key if re.fullmatch('[A-Za-z0-9_-]+', key) else _json(key)} = {_json(value)}"


def _json(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(_entry(name, item) for name, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_json, value))}]"
    return json.dumps(value, ensure_ascii=False)  # JSON's escapes of rare letters are not TOML's
