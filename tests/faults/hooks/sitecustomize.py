"""Imported by every Python process of a fault test: keeps the ledger, and makes faults happen.

The product knows nothing of this. Beside a storage path lies a folder `faults`, shared by all its processes:

    ledger.txt     a line for each epoch trained and each trial finished, written before anything is saved
    faults.json    what is to go wrong, read anew at every occasion:
                   {"kill_before_rename": "*/done.json"}     SIGKILL between a file's writing and its renaming
                   {"refuse_rename": "*/done.json", "errno": 5}    an error of the file system instead of the renaming
                   {"raise_in": "*hinge*"}                   an error in the code of these trials
                   {"kill_before_put": "*/done.json"}        the same before the put of an object
                   {"slow_epoch_s": 0.2}                     time for a fault to land within an epoch
                   all but the last happen once, or "times" times
"""

import fnmatch
import importlib.machinery
import json
import os
import signal
import sys
import time
from pathlib import Path


class _Wrapper:
    """Wraps modules when they are imported; importing them here would load torch into every process."""

    def find_spec(self, name, path=None, target=None):
        wrap = _WRAPPED.get(name)
        if not wrap:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            wrap(module)

        spec.loader.exec_module = exec_module
        return spec


def _wrap_report(module):
    # Seconds for each of many runs, for something that other tests are about.
    module.write_report = lambda experiments, folder: folder / "none in a fault test"


def _wrap_trial(module):
    train_epoch, write_done = module.TrialRun._train_epoch, module.Experiment.write_done

    def train_epoch_with_faults(run):
        trial_id, folder = run._trial.trial_id, _folder(run._experiment.storage)
        for index, fault in enumerate(_faults(folder)):
            time.sleep(fault.get("slow_epoch_s", 0))
            if fnmatch.fnmatch(trial_id, fault.get("raise_in", "")) and _claim(folder, index, fault):
                raise RuntimeError("a fault in the code of this trial")
        train_epoch(run)
        _note(folder, trial_id, run.epoch)

    def write_done_with_note(experiment, record):
        write_done(experiment, record)
        _note(_folder(experiment.storage), record.trial_id, "done")

    module.TrialRun._train_epoch = train_epoch_with_faults
    module.Experiment.write_done = write_done_with_note


def _fails_at(rename):
    def rename_or_fail(source, target, **options):
        for parent in list(Path(target).parents)[:4]:
            folder = parent.parent / "faults"
            for index, fault in enumerate(_faults(folder)):
                if fnmatch.fnmatch(str(target), fault.get("kill_before_rename", "")) and _claim(folder, index, fault):
                    os.kill(os.getpid(), signal.SIGKILL)
                if fnmatch.fnmatch(str(target), fault.get("refuse_rename", "")) and _claim(folder, index, fault):
                    raise OSError(fault["errno"], os.strerror(fault["errno"]), str(target))
        return rename(source, target, **options)

    return rename_or_fail


def _wrap_s3(module):
    # A minute for each of several tests.
    module.PATIENCE_S = float(os.environ.get("SWEEP_FAULT_PATIENCE_S", module.PATIENCE_S))
    write = module.ObjectStorage.write

    def write_or_die(storage, path, content):
        folder = _folder(storage)
        for index, fault in enumerate(_faults(folder)):
            if fnmatch.fnmatch(path, fault.get("kill_before_put", "")) and _claim(folder, index, fault):
                os.kill(os.getpid(), signal.SIGKILL)
        write(storage, path, content)

    module.ObjectStorage.write = write_or_die


def _wrap_head(module):
    # Ray itself is patient for longer; a test need not be.
    module.HEAD_SILENT_S = 5.0


def _folder(storage):
    given = os.environ.get("SWEEP_FAULT_FOLDER")
    return Path(given) if given else storage.root.parent.parent / "faults"


def _faults(folder):
    try:
        return json.loads((folder / "faults.json").read_text())
    except OSError:
        return []


def _claim(folder, index, fault):
    for use in range(fault.get("times", 1)):
        try:
            os.close(os.open(folder / f"happened-{index}-{use}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return True
    return False


def _note(folder, trial_id, what):
    if folder.is_dir():
        ledger = os.open(folder / "ledger.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(ledger, f"{time.time():.3f} {os.getpid()} {trial_id} {what}\n".encode())
        os.close(ledger)


_WRAPPED = {
    "sweep.trial": _wrap_trial,
    "sweep.report": _wrap_report,
    "sweep.tuning.head": _wrap_head,
    "sweep.storage.s3": _wrap_s3,
}
sys.meta_path.insert(0, _Wrapper())
os.replace, os.link = _fails_at(os.replace), _fails_at(os.link)
