"""A storage path that is full or cannot be written: real mounts, skipped where mounting is not allowed."""

import errno
import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from harness import NAME, WORDS, Case, Driver, Numbers, check_promise, resume_command


@pytest.fixture
def small_disk(case: Case) -> Iterator[Case]:
    """A case whose storage path is a file system of its own, of 8 MB."""
    case.storage.mkdir()
    _mount(case, "-t", "tmpfs", "-o", "size=8m", "tmpfs")
    yield case
    subprocess.run(["umount", str(case.storage)], check=True)


def test_full_disk_stops_the_sweep_and_harms_nothing(small_disk: Case, cluster: str, truth: dict[str, Numbers]) -> None:
    case = small_disk
    filler = case.storage / "filler"
    case.set_faults({"slow_epoch_s": 0.1})
    run = case.start("run", *WORDS, address=cluster)
    run.until_epochs(4)
    _fill(filler)
    assert run.wait() == 1, run.output
    assert f"cannot use {case.storage}" in run.output
    assert "no space is left; free some, then run the same command again" in run.output
    assert "retrying" not in run.output
    assert "Traceback" not in run.output
    resume_command(run.last_line)

    refused = case.sweep("resume", NAME, address=cluster)
    assert refused.process.returncode == 2, refused.output
    assert "free some" in refused.last_line
    assert "Ray" not in refused.output
    for file in case.storage.rglob("*.json"):
        json.loads(file.read_bytes())

    filler.unlink()
    case.set_faults()
    again = case.sweep("resume", NAME, address=cluster)
    assert again.process.returncode == 0, again.output
    check_promise(case, truth)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "number"),
    [("checkpoint-000003-*", errno.EIO), ("predictions.npz", errno.ESTALE), ("done.json", errno.ENOTCONN)],
)
def test_an_error_of_the_disk_or_its_network_stops_the_sweep_and_blames_no_trial(
    case: Case, cluster: str, truth: dict[str, Numbers], file: str, number: int
) -> None:
    case.set_faults({"refuse_rename": f"*/trials/*-tanh-hinge-*/{file}", "errno": number})
    run = case.sweep("run", *WORDS, address=cluster)
    assert run.process.returncode == 1, run.output
    assert os.strerror(number) in run.output
    check_nobody_is_blamed(case, run)
    case.set_faults()
    again = case.sweep("resume", NAME, address=cluster)
    assert again.process.returncode == 0, again.output
    check_promise(case, truth)


@pytest.mark.slow
def test_a_mount_that_is_lost_stops_the_sweep_and_nothing_is_written_in_its_place(
    case: Case, cluster: str, truth: dict[str, Numbers]
) -> None:
    disk = case.folder / "disk"
    disk.mkdir()
    case.storage.mkdir()
    mount = ("--bind", str(disk))
    _mount(case, *mount)
    case.set_faults({"slow_epoch_s": 0.1})
    run = case.start("run", *WORDS, address=cluster)
    run.until_epochs(4)
    subprocess.run(["umount", "--lazy", str(case.storage)], check=True)
    assert run.wait() == 1, run.output
    assert "mount it again" in run.output
    check_nobody_is_blamed(case, run)
    assert list(case.storage.iterdir()) == []
    case.set_faults()
    _mount(case, *mount)
    try:
        again = case.sweep("resume", NAME, address=cluster)
        assert again.process.returncode == 0, again.output
        check_promise(case, truth)
    finally:
        subprocess.run(["umount", str(case.storage)], check=True)


def check_nobody_is_blamed(case: Case, run: Driver) -> None:
    """Fails unless a storage stopped the run in one line, followed by the command that goes on."""
    assert len([line for line in run.output.splitlines() if line.startswith("error: cannot use ")]) == 1
    assert "Traceback" not in run.output
    assert "FAILED" not in run.output
    assert "failed" not in run.last_line
    assert resume_command(run.last_line).startswith(f"sweep resume {NAME} --storage ")
    assert list(case.folder.rglob("error.txt")) == []


def test_too_little_space_is_found_before_training(small_disk: Case, cluster: str) -> None:
    refused = small_disk.sweep("run", *WORDS, "seeds=0..99", address=cluster)
    assert refused.process.returncode == 2
    assert "8.4 MB free, the sweep needs about" in refused.last_line
    assert list(small_disk.storage.iterdir()) == []


def test_read_only_storage_is_refused_in_one_line(small_disk: Case) -> None:
    case = small_disk
    subprocess.run(["mount", "-o", "remount,ro", str(case.storage)], check=True)
    refused = case.sweep("run", *WORDS)
    assert refused.process.returncode == 2
    assert len(refused.output.splitlines()) == 1
    assert "read-only" in refused.output
    doctor = case.sweep("doctor", *WORDS)
    assert doctor.process.returncode == 1
    assert "read-only" in doctor.output
    subprocess.run(["mount", "-o", "remount,rw", str(case.storage)], check=True)
    assert list(case.storage.iterdir()) == []


def _mount(case: Case, *words: str) -> None:
    mounted = subprocess.run(["mount", *words, str(case.storage)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")


def _fill(file: object) -> None:
    with open(str(file), "wb", buffering=0) as stream:
        try:
            for size in (65536, 1):
                while True:
                    stream.write(bytes(size))
                    if size == 1 and stream.tell() > 9_000_000:
                        return
        except OSError:
            return
