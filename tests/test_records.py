import dataclasses
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sealed

from sweep.config import load_sweep
from sweep.datasets import Dataset
from sweep.errors import ExperimentError
from sweep.plan import Worker, confirm_manifest, make_manifest
from sweep.records import (
    Experiment,
    Manifest,
    State,
    list_experiments,
    open_experiment,
    read_state,
)
from sweep.records.state import legible
from sweep.storage import LocalStorage
from sweep.tasks.classification import ARRAYS

WRITTEN = Path(__file__).parent / "experiments_of_0_1_0"


@pytest.fixture
def manifest(digits: Dataset) -> Manifest:
    return make_manifest(
        load_sweep("smoke"),
        digits,
        name="test",
        command="sweep run smoke",
        worker=Worker(fingerprint={"torch": "2.15.0", "cpu_capability": "AVX2", "num_threads": 1, "device": "cpu"}),
    )


def test_a_manifest_is_read_as_it_was_written(experiment: Experiment, manifest: Manifest) -> None:
    experiment.write_manifest(manifest)
    assert experiment.read_manifest() == manifest


def test_what_is_named_and_confirmed_is_read_as_it_was_written(experiment: Experiment, manifest: Manifest) -> None:
    points = [trial.point for trial in manifest.trials[:3]]
    sweep = dataclasses.replace(manifest.sweep, compare=((points[0], points[1]),), baseline=points[2])
    manifest = confirm_manifest(dataclasses.replace(manifest, sweep=sweep), points[:2], 3, command="")
    experiment.write_manifest(manifest)
    again = experiment.read_manifest()
    assert again == manifest
    assert [trial.seeds for trial in again.confirmations] == [(2**62, 2**62 + 1, 2**62 + 2)] * 2
    assert legible(again).sweep == manifest.sweep


def test_parameters_are_counted_by_hand(manifest: Manifest) -> None:
    by_depth = {trial.depth: manifest.parameters(trial) for trial in manifest.trials}
    assert by_depth["shallow"] == 64 * 64 + 64 + 64 * 10 + 10
    assert by_depth["medium"] == 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10


@pytest.mark.parametrize("damage", ["truncated", "edited", "not json", "empty"])
def test_a_damaged_manifest_is_refused_and_left_alone(experiment: Experiment, manifest: Manifest, damage: str) -> None:
    experiment.write_manifest(manifest)
    content = experiment.storage.read("manifest.json")
    changed = {
        "truncated": content[: len(content) // 2],
        "edited": content.replace(b'"epochs": 2', b'"epochs": 3', 1),
        "not json": b"\x00" * 100,
        "empty": b"",
    }[damage]
    experiment.storage.write("manifest.json", changed)
    with pytest.raises(ExperimentError, match=r"is damaged .* nothing was changed"):
        experiment.read_manifest()
    assert experiment.storage.read("manifest.json") == changed


@pytest.mark.slow
def test_every_flipped_bit_of_a_manifest_is_found(experiment: Experiment, manifest: Manifest) -> None:
    experiment.write_manifest(dataclasses.replace(manifest, trials=manifest.trials[:1], fingerprint={"one": 0.1 + 0.2}))
    file = Path(str(experiment.storage), "manifest.json")
    content = file.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(ExperimentError, match="is damaged"):
            experiment.read_manifest()


def test_the_last_two_checkpoints_are_kept(experiment: Experiment) -> None:
    for epoch in (1, 2, 3, 10, 11):
        experiment.write_checkpoint("a", epoch, f"content {epoch}".encode())
    names = experiment.storage.list("trials/a")
    assert [name.split("-")[1] for name in names] == ["000010", "000011"]
    assert experiment.checkpointed_epochs() == {"a": 11}
    checkpoint = experiment.read_checkpoint("a")
    assert checkpoint is not None
    assert (checkpoint.epoch, checkpoint.content) == (11, b"content 11")


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"X" + content[1:], lambda _: b""])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(experiment: Experiment, damage) -> None:
    experiment.write_checkpoint("a", 1, b"first")
    newest = experiment.write_checkpoint("a", 2, b"second")
    experiment.storage.write(f"trials/a/{newest.file}", damage(b"second"))
    checkpoint = experiment.read_checkpoint("a")
    assert checkpoint is not None
    assert (checkpoint.epoch, checkpoint.content) == (1, b"first")
    assert f"{newest.file}.corrupt" in experiment.storage.list("trials/a")
    assert [event["event"] for event in experiment.read_events()] == ["checkpoint_corrupt"]


