"""Keeps Ray from starting processes that a sweep has no use for: each is a Python that imports for a second or more.

Ray has no options for this. Where a later Ray is built differently, these have no effect and it starts whole.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def without_onlookers() -> Iterator[None]:
    """Lets `ray.init` leave out autoscaler, log monitor and dashboard while this context is open."""
    node: Any = importlib.import_module("ray._private.node")
    whole: Any = node.Node

    class LeanNode(whole):  # type: ignore[misc]
        def start_monitor(self) -> None:
            """The autoscaler: one machine cannot grow."""

        def start_log_monitor(self) -> None:
            """What brings the output of workers to the driver, which does not want it."""

        def start_api_server(self, **options: Any) -> None:
            """The dashboard, which is started even where it is not included."""

    node.Node = LeanNode
    try:
        yield
    finally:
        node.Node = whole


def use_waiting_workers() -> None:
    """Lets Tune's actors run in the workers that Ray has started ahead of them.

    Tune asks for an environment of their own, so Ray would start further workers and leave those waiting. It consists
    of a variable for Lightning, and of the driver's AWS keys, which had better not travel: a node has its own.
    """
    from ray.tune.execution import class_cache

    for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE"):
        getattr(class_cache, name, set()).clear()
