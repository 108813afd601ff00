"""The stacked engine: the numbers of the reference engine, close to the hardware's limit.

The R replicates of a grid point live in flat buffers and are trained step by step together. Forward and backward are
written out into buffers made once, a step is a prepared list of calls, Adam is one of them: so what autograd, Python
and allocation cost is gone, and nearly all time goes to the matrix products.

`buffers` holds parameters and activations; `calls` writes a step out; `steps` repeats it, in one way on the CPU and in
one on a CUDA device, as a graph; `device` owns streams, graphs and the data on such a device; `engine` puts them
together; `check` compares its numbers with those of the reference engine, for `sweep.selfcheck`.

Axis letters: R replicates, S steps, B images of a batch, N images, D inputs, C classes, P parameters of one replicate.
"""

from sweep.stacked.engine import StackedEngine

__all__ = ["StackedEngine"]
