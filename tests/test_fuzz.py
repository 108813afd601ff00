"""Whatever a sweep file, an override or an experiment's files hold, a command ends with an exit code and no traceback.

The examples are the same at each run; `scripts/fuzz` tries 5,000 others.
"""

import contextlib
import copy
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from sweep.cli import execute

# Warnings are no tracebacks.
pytestmark = pytest.mark.filterwarnings("default")
FIXTURE = Path(__file__).parent / "experiments_of_0_1_0"
EXAMPLES = int(os.environ.get("SWEEP_FUZZ_EXAMPLES", "120"))
LONGEST_S = 60


def fuzz(share: float) -> settings:
    """Settings for a share of the examples."""
    return settings(
        max_examples=max(1, round(share * EXAMPLES)),
        derandomize="SWEEP_FUZZ_EXAMPLES" not in os.environ,
        # No smaller example is looked for: it takes minutes, and what was drawn is printed.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of our own, the same for all examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@contextlib.contextmanager
def a_folder() -> Iterator[Path]:
    """A current folder with the sweep files and the data of the fixture."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="sweep-fuzz-") as name:
        for file in ("own.toml", "choices.toml", "own data.npz"):
            shutil.copy(FIXTURE / file, name)
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"a command ran longer than {LONGEST_S} s")


def sweep(*words: str) -> None:
    """Runs a command here. Whatever it raises but an exit is raised; so is a traceback that it prints."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    error = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LONGEST_S)
    try:
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            patch.setattr(sys, "argv", ["sweep", *words])
            execute()
        exit_code: Any = "none"
    except SystemExit as ending:
        exit_code = ending.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert exit_code in (0, 1, 2, 3)
    assert b"Traceback" not in out.buffer.getvalue() + error.buffer.getvalue()


# ---- values

# What a shell can pass and a file can hold: any letter, alone or from beyond UTF-8, but no zero byte.
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", " ", "..", "../x", "a/b", "~", "#", "é", "\u202e", "\ufeff", "🦊", "-", "--", "=", "0..4", "9..1", "1e400"]
)
words |= st.sampled_from(
    ["own data.npz", "own.toml", "missing.npz", "digits", "auto", "stacked", "reference", "none", "narrow", "x" * 300]
)
whole = (
    st.integers(-3, 70)
    | st.integers(1, 9)
    | st.sampled_from([2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, -(10**30)])
)
# The engines round subnormal numbers to zero in the whole process, which hypothesis takes ill.
number = whole | st.floats(allow_subnormal=False) | st.sampled_from([0.1, 1e-320, 1e308, 0.1 + 1e-17, 1e300])
scalar = number | st.booleans() | words
value = scalar | st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
KEYS = ["name", "dataset", "epochs", "seeds", "validation_size", "selection", "engine", "protocol", "axes", "layers"]
KEYS += ["resources", "depth", "activation", "loss", "learning_rate", "batch_size", "num_cpus", "num_gpus", "pack"]
KEYS += ["max_concurrent", "max_retries", "checkpoint_every"]
key = st.sampled_from(KEYS) | words


def near(thing: Any) -> st.SearchStrategy[Any]:
    """Mostly values of the kind of another one."""
    if isinstance(thing, list):
        same: st.SearchStrategy[Any] = st.lists(near(thing[0]) if thing else whole, max_size=4)
    else:
        same = whole if isinstance(thing, int) else number if isinstance(thing, float) else words
    return st.sampled_from([same, same, same, value]).flatmap(lambda kind: kind)


