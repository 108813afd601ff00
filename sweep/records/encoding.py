"""Contents as bytes and back: sealed JSON for manifest and done records, compressed arrays for the rest.

A sealed file holds the SHA-256 of its own bytes, so a truncated or edited one is noticed.
"""

import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.config import SweepConfig, TrialConfig
from sweep.records.contents import DatasetRecord, DoneRecord, Manifest, ReplicateRecord

_FORMAT = 2
_NO_DIGEST = "0" * 64


def encode_manifest(manifest: Manifest) -> bytes:
    """Gives the bytes of a manifest."""
    fields = {f.name: getattr(manifest, f.name) for f in dataclasses.fields(manifest)}
    fields["sweep"] = manifest.sweep.to_json()
    fields["trials"] = [{"trial_id": trial.trial_id, **trial.to_json()} for trial in manifest.trials]
    fields["dataset"] = dataclasses.asdict(manifest.dataset)
    return _seal(fields)


def decode_manifest(content: bytes) -> Manifest:
    """Reads what `encode_manifest` gave.

    Raises:
        ValueError, KeyError, TypeError: if it is damaged, or was written by another version.
    """
    fields = _unseal(content)
    trials = [
        (row["trial_id"], TrialConfig.from_json({k: v for k, v in row.items() if k != "trial_id"}))
        for row in fields.pop("trials")
    ]
    if any(trial_id != trial.trial_id for trial_id, trial in trials):
        raise ValueError("a trial's id is not that of its fields; another version of sweep wrote it")
    return Manifest(
        sweep=SweepConfig.from_json(fields.pop("sweep")),
        trials=tuple(trial for _, trial in trials),
        dataset=DatasetRecord(**_tuples(fields.pop("dataset"))),
        **_tuples(fields),
    )


def encode_done(record: DoneRecord) -> bytes:
    """Gives the bytes of a done record."""
    return _seal(dataclasses.asdict(record))


def decode_done(content: bytes) -> DoneRecord | None:
    """Reads what `encode_done` gave; None if it is damaged, or was written by another version."""
    try:
        fields = _unseal(content)
        rows: list[dict[str, Any]] = [
            {key: math.nan if value is None else value for key, value in row.items()} for row in fields["replicates"]
        ]
        return DoneRecord(
            trial_id=fields["trial_id"],
            replicates=tuple(ReplicateRecord(**row) for row in rows),
            history={
                metric: [[math.nan if value is None else value for value in row] for row in epochs]
                for metric, epochs in fields["history"].items()
            },
            files=fields["files"],
            fingerprints=tuple((epoch, fingerprint) for epoch, fingerprint in fields["fingerprints"]),
            finished=fields["finished"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def encode_arrays(**arrays: NDArray[Any]) -> bytes:
    """Gives the bytes of an `.npz` file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def decode_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Reads what `encode_arrays` gave."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


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


def _unseal(content: bytes) -> dict[str, Any]:
    body = json.loads(content)
    if not isinstance(body, dict):
        raise ValueError("it is no record")
    if body.pop("format", _FORMAT) != _FORMAT:
        raise ValueError("it has the format of another version of sweep")
    digest = str(body.pop("sha256", ""))
    if digest != hashlib.sha256(content.replace(digest.encode(), _NO_DIGEST.encode(), 1)).hexdigest():
        raise ValueError("its checksum is wrong")
    return body


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
