"""Ray: a cluster to train on, and one Ray trial per grid point still to do.

The only room that imports ray. Ray schedules and restarts; what happened is read from the experiment's files.

    cluster.py    starts a private local cluster or joins the user's
    guard.py      a small process that outlives a killed driver and ends the Ray processes it left behind
    head.py       what is at an address before Ray joins it, and whether what Ray needs still lives; uses probe.py
    nodes.py      what nodes offer, and whether they are like the driver: versions, storage path
    private.py    what a private Ray needs of this machine, and why it has not started
    submit.py     hands a sweep to a cluster through Ray's job API
    trials.py     runs trials through Tune and passes on what they report; imports Ray, so it is imported last
"""

from sweep.tuning.cluster import Cluster
from sweep.tuning.nodes import ask_worker, check_nodes, check_resources, local_node, share_of_gpu
from sweep.tuning.private import check_private_ray

__all__ = ["Cluster", "ask_worker", "check_nodes", "check_private_ray", "check_resources", "local_node", "share_of_gpu"]
