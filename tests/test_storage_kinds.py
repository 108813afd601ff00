"""What every kind of storage promises: a folder, a prefix of a bucket on a real S3 server, and five methods alone."""

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from made_up import write_experiment

from sweep.config import TrialConfig
from sweep.datasets import Dataset
from sweep.errors import ExperimentError, StorageError
from sweep.lock import Lock, read_holder
from sweep.machine import this_process
from sweep.records import Experiment, list_experiments, read_state
from sweep.report import write_report
from sweep.storage import LocalStorage, Storage, open_storage
from sweep.trial import TrialRun, run_trial


class Memory(Storage):
    """All that a back end has to be: one class with five methods."""

    files_of_all: dict[str, bytes]

    def read(self, path: str) -> bytes:
        try:
            return self.files_of_all[self._at(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    def write(self, path: str, content: bytes) -> None:
        self.files_of_all[self._at(path)] = content

    def create(self, path: str, content: bytes) -> bool:
        return self.files_of_all.setdefault(self._at(path), content) is content

    def entries(self, path: str) -> Iterable[str]:
        above = f"{self._at(path)}/"
        below = [file.removeprefix(above).partition("/") for file in list(self.files_of_all) if file.startswith(above)]
        return {name + slash for name, slash, _ in below}

    def delete(self, path: str) -> None:
        self.files_of_all.pop(self._at(path), None)


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.cluster), "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "team" / "sweeps")
    if request.param == "memory":
        monkeypatch.setattr(Memory, "files_of_all", {}, raising=False)
        return "memory:/sweeps"
    uri: str = request.getfixturevalue("bucket").uri
    return uri


def opened(root: str) -> Storage:
    return Memory(root) if root.startswith("memory:") else open_storage(root)


@pytest.fixture
def storage(root: str) -> Storage:
    return opened(root)


@pytest.fixture
def left(request: pytest.FixtureRequest, root: str, tmp_path: Path) -> Callable[[], list[str]]:
    """Everything that is there, as somebody else sees it, empty folders too."""
    if root.startswith("memory:"):
        return lambda: sorted(Memory.files_of_all)
    if root.startswith("s3:"):
        return lambda: sorted(request.getfixturevalue("bucket").objects())
    return lambda: sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))


def test_file_is_read_as_written_and_replaced_whole(storage: Storage) -> None:
    storage.write("trials/one/file", b"first")
    storage.write("trials/one/file", b"second")
    assert storage.read("trials/one/file") == b"second"
    storage.write("empty", b"")
    assert storage.read("empty") == b""


def test_a_file_of_many_megabytes_and_of_any_bytes_is_whole(storage: Storage) -> None:
    content = bytes(range(256)) * 100_000
    storage.write("large", content)
    assert storage.read("large") == content


def test_names_may_have_any_letters(storage: Storage) -> None:
    storage.write("a b/süß 100%?#&'\".json", b"x")
    assert storage.read("a b/süß 100%?#&'\".json") == b"x"
    assert storage.list("a b") == ["süß 100%?#&'\".json"]