def test_without_a_good_checkpoint_there_is_none(experiment: Experiment) -> None:
    assert experiment.read_checkpoint("a") is None
    only = experiment.write_checkpoint("a", 1, b"first")
    experiment.storage.write(f"trials/a/{only.file}", b"")
    assert experiment.read_checkpoint("a") is None


def test_predictions_are_read_as_they_were_written_and_their_file_is_always_the_same(experiment: Experiment) -> None:
    generator = np.random.default_rng(0)
    predictions = {
        "test_logits": generator.normal(size=(2, 5, 3)).astype(np.float16),
        "y_pred": generator.integers(3, size=(2, 5)),
        "test_confusion": generator.integers(9, size=(2, 3, 3)),
        "validation_confusion": np.zeros((2, 3, 3), dtype=np.int64),
    }
    assert experiment.write_predictions("a", predictions) == experiment.write_predictions("b", predictions)
    read = experiment.read_predictions("a", ARRAYS)
    assert read.keys() == predictions.keys()
    for name, array in predictions.items():
        np.testing.assert_array_equal(read[name], array)


def test_a_torn_event_line_is_passed_over(experiment: Experiment) -> None:
    experiment.storage.write("events.jsonl", b'{"event": "run_star')
    experiment.storage.append("events.jsonl", "")
    experiment.log_event("run_started", pid=1)
    assert [event["event"] for event in experiment.read_events()] == ["run_started"]


def test_the_first_error_of_a_trial_is_kept(experiment: Experiment) -> None:
    experiment.write_error("a", "first")
    experiment.write_error("a", "second")
    assert experiment.read_error("a") == "first"
    experiment.clear_error("a")
    assert experiment.read_error("a") is None
    experiment.write_error("a", "a path that is not UTF-8: \udcff")
    assert experiment.read_error("a") == "a path that is not UTF-8: \\udcff"


def test_an_experiment_that_is_not_there_lists_those_that_are(tmp_path: Path, manifest: Manifest) -> None:
    storage = LocalStorage(tmp_path)
    (tmp_path / "a file").write_text("no experiment")
    with pytest.raises(ExperimentError, match="there are none yet"):
        open_experiment(storage, "mnist")
    Experiment(storage.folder("mnist")).write_manifest(manifest)
    assert list_experiments(storage) == ["mnist"]
    with pytest.raises(ExperimentError, match=r"choose from mnist \(did you mean 'mnist'\?\)"):
        open_experiment(storage, "minst")


def test_records_of_a_real_sweep_are_complete_and_plain_json(smoke_folder: Path) -> None:
    experiment = open_experiment(LocalStorage(smoke_folder / "experiments"), "smoke")
    records = read_state(experiment)
    assert records.complete
    assert list(records.done) == [trial.trial_id for trial in records.manifest.trials]
    assert records.failed == {}
    for trial_id, record in records.done.items():
        text = experiment.storage.read(f"trials/{trial_id}/done.json").decode()
        assert json.loads(text)["trial_id"] == trial_id
        assert "NaN" not in text
        confusions = experiment.read_predictions(trial_id, ARRAYS)["test_confusion"]
        for value, confusion in zip(record.final(records.manifest.tested), confusions, strict=True):
            assert value == np.trace(confusion) / confusion.sum()
        assert all(record.bit_exact(records.manifest) for record in records.done.values())


# ---- names of files


def test_checkpoints_are_ordered_by_the_number_of_the_epoch(experiment: Experiment) -> None:
    for epoch in (9_998, 9_999, 10_000, 10_001, 999_999, 1_000_000):
        experiment.write_checkpoint("a", epoch, f"content {epoch}".encode())
        found = experiment.read_checkpoint("a")
        assert found
        assert (found.epoch, found.content) == (epoch, f"content {epoch}".encode())
        assert experiment.checkpointed_epochs() == {"a": epoch}
    kept = [name.split("-")[1] for name in experiment.storage.list("trials/a")]
    assert sorted(map(int, kept)) == [999_999, 1_000_000]


def test_checkpoints_that_0_1_0_wrote_are_ordered_with_the_new_ones(experiment: Experiment) -> None:
    for epoch in (9_999, 10_000):
        new = experiment.write_checkpoint("a", epoch, f"content {epoch}".encode())
        old = new.file.replace(f"-{epoch:06d}-", f"-{epoch:04d}-")
        experiment.storage.rename(f"trials/a/{new.file}", f"trials/a/{old}")
    found = experiment.read_checkpoint("a")
    assert found
    assert (found.epoch, found.file) == (10_000, old)
    experiment.write_checkpoint("a", 10_001, b"newest")
    assert [name.split("-")[1] for name in experiment.storage.list("trials/a")] == ["010001", "10000"]
    assert experiment.checkpointed_epochs() == {"a": 10_001}


