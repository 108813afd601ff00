"""An experiment every text of which wants to be more than a text."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from made_up import made_up_sweep, write_experiment

from sweep.records import Experiment

WANTS = (
    "<script>ran()</script><img src=x onerror=ran()></title></style></text></svg></script><svg onload=ran()>"
    "\" onmouseover=\"ran() ' autofocus onfocus='ran() --> ]]> {{ ran() }} {% raise %} &lt;b&gt; &#60; "
    "[link](https://evil.example/a) <https://evil.example/b> https://evil.example/c www.evil.example "
    "javascript:ran() ![x](https://evil.example/d.png) **bold** __bold__ *it* ~~no~~ `code` ``` | a | b | # no > quote "
    "$x^2$ $$ \\frac{1}{2} \\input{/etc/passwd} \\write18{x} %comment {brace ~ ^ ../../../../escaped /etc/escaped "
    'url(#x) href="#y" #010203 \x01mark\x04 \x02mark\x04 \x03a\x05https://evil.example\x04 \x00\x07\x1b[31m\r\n\n\n'
    "## heading\n\t- item \u2028\u202e 漢字 ไทย 🙂 \N{COMBINING ACUTE ACCENT} a = b depth=c = d "
)


def hostile(what: str) -> str:
    """A text of 1,000 letters that says which one it is."""
    return f"=HYPERLINK({what}) {WANTS}{'x' * 1000}"[:1000] + f" end of {what}"


def write_hostile_experiment(folder: Path, **details: Any) -> Experiment:
    """Writes an experiment with three depths, two activations and two losses, one trial of which failed."""
    axes = {"depth": ["shallow", "medium", "deep"], "activation": ["relu", "tanh"], "loss": ["hinge", "cross_entropy"]}
    sweep = made_up_sweep(axes=axes, seeds=[0, 1])
    experiment = write_experiment(
        folder, lambda point, seed: 0.5 + len(point["depth"]) / 20 + len(point["loss"]) / 99 + 0.01 * seed,
        rng=np.random.default_rng(0), sweep=sweep, failed=["deep-tanh-hinge"], classes=4, test_size=200, **details,
    )  # fmt: skip
    manifest = experiment.read_manifest()
    assert manifest
    names = {name: hostile(name) for values in axes.values() for name in values}
    for trial in manifest.trials:
        if experiment.read_error(trial.trial_id):
            experiment.clear_error(trial.trial_id)
            experiment.write_error(trial.trial_id, "Traceback\n" + hostile("error").replace("\n", " "))
    experiment.write_manifest(
        dataclasses.replace(
            manifest,
            name=hostile("name"),
            trials=tuple(
                dataclasses.replace(
                    trial,
                    **{axis: names[getattr(trial, axis)] for axis in axes},
                    dataset=hostile("data"),
                    dataset_sha256=hostile("hash"),
                    engine=hostile("engine"),
                )
                for trial in manifest.trials
            ),
            sweep=dataclasses.replace(
                manifest.sweep,
                name=hostile("sweep"),
                dataset=hostile("data"),
                axes=tuple(
                    dataclasses.replace(axis, values=tuple(names.get(value, value) for value in axis.values))
                    for axis in sweep.axes
                ),
                layers={names[name]: units for name, units in sweep.layers.items()},
                engine=hostile("engine"),
            ),
            dataset=dataclasses.replace(
                manifest.dataset,
                name=hostile("data"),
                sha256=hostile("hash"),
                target_names=tuple(hostile(f"class {number}") for number in range(4)),
            ),
            commands=(hostile("command"),),
            created=hostile("created"),
            versions={hostile("package"): hostile("version")},
            fingerprint=manifest.fingerprint | {hostile("key"): hostile("fingerprint")},
            hardware={hostile("part"): hostile("hardware"), "gpus": [hostile("gpu")]},
            commit=hostile("commit"),
        )
    )
    experiment.log_event(hostile("event"), trial_id=hostile("trial"))
    return experiment