def test_missing_file_is_no_error_of_the_storage(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read("nothing")
    with pytest.raises(FileNotFoundError):
        storage.rename("nothing", "something")
    storage.delete("nothing")
    assert storage.list() == storage.list("nothing") == storage.read_lines("lines.jsonl") == []
    assert storage.files() == set()
    assert list(storage.read_each(["nothing", "neither/nor"])) == [None, None]
    assert list(storage.read_each([])) == []
    assert not storage.exists("nothing")


def test_folders_are_listed_by_name_and_by_all_that_is_below(storage: Storage) -> None:
    for path in ("manifest.json", "trials/b/done.json", "trials/a/done.json", "trials/a/x.pt"):
        storage.write(path, path.encode())
    assert storage.list() == ["manifest.json", "trials"]
    assert storage.list("trials") == ["a", "b"]
    assert storage.files("trials") == {"trials/a/done.json", "trials/a/x.pt", "trials/b/done.json"}
    assert storage.exists("manifest.json")
    assert not storage.exists("trials")
    paths = ["trials/b/done.json", "trials/c/done.json", "trials/a/done.json"]
    assert list(storage.read_each(paths)) == [b"trials/b/done.json", None, b"trials/a/done.json"]
    assert list(storage.read_each(["manifest.json", "trials/a/x.pt"])) == [b"manifest.json", b"trials/a/x.pt"]


def test_file_is_renamed_and_deleted(storage: Storage) -> None:
    storage.write("trials/a/old", b"content")
    storage.rename("trials/a/old", "trials/a/new")
    assert storage.list("trials/a") == ["new"]
    assert storage.read("trials/a/new") == b"content"
    storage.delete("trials/a/new")
    assert storage.list("trials/a") == []
    assert storage.files() == set()


def test_of_many_creators_of_a_file_the_first_wins(storage: Storage) -> None:
    assert [storage.create("file", content) for content in (b"1", b"2", b"3")] == [True, False, False]
    assert storage.read("file") == b"1"
    assert storage.list() == ["file"]


def test_of_creators_at_the_same_moment_one_wins(storage: Storage) -> None:
    won, start = [], threading.Barrier(3)

    def create(content: bytes) -> None:
        start.wait()
        if storage.create("file", content):
            won.append(content)

    threads = [threading.Thread(target=create, args=(b"%d" % number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [storage.read("file")] == won


def test_added_lines_are_read_back_in_order_from_several_writers(root: str) -> None:
    first, second = opened(root), opened(root)
    first.write("manifest.json", b"")
    for number in range(3):
        first.append("events.jsonl", json.dumps({"first": number}))
    first.flush()
    second.append("events.jsonl", '{"second": "é"}')
    second.flush()
    first.append("events.jsonl", '{"first": 3}')
    first.flush()
    lines = [json.loads(line) for line in opened(root).read_lines("events.jsonl")]
    assert [line["first"] for line in lines if "first" in line] == [0, 1, 2, 3]
    assert [line["second"] for line in lines if "second" in line] == ["é"]


def test_lines_of_both_kinds_are_read_from_a_copy(storage: Storage) -> None:
    storage.write("events.jsonl", b"of a folder\n")
    storage.write("events-20260101T000000-0a-0000.jsonl", b"of a bucket\n")
    storage.write("other-20260101T000000-0a-0000.jsonl", b"of something else\n")
    assert sorted(storage.read_lines("events.jsonl")) == ["of a bucket", "of a folder"]


def test_a_folder_is_called_by_the_last_part_of_its_path(storage: Storage) -> None:
    assert storage.folder("a/b c+?&=.d").name == "b c+?&=.d"
    assert opened(str(storage.folder("experiments/smoke"))).name == "smoke"


def test_storage_is_opened_again_by_its_name(storage: Storage) -> None:
    folder = storage.folder("an experiment").folder("100%")
    folder.write("file", b"content")
    assert opened(str(folder)).read("file") == b"content"
    assert storage.read("an experiment/100%/file") == b"content"


def test_probe_and_refused_work_leave_nothing_behind(storage: Storage, left: Callable[[], list[str]]) -> None:
    storage.folder("mnist").check_writable()
    assert left() == []
    with storage.folder("mnist").no_empty_folders():
        storage.folder("mnist").check_writable()
        storage.folder("mnist").write("lock.json", b"{}")
        storage.folder("mnist").delete("lock.json")
    assert left() == []


def test_what_was_there_before_stays(storage: Storage) -> None:
    storage.write("other/file", b"mine")
    with storage.folder("mnist").no_empty_folders():
        storage.folder("mnist").check_writable()
    assert storage.files() == {"other/file"}
    with storage.folder("mnist").no_empty_folders():
        storage.folder("mnist").write("manifest.json", b"{}")
    assert storage.files() == {"other/file", "mnist/manifest.json"}
    storage.remove_abandoned()
    assert storage.files() == {"other/file", "mnist/manifest.json"}


def test_a_whole_experiment_and_its_report_need_no_more_than_five_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Memory, "files_of_all", {}, raising=False)
    roots = Memory("memory:/sweeps").folder("made up"), LocalStorage(tmp_path / "sweeps" / "made up")
    written = []
    for number, root in enumerate(roots):
        with Lock(root, on_lost=lambda: None):
            experiment = write_experiment(
                root,
                lambda point, seed: {"relu": 0.9, "tanh": 0.8, "sigmoid": 0.7}[point["activation"]] + 0.01 * seed,
                rng=np.random.default_rng(1),
                failed=["deep-tanh-hinge"],
                missing=["deep-relu-hinge"],
            )
        root.flush()
        root.remove_abandoned()
        assert "lock.json" not in root.list()
        write_report([read_state(experiment)], tmp_path / f"report-{number}")
        written.append({file.name: file.read_bytes() for file in (tmp_path / f"report-{number}").rglob("*.csv")})
    records = [read_state(Experiment(root)) for root in roots]
    assert len(written[0]) > 5
    assert written[0] == written[1]
    assert records[0].done == records[1].done
    assert len(records[0].failed) == 1
    assert records[0].events[-1]["event"] == "run_finished"
    assert list_experiments(Memory("memory:/sweeps")) == ["made up"]
    stored = {file for file in Memory.files_of_all if "/events-" not in file}
    assert stored == {f"memory:/sweeps/made up/{file}" for file in roots[1].files() - {"events.jsonl"}}


def test_a_trial_goes_on_from_what_it_left_in_any_storage(
    storage: Storage, digits: Dataset, make_trial: Callable[..., TrialConfig]
) -> None:
    experiment, trial = Experiment(storage.folder("e")), make_trial(epochs=3)
    for _ in range(2):
        TrialRun(trial, digits, experiment).step()
    assert experiment.checkpointed_epochs() == {trial.trial_id: 2}
    newest = experiment.storage.list(f"trials/{trial.trial_id}")[-1]
    experiment.storage.write(f"trials/{trial.trial_id}/{newest}", b"damaged")
    assert TrialRun(trial, digits, experiment).epoch == 1
    assert f"{newest}.corrupt" in experiment.storage.list(f"trials/{trial.trial_id}")
    run_trial(trial, digits, experiment)
    done = experiment.read_done(trial.trial_id)
    assert done
    assert len(done.rows[0].values) == 3


def test_a_second_driver_is_refused_and_a_dead_one_replaced_in_any_storage(storage: Storage) -> None:
    with Lock(storage, on_lost=lambda: None), pytest.raises(ExperimentError, match="is in use by process"):
        Lock(storage, on_lost=lambda: None).__enter__()
    assert storage.list() == []
    mine = this_process().replace("-", "-1")  # the PID of a living process, the start of none
    storage.write("lock.json", json.dumps({"process": mine, "heartbeat": 0, "token": "dead"}).encode())
    with Lock(storage, on_lost=lambda: None):
        holder = read_holder(storage)
        assert holder
        assert holder["token"] != "dead"
    assert storage.list() == []


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("gs://bucket/x", "storage gs:// is not supported; give a folder or s3://bucket/prefix"),
        ("s3://", "write s3://bucket/prefix"),
        ("s3://bucket/a/../b", "write s3://bucket/prefix"),
        ("s3://bucket/a//b", "write s3://bucket/prefix"),
        ("s3://bucket/a#b", "write s3://bucket/prefix"),
        ("s3://bucket/a?regoin=x", "unknown option 'regoin' in the --storage URI; choose from endpoint_override"),
        ("s3://AKIA:hunter2@bucket/a", "has credentials in it, which would be written down; leave them out and give"),
        ("s3://bucket/a?access_key=AKIA&secret_key=hunter2", "has credentials in it"),
        ("s3://bucket/a?session_token=hunter2", "has credentials in it"),
        ("s3://bucket/a?endpoint_override=http://AKIA:hunter2@host", "has credentials in it"),
        ("s3://bucket/a?endpoint_override=http%3A%2F%2FAKIA%3Ahunter2%40host", "has credentials in it"),
        ("s3://bucket/a?endpoint_override=http://AKIA:hunter2%2540host", "has credentials in it"),
        ("s3://bucket/a?endpoint_override=AKIA:hunter2", "that cannot be one; write http://host:9000"),
        ("s3://bucket/a?endpoint_override=http://host/?secret=hunter2", "that cannot be one; write http://host:9000"),
        ("s3://bucket/a?region=hunter2@host", "has credentials in it"),
        ("s3://bucket/a?region=AKIA:hunter2", "that cannot be one; write eu-west-1"),
        ("s3://bucket/a?scheme=http://hunter2", "that cannot be one; write http or https"),
        ("s3://bucket/a?http://AKIA:hunter2@host", "has credentials in it"),
        ("s3://bucket/a?AKIA/hunter2", "unknown option in the --storage URI"),
        ("s3://bucket/a?aws_secret=hunter2", "has credentials in it"),
        ("s3://bucket/a#hunter2", "write s3://bucket/prefix"),
        ("s3://AKIA:hunter2%40bucket/a", "has credentials in it"),
        ("s3://AKIA:hunter2/a", "write s3://bucket/prefix"),
        ("s3://[hunter2/a", "write s3://bucket/prefix"),
        ("s3:/AKIA:hunter2@bucket/a", "give a folder or s3://bucket/prefix"),
        ("S3://AKIA:hunter2@bucket/a", "give a folder or s3://bucket/prefix"),
        ("https://AKIA:hunter2@host/bucket", "give a folder or s3://bucket/prefix"),
    ],
)
def test_a_root_that_cannot_be_used_is_one_line_without_secrets(root: str, says: str) -> None:
    with pytest.raises(StorageError) as error:
        open_storage(root)
    assert says in str(error.value)
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "endpoint", ["store:9000", "http://10.0.0.1", "https://[::1]:9000/", "http://host/minio", "https://s3.x-y.org:443"]
)
def test_an_address_of_a_store_is_an_option_as_it_is_written(endpoint: str) -> None:
    uri = f"s3://bucket/team?endpoint_override={endpoint}"
    assert unquote(str(open_storage(uri))) == uri


def test_options_of_a_uri_go_with_it_to_whoever_opens_it() -> None:
    uri = "s3://bucket/team?region=eu-west-1&endpoint_override=http://store:9000"
    assert str(open_storage(uri).folder("mnist")) == (
        "s3://bucket/team/mnist?region=eu-west-1&endpoint_override=http://store:9000"
    )
    assert str(open_storage("s3://bucket")) == "s3://bucket/"
    assert str(open_storage("s3://bucket").folder("mnist")) == "s3://bucket/mnist"