def test_files_that_are_not_ours_are_passed_over(experiment: Experiment) -> None:
    experiment.write_checkpoint("a", 1, b"first")
    for path in (".DS_Store", "a/checkpoint-000002-00.pt", "a/checkpoint-000003-0123456789abcdef.pt.bak"):
        experiment.storage.write(f"trials/{path}", b"not ours")
    assert experiment.checkpointed_epochs() == {"a": 1}
    found = experiment.read_checkpoint("a")
    assert found
    assert found.epoch == 1


def test_lines_of_events_that_are_no_events_are_passed_over(experiment: Experiment) -> None:
    lines = ["5", "[]", "null", "[" * 5000, '"text"', "{}"]
    experiment.storage.write("events.jsonl", "\n".join(lines).encode())
    experiment.log_event("run_started", pid=1)
    assert [event.get("event") for event in experiment.read_events()] == [None, "run_started"]


# ---- what is read is checked for safety, and not judged


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The folder of a finished experiment, which a test may change."""
    return shutil.copytree(WRITTEN / "finished", tmp_path / "experiments" / "finished")


def manifest_changed(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Manifest:
    sealed.change(folder / "manifest.json", edit)
    manifest = Experiment(LocalStorage(folder)).read_manifest()
    assert manifest
    return manifest


def records_of(folder: Path) -> State:
    return read_state(Experiment(LocalStorage(folder)))


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "../../x", "a = b", "", "a\nb\x1b[31m", "\u202e", "x" * 5000]
)
def test_any_text_in_a_manifest_is_read_as_data(written: Path, text: str) -> None:
    def edit(body: dict[str, Any]) -> None:
        body["name"] = body["created"] = body["commit"] = body["sweep"]["dataset"] = body["sweep"]["protocol"] = text
        body["dataset"]["name"] = body["dataset"]["class_names"][0] = body["commands"][0] = text
        body["hardware"] |= {text: [text, {text: text}]}
        for axis in ("depth", "activation", "loss"):
            body["sweep"]["axes"][axis].append(text)
            body["trials"][0][axis] = text
        body["trials"][0]["engine"] = body["trials"][0]["dataset"] = text

    manifest = manifest_changed(written, edit)
    assert (manifest.trials[0].depth, manifest.dataset.target_names[0]) == (text, text)
    assert manifest.name == written.name  # what its folder is called
    assert text in manifest.axes[1].values
    assert len(records_of(written).done) == 4


def test_the_id_of_a_trial_is_what_is_written(written: Path) -> None:
    before = records_of(written).manifest.trials[0]
    manifest = manifest_changed(written, lambda body: body["trials"][0].update(epochs=10**9))
    assert (manifest.trials[0].trial_id, manifest.trials[0].epochs) == (before.trial_id, 10**9)
    assert manifest.trials[0].digest != before.digest


def test_keys_of_a_later_version_are_passed_over_and_those_that_it_does_not_write_have_defaults(written: Path) -> None:
    def edit(body: dict[str, Any]) -> None:
        for table in (body, body["sweep"], body["sweep"]["resources"], body["dataset"], body["trials"][0]):
            table["of a later version"] = {"any": [1, None, "thing"]}
        del body["sweep"]["resources"]["pack"], body["sweep"]["resources"]["max_retries"]

    before = records_of(written).manifest
    assert manifest_changed(written, edit) == before
    done = written / "trials" / before.trials[0].trial_id / "done.json"
    record = records_of(written).done[before.trials[0].trial_id]
    sealed.change(done, lambda body: (body.update(later=1), body["replicates"][0].update(later=[1])))
    assert records_of(written).done[before.trials[0].trial_id] == record


def test_values_of_axes_are_equal_however_the_numbers_are_written(written: Path) -> None:
    def edit(body: dict[str, Any]) -> None:
        body["sweep"]["axes"]["learning_rate"] = [1, 0.003]
        body["trials"][0]["learning_rate"] = 1

    manifest = manifest_changed(written, edit)
    assert manifest.axes[3].values == (1.0, 0.003)
    assert type(manifest.trials[0].learning_rate) is float


_POINT = {"depth": "deep", "activation": "relu", "loss": "hinge", "learning_rate": 0.001, "batch_size": 64}


def _put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(body: Any) -> None:
        for key in path[:-1]:
            body = body[key]
        body[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        *(
            _put("trials", 0, "trial_id", value=trial_id)
            for trial_id in (
                "../../x", "/etc/x", "a/b", "..", ".", "a..b", ".hidden", "-x", "a\\b", "a\n", "a\0b", "a b", "<b>",
                "\u00e9", "x" * 201, 5, None, ["a"],
            )
        ),
        lambda body: body["trials"].append(body["trials"][0]),
        _put("trials", value=[]),
        _put("trials", value={}),
        _put("trials", 0, value="text"),
        _put("trials", 0, "seeds", value=[]),
        _put("trials", 0, "seeds", value=[-1]),
        _put("trials", 0, "seeds", value=["0"]),
        _put("trials", 0, "seeds", value=[2**63]),
        _put("trials", 0, "layers", value=64),
        _put("trials", 0, "layers", value=[0]),
        _put("trials", 0, "epochs", value=0),
        _put("trials", 0, "epochs", value=2.5),
        _put("trials", 0, "epochs", value=True),
        _put("trials", 0, "epochs", value=10**400),
        _put("trials", 0, "learning_rate", value=float("nan")),
        _put("trials", 0, "learning_rate", value=float("inf")),
        _put("trials", 0, "learning_rate", value=10**400),
        _put("trials", 0, "learning_rate", value=None),
        _put("trials", 0, "learning_rate", value="0.1"),
        _put("trials", 0, "depth", value=["deep"]),
        _put("trials", 0, "depth", value="\ud800"),
        _put("dataset", "train_size", value=-1),
        _put("dataset", "class_names", value="0123456789"),
        _put("dataset", "class_names", value=[]),
        _put("dataset", "class_names", value=[1]),
        _put("dataset", "image_shape", value=[-8, 8]),
        _put("dataset", value=None),
        _put("commands", value="sweep run"),
        _put("commands", value=[["sweep"]]),
        _put("versions", "torch", value=2.15),
        _put("fingerprint", "num_threads", value=10**9),
        _put("fingerprint", "products", value=["numpy"]),
        _put("fingerprint", "device", value=["cpu"]),
        _put("sweep", "selection", value="__class__"),
        _put("sweep", "axes", "depth", value=[]),
        _put("sweep", "axes", "width", value=[1]),
        _put("sweep", "axes", "batch_size", value=[64.5]),
        lambda body: body["sweep"]["axes"].update(batch_size=[*range(1, 2000)], learning_rate=[*range(1, 2000)]),
        _put("sweep", "axes", "learning_rate", value=[None]),
        _put("sweep", "layers", "narrow", value=["64"]),
        _put("sweep", "resources", "pack", value=0),
        *(_put("sweep", "baseline", value=value) for value in ("deep", 5, [["depth", "deep"]])),
        lambda body: body["sweep"].update(baseline={**_POINT, "learning_rate": None}),
        lambda body: body["sweep"].update(baseline={**_POINT, "depth": 5}),
        lambda body: body["sweep"].update(baseline={**_POINT, "width": 5}),
        *(_put("sweep", "compare", value=value) for value in ("deep", {}, [[]], [["a", "b"]], [[{}, {}]])),
        lambda body: body["sweep"].update(compare=[[_POINT]]),
        lambda body: body["sweep"].update(compare=[[_POINT, _POINT, _POINT]]),
        lambda body: body["sweep"].update(compare=[[_POINT, {"depth": "deep"}]]),
        *(_put("trials", 0, "role", value=role) for role in (5, None, "a b", "../x", "\x1b[1m")),
        _put("sweep", "resources", "num_gpus", value="many"),
        _put("sweep", value=[]),
        _put("hardware", value="fast"),
        _put("hardware", "nested", value=json.loads("[" * 100 + "]" * 100)),
        lambda body: body.pop("trials"),
        lambda body: body["trials"][0].pop("dataset_sha256"),
        lambda body: body["sweep"]["axes"].pop("loss"),
    ],
)  # fmt: skip
def test_a_manifest_of_other_types_sizes_or_ids_is_damaged_in_one_line(
    written: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(ExperimentError, match="is damaged") as caught:
        manifest_changed(written, edit)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_manifest_without_end_is_damaged_in_one_line(written: Path) -> None:
    for content in (b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, "{}".encode("utf-16")):
        (written / "manifest.json").write_bytes(content)
        with pytest.raises(ExperimentError, match="is damaged"):
            records_of(written)


@pytest.mark.parametrize(
    "edit",
    [
        _put("files", value={"../../../x": "0" * 64}),
        _put("files", value={"/etc/passwd": "0" * 64}),
        _put("files", value={"a/b": "0" * 64}),
        _put("files", value={"predictions.npz": None}),
        _put("files", value=[]),
        _put("replicates", value=[]),
        lambda body: body["replicates"].pop(),
        lambda body: body["replicates"].append(body["replicates"][0]),
        _put("replicates", 0, "test_accuracy", value="0.9"),
        _put("replicates", 0, "test_accuracy", value=float("nan")),
        _put("replicates", 0, "seed", value=-1),
        _put("replicates", 0, "diverged", value="no"),
        lambda body: body["history"].pop("train_loss"),
        lambda body: body["history"]["validation_accuracy"].pop(),
        lambda body: body["history"]["train_accuracy"][0].append(0.5),
        _put("history", value={}),
        _put("history", "train_loss", value=5),
        _put("fingerprints", value=[]),
        _put("fingerprints", value=[[1]]),
        _put("fingerprints", 0, 1, "num_threads", value=0),
        _put("fingerprints", 0, 1, "products", value={}),
        _put("trial_id", value="another"),
    ],
)
def test_a_done_record_of_other_types_sizes_or_paths_is_none(
    written: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    trial_id = records_of(written).manifest.trials[0].trial_id
    sealed.change(written / "trials" / trial_id / "done.json", edit)
    records = records_of(written)
    assert trial_id not in records.done
    assert len(records.done) == 3


@pytest.mark.parametrize(
    "damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: c.replace(c[200:209], b"X" * 9, 1)]
)
def test_damaged_arrays_are_one_kind_of_error(written: Path, damage: Callable[[bytes], bytes]) -> None:
    experiment = Experiment(LocalStorage(written))
    trial_id = records_of(written).manifest.trials[0].trial_id
    for path, read in (
        ("test_split.npz", experiment.read_test_split),
        (f"trials/{trial_id}/predictions.npz", lambda: experiment.read_predictions(trial_id, ARRAYS)),
    ):
        experiment.storage.write(path, damage(experiment.storage.read(path)))
        with pytest.raises(ValueError, match="are damaged"):
            read()


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((3, 8, 8), np.uint8)},
        {"images": np.zeros((3, 8, 8), np.uint8), "y_true": np.zeros(2, np.int64)},
        {"images": np.zeros((3, 8, 8), np.uint8), "y_true": np.zeros((3, 1), np.int64)},
        {"images": np.zeros((3, 8, 8), np.uint8), "y_true": np.zeros(3)},
        {"images": np.full((3, 8, 8), "x"), "y_true": np.zeros(3, np.int64)},
    ],
)
def test_arrays_that_do_not_fit_each_other_are_damaged(experiment: Experiment, arrays: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    experiment.storage.write("test_split.npz", buffer.getvalue())
    with pytest.raises(ValueError, match=r"images|y_true"):
        experiment.read_test_split()


# ---- finding experiments


@pytest.mark.parametrize("name", ["", ".", "..", "../experiments/finished", "/etc", "finished/", "a\0b", "x\ny"])
def test_a_name_that_is_not_that_of_a_folder_opens_nothing(written: Path, name: str) -> None:
    with pytest.raises(ExperimentError, match="unknown experiment") as caught:
        open_experiment(LocalStorage(written.parent), name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["finished (copy)", "a b", ".hidden", "\u5b57", "a[b]"])
def test_an_experiment_is_found_under_whatever_name_its_folder_has(written: Path, name: str) -> None:
    written.rename(written.parent / name)
    assert open_experiment(LocalStorage(written.parent), name).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_cannot_be_looked_into_hides_no_other() -> None:
    # Not below pytest's own folder, which only its owner can enter.
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        shutil.copytree(WRITTEN / "finished", Path(place, "finished"))
        Path(place, "lost+found").mkdir(mode=0o700)
        assert _seen_by_somebody_else(place) == 0


def _seen_by_somebody_else(place: str) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setuid(65534)
            code = int(list_experiments(LocalStorage(place)) != ["finished", "lost+found"])
        finally:
            os._exit(code)  # whatever happens, or the child would go on as a second runner of the tests
    return os.waitpid(child, 0)[1]
