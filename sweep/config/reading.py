"""Reads a built-in sweep or a TOML file, and applies `key=value` overrides."""

import dataclasses
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from sweep.config.checks import (
    NAMING_KEYS,
    NUMBER_KEYS,
    RESOURCE_KEYS,
    TOP_LEVEL_KEYS,
    parse_value,
    split_values,
)
from sweep.config.sweep import SweepConfig
from sweep.config.trial import AXES
from sweep.errors import ConfigError, unknown


def built_in_sweeps() -> list[str]:
    """Names of the sweeps that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _sweep_folder().iterdir() if file.name.endswith(".toml"))


def load_sweep(sweep: str, overrides: Sequence[str] = ()) -> SweepConfig:
    """Reads a built-in sweep or a TOML file and applies `key=value` overrides.

    Args:
        sweep: Name of a built-in sweep, or the path of a `.toml` file.
        overrides: Such as `epochs=3`, `depth=shallow,deep`, `seeds=0..4`, `num_cpus=2`.

    Raises:
        ConfigError: in one line, for anything that cannot be accepted.
    """
    tables = _read_tables(sweep)
    folder = Path(sweep).parent if names_sweep_file(sweep) else Path()
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} is not an override; write key=value, such as epochs=3")
        _override(tables, key.strip(), value.strip())
        folder = Path() if key.strip() == "dataset" else folder
    return dataclasses.replace(SweepConfig.from_json(tables), folder=str(folder))


def names_sweep_file(sweep: str) -> bool:
    """Whether `sweep` is the path of a sweep file, and no name of a built-in sweep."""
    return sweep.lower().endswith(".toml") or "/" in sweep


def _sweep_folder() -> Any:
    return resources.files("sweep") / "sweeps"


def _read_tables(sweep: str) -> dict[str, Any]:
    is_path = names_sweep_file(sweep)
    if not is_path and sweep not in built_in_sweeps():
        raise ConfigError(f"{unknown('sweep', sweep, built_in_sweeps())}; or give the path of a .toml file")
    try:
        content = (Path(sweep) if is_path else _sweep_folder() / f"{sweep}.toml").read_bytes()
        # Whatever the locale; Windows editors put a mark before UTF-8.
        tables = tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the sweep file {sweep}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"the sweep file {sweep} is not text in UTF-8 ({error.reason}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # also of numbers and nesting that Python itself refuses
        raise ConfigError(f"the sweep file {sweep} is not valid TOML: {error}") from None
    file = Path(sweep)
    tables.setdefault("name", file.stem if file.suffix.lower() == ".toml" else file.name)
    return tables


def _override(tables: dict[str, Any], key: str, text: str) -> None:
    allowed = [*TOP_LEVEL_KEYS, *AXES, *RESOURCE_KEYS]
    if key in NAMING_KEYS:
        raise ConfigError(f"{key} belongs in a sweep file, where it is named before any training; it is no override")
    if key not in allowed:
        raise ConfigError(unknown("key", key, allowed))
    if key == "name":
        raise ConfigError("name is not an override; use --name")
    if key in AXES:
        items = split_values(key, text)
        _table(tables, "axes")[key] = items if AXES[key] is str else [parse_value(item) for item in items]
    elif key in RESOURCE_KEYS:
        _table(tables, "resources")[key] = parse_value(text)
    else:
        tables[key] = parse_value(text) if key in NUMBER_KEYS else text


def _table(tables: dict[str, Any], key: str) -> dict[str, Any]:
    table = tables.setdefault(key, {})
    return table if isinstance(table, dict) else {}  # what is no table is refused as the file's, not as the override's