def inner_places(thing: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a JSON value."""
    items = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from inner_places(inner, (*path, name))


def change(draw: st.DrawFn, body: Any) -> None:
    """Puts another value somewhere into a JSON value, takes one away, or adds one."""
    path = draw(st.sampled_from(list(inner_places(body))))
    *outer, last = path
    for name in outer:
        body = body[name]
    way = draw(st.sampled_from([*["other"] * 6, "none", "gone", "added", "twice"]))
    if way in ("other", "none"):
        body[last] = draw(near(body[last])) if way == "other" else None
    elif way == "gone":
        del body[last]
    elif isinstance(body, dict):
        body[draw(key)] = draw(value) if way == "added" else copy.deepcopy(body[last])
    else:
        body.insert(last, draw(value) if way == "added" else copy.deepcopy(body[last]))


# ---- sweep files


def as_toml(thing: Any) -> str:
    """A value as TOML."""
    if isinstance(thing, bool):
        return str(thing).lower()
    if isinstance(thing, dict):
        return "{" + ", ".join(f"{as_toml(name)} = {as_toml(inner)}" for name, inner in thing.items()) + "}"
    if isinstance(thing, list):
        return "[" + ", ".join(map(as_toml, thing)) + "]"
    return json.dumps(thing, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(thing, str) else repr(thing)


OWN: dict[str, Any] = {
    "dataset": "own data.npz",
    "epochs": 3,
    "seeds": [0, 1],
    "validation_size": 12,
    "axes": {"depth": ["none", "narrow"], "activation": ["relu"], "loss": ["hinge"], "learning_rate": [0.01]},
    "layers": {"none": [], "narrow": [6]},
    "resources": {"num_cpus": 1},
}


@st.composite
def sweep_files(draw: st.DrawFn) -> bytes:
    """Files near a good one: values are others, keys are added and missing, bytes are changed."""
    tables = copy.deepcopy(OWN)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        change(draw, tables)
    lines = [f"{as_toml(name)} = {as_toml(inner)}\n" for name, inner in tables.items() if inner is not None]
    content = "".join(lines).encode()
    return damaged(draw, content) if draw(st.integers(0, 9)) == 0 else content


def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes changed, cut off or put in."""
    place = draw(st.integers(0, len(content)))
    other = draw(st.binary(max_size=4))
    end = draw(st.sampled_from([place, place + len(other), place + 20, len(content)]))
    return content[:place] + other + content[end:]


@fuzz(0.4)
@given(sweep_files())
@example(b'dataset = "own data.npz"\nvalidation_size = 12\nepochs = 1' + b"0" * 400)
@example(b"epochs = " + b"9" * 5000)
@example(b"epochs = " + b"[" * 3000 + b"]" * 3000)
@example("\ufeffepochs = 3".encode())
@example(b'dataset = "a\\u0000b.npz"')
def test_a_sweep_file_of_any_content_is_shown_or_refused_in_a_line(content: bytes) -> None:
    assume(b"mnist" not in content)  # read in a second, or downloaded
    with a_folder() as folder:
        (folder / "given.toml").write_bytes(content)
        sweep("run", "given.toml", "--dry-run")


# ---- overrides


def as_word(thing: Any) -> str:
    return ",".join(map(str, thing)) if isinstance(thing, list) else str(thing)


GIVEN = {**OWN, **OWN["axes"], **OWN["resources"]}
override = st.sampled_from(KEYS).flatmap(
    lambda name: st.builds(lambda given: f"{name}={as_word(given)}", near(GIVEN.get(name, 1)))
)
override |= st.builds(lambda name, given: f"{name}={as_word(given)}", key, value) | words
# Bytes that are no UTF-8 reach a program as lone surrogates.
override |= st.builds(lambda name, raw: f"{name}={os.fsdecode(raw)}", key, st.binary(max_size=4))


@fuzz(0.3)
@given(
    st.sampled_from(["own.toml", "choices.toml", "smoke"]),
    st.lists(override.filter(lambda word: "\0" not in word and not word.startswith("-")), min_size=1, max_size=3),
)
@example("own.toml", ["epochs=" + "9" * 5000])
@example("own.toml", ["dataset=\udcff.npz"])
@example("own.toml", ["depth=\udcff"])
def test_an_override_of_any_content_is_taken_or_refused_in_a_line(name: str, overrides: list[str]) -> None:
    assume(not any("mnist" in word for word in overrides))
    with a_folder():
        sweep("run", name, *overrides, "--dry-run")


# ---- damaged experiments


def sealed(body: dict[str, Any]) -> bytes:
    """A record with the checksum that belongs to it, as `sweep` writes it."""
    zeros = "0" * 64
    content = json.dumps({**body, "sha256": zeros}, indent=1).encode()
    return content.replace(zeros.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def change_record(draw: st.DrawFn, file: Path) -> None:
    """Changes a sealed record and seals it again."""
    body = json.loads(file.read_bytes())
    for _ in range(draw(st.integers(1, 2))):
        change(draw, body)
    file.write_bytes(sealed(body))


def change_events(draw: st.DrawFn, file: Path) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    change(draw, lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@st.composite
def arrays(draw: st.DrawFn, like: Any) -> Any:
    """An array near another one: of another type or shape, with other values."""
    way = draw(st.sampled_from(["type", "values", "shape", "cut", "object"]))
    if way == "type":
        return like.astype(draw(st.sampled_from(["f2", "f8", "u1", "i1", "i8", "c16", "U5", "S3", "?"])))
    if way == "values":
        other = like.copy()
        other[...] = draw(
            st.sampled_from([0, 1, 7, 100]) if like.dtype.kind in "iub" else st.floats(width=32, allow_subnormal=False)
        )
        return other
    if way == "shape":
        return draw(st.sampled_from([like[None], like.ravel(), like.T, like[:0], np.float32(1)]))
    return like[: len(like) // 2] if way == "cut" else np.array([None, {}], dtype=object)


def change_arrays(draw: st.DrawFn, file: Path) -> None:
    """Changes the arrays of a file; the done record beside it gets the new hash."""
    with np.load(file) as found:
        content = {name: found[name] for name in found.files}
    name = draw(st.sampled_from(list(content)))
    other = draw(arrays(content.pop(name)))
    if draw(st.integers(0, 4)):
        content[name] = other
    np.savez_compressed(file, **content)
    believe(file, file.name)


def change_checkpoint(draw: st.DrawFn, file: Path) -> None:
    """Changes what training would resume from; its name and the done record beside it get the new hash."""
    content = torch.load(file, weights_only=True)
    name = draw(st.sampled_from(list(content)))
    place = content
    while isinstance(place[name], dict) and place[name] and draw(st.booleans()):
        place = place[name]
        name = draw(st.sampled_from(list(place)))
    if isinstance(place[name], torch.Tensor) and draw(st.booleans()):
        place[name] = draw(st.sampled_from([place[name][None], place[name][:0], place[name].double()]))
    elif draw(st.booleans()):
        place[name] = draw(value)
    else:
        del place[name]
    torch.save(content, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    other = file.with_name(f"{file.name.rpartition('-')[0]}-{digest[:16]}.pt")
    file.rename(other)
    believe(other, file.name)


def believe(file: Path, old_name: str) -> None:
    """Writes a file's hash into the done record beside it."""
    done = file.with_name("done.json")
    if done.exists():
        body = json.loads(done.read_bytes())
        if body["files"].pop(old_name, None):
            body["files"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        done.write_bytes(sealed(body))


def change_bytes(draw: st.DrawFn, file: Path) -> None:
    file.write_bytes(damaged(draw, file.read_bytes()))


def replace_by_folder(draw: st.DrawFn, file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inside").write_text("")


def replace_by_link(draw: st.DrawFn, file: Path) -> None:
    file.unlink()
    file.symlink_to(draw(st.sampled_from([file.name, "/dev/null", "/nowhere", "..", "/etc/passwd"])))


def add_file(draw: st.DrawFn, file: Path) -> None:
    """Something that does not belong there: a file, or a file where a folder was."""
    name = draw(
        st.sampled_from(["checkpoint-99999999-0123456789abcdef.pt", "checkpoint-x.pt", "done.json.tmp", "lock.json"])
        | st.sampled_from(["error.txt", "é\udcff", "~", "a b", ".hidden", "report", "events-1.jsonl"])
    )
    with contextlib.suppress(IsADirectoryError):
        (file.parent / name).write_bytes(draw(st.binary(max_size=20)))


def folder_becomes_file(draw: st.DrawFn, file: Path) -> None:
    folder = draw(st.sampled_from([folder for folder in file.parents if "experiments" in folder.parent.parts]))
    shutil.rmtree(folder)
    folder.write_text(draw(st.sampled_from(["", "{}"])))


Change = Callable[[st.DrawFn, Path], None]
ANY: list[Change] = [change_bytes, replace_by_folder, replace_by_link, add_file, folder_becomes_file]
ANY.append(lambda draw, file: file.unlink())
KNOWING: dict[str, Change] = {
    "manifest.json": change_record,
    "done.json": change_record,
    "events.jsonl": change_events,
    "predictions.npz": change_arrays,
    "test_split.npz": change_arrays,
}


def harm(draw: st.DrawFn, experiment: Path) -> None:
    """Damages one file of an experiment, blindly or knowing what it holds."""
    files = sorted(path for path in experiment.rglob("*") if path.is_file() and not path.is_symlink())
    assume(files)
    # By kind first, so that the manifest comes as often as the many checkpoints.
    kind = draw(st.sampled_from(sorted({file.name.partition("-")[0] for file in files})))
    file = draw(st.sampled_from([file for file in files if file.name.partition("-")[0] == kind]))
    knowing = KNOWING.get(file.name, change_checkpoint if file.suffix == ".pt" else change_bytes)
    way = knowing if draw(st.integers(0, 3)) else draw(st.sampled_from(ANY))
    # What is damaged already cannot always be damaged knowingly.
    with contextlib.suppress(
        *(ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, RuntimeError),
        *(NotImplementedError, zipfile.BadZipFile, zlib.error),
    ):
        way(draw, file)


@fuzz(0.3)
@given(st.data())
def test_a_damaged_experiment_is_read_or_refused_in_a_line(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["own_data", "half_done", "failed", "no_validation"]))
    with a_folder() as folder:
        shutil.copytree(FIXTURE / name, folder / "experiments" / name)
        shutil.copytree(FIXTURE / "own_data", folder / "experiments" / "another")
        for _ in range(data.draw(st.integers(1, 2))):
            harm(data.draw, folder / "experiments" / name)
        sweep("status", name)
        sweep("status", name, "--json")
        sweep("list")
        sweep("verify", name)
        sweep("doctor", "own.toml" if name == "own_data" else "choices.toml", "--name", name)
        if data.draw(st.integers(0, 3)) == 0:
            sweep("report", *data.draw(st.sampled_from([[name], [name, "another"]])), "--out", "page")
