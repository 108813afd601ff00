"""Loops: what trains the replicates of a grid point. The first of `sweep.pieces.LOOPS` that takes a trial trains it.

    contract.py   what every loop does, and what it is given
    torch.py      the reference: plain PyTorch, with the model and the losses that come with the package
    stacked/      the same numbers, close to the hardware's limit, for what has its step written out

Which loop trains a trial is part of what decides its numbers, so it is written into the trial (`engine`).
"""
