"""What a sweep file may name, each kind in one table from name to import path.

A further activation or loss is an entry here, and for a loss its function. Imports nothing but the standard library,
so that `sweep.config` can read the names; what they stand for is imported when it is first used.
"""

import importlib
from typing import Any

# Classes of modules, made without arguments.
ACTIVATIONS = {"relu": "torch.nn.ReLU", "sigmoid": "torch.nn.Sigmoid", "tanh": "torch.nn.Tanh"}
# From outputs `[N, C]` and targets `[N]` to the mean over the N samples.
LOSSES = {
    "cross_entropy": "sweep.loops.torch.cross_entropy",
    "sparse_cross_entropy": "sweep.loops.torch.sparse_cross_entropy",
    "hinge": "sweep.loops.torch.hinge",
}
# In order of preference: the first that does not refuse a trial trains it (`sweep.loops.contract.LoopModule`).
LOOPS = {"stacked": "sweep.loops.stacked", "reference": "sweep.loops.torch"}
# The loops that have a choice of what multiplies matrices on a CPU, and for each choice the step that is made for it.
WITH_PRODUCTS = ("stacked",)
PRODUCTS = {
    "torch": "sweep.loops.stacked.step.HostStep",
    "numpy": "sweep.loops.stacked.products.NumpyStep",
    "numpy_cut": "sweep.loops.stacked.products.CutNumpyStep",
}


def load(path: str) -> Any:
    """Imports what a path names: something in a module, or a module."""
    module, _, name = path.rpartition(".")
    found = importlib.import_module(module)
    return getattr(found, name) if hasattr(found, name) else importlib.import_module(path)
