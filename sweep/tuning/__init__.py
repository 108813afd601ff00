"""Ray: a cluster to train on, and one Ray trial per grid point still to do.

The only room that imports ray. Ray schedules and restarts; what happened is read from the experiment's files.

    callbacks.py    what Tune calls in the driver
    cluster.py      starts a private local cluster or joins the user's, and checks that a trial can run on it
    guard.py        a small process that outlives a killed driver and ends the Ray processes it left behind
    join.py         finds out what is at an address before Ray joins it; probe.py is the program that asks
    lean.py         keeps Ray from starting processes that a sweep has no use for
    loop.py         runs trials through Tune, and passes on what they report
    private.py      what a private Ray needs of this machine, and why it has not started
    nodes.py        compares every node of a joined cluster with the driver: versions, storage path
    submit.py       hands a sweep to a cluster through Ray's job API
    trainable.py    what a worker executes
    workers.py      asks what the numbers of a trial will depend on where it is trained
    watch.py        notices that Ray's processes, or the head of a joined cluster, have ended under a running driver
"""

from sweep.tuning.cluster import Cluster, Node, check_resources, local_node, share_of_gpu
from sweep.tuning.loop import run_trials
from sweep.tuning.nodes import check_nodes
from sweep.tuning.private import check_private_ray
from sweep.tuning.workers import ask_worker

__all__ = [
    "Cluster",
    "Node",
    "ask_worker",
    "check_nodes",
    "check_private_ray",
    "check_resources",
    "local_node",
    "run_trials",
    "share_of_gpu",
]
