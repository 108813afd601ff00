"""Contents as bytes and back: sealed JSON for manifest and done records, compressed arrays for the rest.

A sealed file holds the SHA-256 of its own bytes, so a truncated or edited one is noticed. That is no secret, so what
is read is checked for safety all the same: types and sizes, names that become paths, parts that must fit each other.
"""

import dataclasses
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.config import AXES, SELECTIONS, Point, SweepConfig
from sweep.errors import shown
from sweep.records.contents import HISTORY_METRICS, DoneRecord, Manifest
from sweep.records.older import Translation, manifest_of_2, unchanged
from sweep.records.typed import reader

_FORMAT = 3
_NO_DIGEST = "0" * 64
# What may become the name of a folder or file: one part of a path, on every file system.
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
_MOST_POINTS = 1_000_000
_MOST_THREADS = 1024


def encode_manifest(manifest: Manifest) -> bytes:
    """Gives the bytes of a manifest."""
    fields = {f.name: getattr(manifest, f.name) for f in dataclasses.fields(manifest)}
    fields["sweep"] = manifest.sweep.to_json()
    fields["trials"] = [dataclasses.asdict(trial) for trial in manifest.trials]
    fields["dataset"] = dataclasses.asdict(manifest.dataset)
    return _seal(fields)


def decode_manifest(content: bytes) -> Manifest:
    """Reads what `encode_manifest` gave.

    Raises:
        ValueError: if it is damaged or unsafe, or has the format of another version.
    """
    fields = _unseal(content, manifest_of_2)
    sweep = fields.get("sweep")
    if isinstance(sweep, dict):
        tables = [key for key in ("axes", "layers", "baseline") if isinstance(sweep.get(key), dict)]
        fields["sweep"] = sweep | {key: _pairs(sweep[key]) for key in tables} | _named_points(sweep)
    manifest: Manifest = reader(Manifest)(fields)
    manifest = dataclasses.replace(manifest, sweep=_checked_sweep(manifest.sweep))
    trial_ids = [trial.trial_id for trial in manifest.trials]
    if not trial_ids:
        raise ValueError("it has no trials")
    if unsafe := [trial_id for trial_id in trial_ids if not _NAME.fullmatch(trial_id)]:
        raise ValueError(f"{shown(unsafe[0])} cannot be the id of a trial")
    if strange := [trial.role for trial in manifest.trials if trial.role and not _NAME.fullmatch(trial.role)]:
        raise ValueError(f"{shown(strange[0])} cannot be the role of a trial")
    if len(set(trial_ids)) < len(trial_ids):
        raise ValueError("two trials have one id")
    for trial in manifest.trials:
        counts = (len(trial.seeds), trial.epochs, trial.batch_size, *trial.layers)
        if math.isnan(trial.learning_rate) or not all(counts):
            raise ValueError(f"trial {trial.trial_id} lacks what it needs to be trained")
    if not manifest.dataset.target_names or not manifest.dataset.input_shape:
        raise ValueError("the data set has no classes or images")
    _check_fingerprint(manifest.fingerprint)
    return manifest


def encode_done(record: DoneRecord) -> bytes:
    """Gives the bytes of a done record."""
    return _seal(dataclasses.asdict(record))


def decode_done(content: bytes) -> DoneRecord | None:
    """Reads what `encode_done` gave; None if it is damaged or unsafe, or has the format of another version."""
    try:
        record: DoneRecord = reader(DoneRecord)(_unseal(content, unchanged))
        for _, fingerprint in record.fingerprints:
            _check_fingerprint(fingerprint)
    except ValueError:
        return None
    epochs = len(record.history.get(HISTORY_METRICS[0], ()))
    fits = (
        record.replicates
        and record.fingerprints
        and epochs
        and record.history.keys() >= set(HISTORY_METRICS)
        and all(len(rows) == epochs for rows in record.history.values())
        and all(len(row) == len(record.replicates) for rows in record.history.values() for row in rows)
        and all(map(_NAME.fullmatch, record.files))
    )
    return record if fits else None


def encode_arrays(**arrays: NDArray[Any]) -> bytes:
    """Gives the bytes of an `.npz` file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def decode_arrays(content: bytes, **shapes: str) -> dict[str, NDArray[Any]]:
    """Reads what `encode_arrays` gave.

    Args:
        content: Of the file.
        shapes: Of each array, a letter an axis, such as "RNC"; equal letters are equal sizes, "..." is any more axes.

    Raises:
        ValueError: if it is damaged, or has other arrays.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in shapes}
    except Exception as error:  # zipfile, zlib and numpy each raise their own for a damaged file
        raise ValueError(f"the arrays are damaged ({error})") from None
    sizes: dict[str, int] = {}
    for name, letters in shapes.items():
        axes, shape = letters.removesuffix("..."), arrays[name].shape
        fits = len(shape) == len(axes) or (axes != letters and len(shape) > len(axes))
        if not fits or any(sizes.setdefault(axis, size) != size for axis, size in zip(axes, shape, strict=False)):
            raise ValueError(f"{name} has the shape {shape}")
        if arrays[name].dtype.kind not in ("iu" if name.startswith("y_") or "confusion" in name else "fiu"):
            raise ValueError(f"{name} holds {arrays[name].dtype}")
    return arrays


