"""What a worker of a private Ray imports as it starts, while the driver still does the same; a trial would wait later.

Nearly all that large libraries make as they are imported lives to the end: to look through it for garbage again and
again takes a quarter of the time. Frozen, it is not looked through later either.
"""

import gc
import importlib

gc.disable()
try:
    for name in ("torch", "ray.tune", "sweep.trial", "sweep.tuning.trials"):
        importlib.import_module(name)
    gc.freeze()
finally:
    gc.enable()
