"""Asks what the numbers of a trial will depend on where it is trained.

The driver of a joined cluster need not be like its workers: it may have no GPU, or another processor. So a worker
answers there; on a private cluster workers are like the driver, which answers itself.
"""

from sweep.config import Resources
from sweep.plan import Worker


def ask_worker(resources: Resources, num_gpus: float, *, joined: bool) -> Worker:
    """Gives the description of a worker; on a joined cluster waits for one with the resources of a trial."""
    trial = (resources.num_cpus, "cuda" if num_gpus else "cpu")
    if not joined:
        return _describe(*trial)
    import ray

    task = ray.remote(_describe).options(num_cpus=resources.num_cpus, num_gpus=num_gpus)
    answer: Worker = ray.get(task.remote(*trial))
    return answer


def _describe(num_threads: int, device: str) -> Worker:
    from sweep.trial import describe_worker

    return describe_worker(num_threads=num_threads, device=device)