def finite(value: Any) -> Any:
    """Gives a value for JSON, which has no NaN and no infinity: null stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def _seal(fields: Mapping[str, Any]) -> bytes:
    """Gives a file's bytes, with the SHA-256 of these very bytes, in which zeros stand for it."""
    content = json.dumps({"sha256": _NO_DIGEST, "format": _FORMAT, **finite(fields)}, indent=1).encode()
    return content.replace(_NO_DIGEST.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def _unseal(content: bytes, of_2: Translation) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(body, dict):
        raise ValueError("it is no record")
    version = body.pop("format", _FORMAT)
    if version not in (2, _FORMAT):
        raise ValueError("it has the format of another version of sweep")
    digest = str(body.pop("sha256", ""))
    if digest != hashlib.sha256(content.replace(digest.encode(), _NO_DIGEST.encode(), 1)).hexdigest():
        raise ValueError("its checksum is wrong")
    return of_2(body) if version == 2 else body


def _pairs(table: Any) -> Any:
    """Gives a table as a list of pairs, for the reader of a tuple of pairs; it refuses what is no table."""
    return [list(item) for item in table.items()] if isinstance(table, dict) else table


def _named_points(sweep: Mapping[str, Any]) -> dict[str, Any]:
    given = sweep.get("compare")
    if not isinstance(given, list):
        return {}
    return {"compare": [[_pairs(point) for point in pair] if isinstance(pair, list) else pair for pair in given]}


def _checked_sweep(sweep: SweepConfig) -> SweepConfig:
    """Gives the sweep with the values of its axes in their types.

    Raises:
        ValueError: if something in it does not fit, or has no bearable size.
    """
    given, resources = dict(sweep.axes), sweep.resources
    if given.keys() != AXES.keys() or not all(given.values()):
        raise ValueError(f"sweep: axes: {shown(list(given))} are not the axes, each with a value")
    axes = tuple((axis, tuple(map(reader(kind), given[axis]))) for axis, kind in AXES.items())
    if any(map(math.isnan, dict(axes)["learning_rate"])):
        raise ValueError("sweep: axes: a learning rate is missing")
    if math.prod(len(values) for _, values in axes) > _MOST_POINTS:
        raise ValueError(f"sweep: axes: it has more than {_MOST_POINTS:,} grid points")
    if sweep.selection not in SELECTIONS:
        raise ValueError(f"sweep: selection: {shown(sweep.selection)} is no score that can select")
    if not (sweep.epochs and sweep.seeds and resources.num_cpus and resources.checkpoint_every and resources.pack):
        raise ValueError("sweep: epochs, seeds or resources are none")
    if resources.num_gpus != "auto" and not (isinstance(resources.num_gpus, float) and resources.num_gpus >= 0):
        raise ValueError(f"sweep: resources: num_gpus: {shown(resources.num_gpus)} is no number of GPUs")
    compare = tuple((_checked_point(one), _checked_point(other)) for one, other in sweep.compare)
    baseline = _checked_point(sweep.baseline) if sweep.baseline else ()
    return dataclasses.replace(sweep, axes=axes, compare=compare, baseline=baseline)


def _checked_point(point: Point) -> Point:
    """Gives a grid point that the sweep names, with all axes in their order and its values in their types."""
    given = dict(point)
    if len(point) != len(AXES) or given.keys() != AXES.keys():
        raise ValueError(f"sweep: {shown(given)} is no grid point")
    values = tuple((axis, reader(kind)(given[axis])) for axis, kind in AXES.items())
    if any(isinstance(value, float) and math.isnan(value) for _, value in values):
        raise ValueError(f"sweep: {shown(given)} lacks a value")
    return values


def _check_fingerprint(fingerprint: Mapping[str, Any]) -> None:
    device, num_threads = fingerprint.get("device", "cpu"), fingerprint.get("num_threads", 1)
    if not isinstance(device, str) or type(num_threads) is not int or not 1 <= num_threads <= _MOST_THREADS:
        raise ValueError("fingerprint: the device or the number of threads cannot be one")
