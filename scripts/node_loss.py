"""Kills nodes of a real Ray cluster in the middle of a sweep, a fresh one for each, and checks that nothing is lost.

    scripts/node_loss.py                            27 grid points on digits, five nodes lost
    scripts/node_loss.py --nodes 3 --kills 10 --sweep mnist epochs=3

The cluster is a head without CPUs and nodes of one CPU each, on this machine, started by `ray start`. Each epoch waits
0.3 s, so that nodes are lost within trials. The numbers are compared with those of an uninterrupted sweep, trained
first and without Ray; what was trained is counted by the ledger of the fault tests (`tests/faults/`). The table is
Markdown.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "faults"))

from harness import Case, Driver, Numbers, mismatches, numbers, uninterrupted
from raylets import Node, Raylets

from sweep.config import load_sweep

_WORDS = ["smoke", "epochs=12"]
# Of each epoch: digits are trained faster than a node can be killed.
_SLOW_S = 0.3


def lose_nodes(case: Case, words: list[str], raylets: Raylets, kills: int, epochs: int, rng: random.Random) -> Driver:
    """Runs a sweep to its end; meanwhile a node that trains is killed and another started, again and again.

    Args:
        case: Where the sweep is stored.
        words: Of `sweep run`.
        raylets: The cluster that the driver joins.
        kills: How many nodes are lost, spread evenly over the epochs.
        epochs: Of all trials together.
        rng: Of the moments within an epoch.

    Returns:
        The driver, which has ended.
    """
    case.set_faults({"slow_epoch_s": _SLOW_S})
    run = case.start("run", *words, address=raylets.address)
    for kill in range(kills):
        run.until_epochs(epochs * (kill + 1) // (kills + 1))
        time.sleep(rng.uniform(0, _SLOW_S))
        while (node := _training_node(run, raylets)) is None:
            time.sleep(0.02)
        print(f"{len(run.new_rows)} of {epochs} epochs: {node.name} is killed", flush=True)
        raylets.kill(node)
        raylets.start().until_started()
    run.wait(600)
    return run


def table(case: Case, truth: dict[str, Numbers], run: Driver, kills: int) -> tuple[str, bool]:
    """What became of a sweep as a Markdown table, and whether the promise was kept.

    Args:
        case: Where the sweep was stored.
        truth: The numbers of the uninterrupted one, by trial.
        run: The driver, which has ended.
        kills: How many nodes were lost.
    """
    ledger = case.ledger
    finished = [trial_id for trial_id in truth if case.experiment.read_done(trial_id)]
    lost = len(truth) - len(finished)
    other = "not compared" if lost else len(mismatches(numbers(case.experiment), truth))
    rows = {
        "nodes killed": kills,
        "trials finished": len(finished),
        "epochs trained": sum(len(ledger.epochs(trial_id)) for trial_id in ledger.trial_ids),
        "epochs repeated": f"{ledger.repeated} (never more than {ledger.steps_back} of a trial at a time)",
        "finished trials run again": len(ledger.rerun),
        "trials lost": lost,
        "trials with other numbers": other,
    }
    kept = not run.process.returncode and not lost and other == 0 and not ledger.rerun and ledger.steps_back <= 1
    lines = ["| node loss | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines), kept


def _training_node(run: Driver, raylets: Raylets) -> Node | None:
    """The node of the worker that trained last, if its trial goes on."""
    _, pid, _, what = run.new_rows[-1]
    return next((node for node in raylets.nodes if what != "done" and node.has(pid)), None)


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=2, help="of one CPU each, beside the head")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of the random moments")
    parser.add_argument("--sweep", nargs="+", metavar="WORD", help="a built-in sweep and what to change in it")
    given = parser.parse_args()
    words = given.sweep or _WORDS
    print(f"seed {given.seed}; first the uninterrupted numbers of: {' '.join(words)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sweep-nodes-") as folder:
        truth = uninterrupted(Path(folder) / "uninterrupted", words)
        epochs = load_sweep(words[0], words[1:]).epochs * len(truth)
        case, raylets = Case(Path(folder) / "experiment", name=words[0]), Raylets(given.nodes)
        try:
            begun = time.monotonic()
            run = lose_nodes(case, words, raylets, given.kills, epochs, random.Random(given.seed))
            print(f"{time.monotonic() - begun:.0f} s with {given.nodes} nodes of one CPU\n\n{run.output}")
        finally:
            case.end()
            raylets.end()
        text, kept = table(case, truth, run, given.kills)
    print(text)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
