"""Asks a worker of a joined cluster what the numbers of a trial will depend on there.

A driver need not be like its workers: it may have no GPU, or another processor.
"""

from sweep.config import Resources
from sweep.plan import Worker


def ask_worker(resources: Resources, num_gpus: float) -> Worker:
    """Waits for a worker with the resources of a trial and gives its description."""
    import ray

    task = ray.remote(_describe).options(num_cpus=resources.num_cpus, num_gpus=num_gpus)
    answer: Worker = ray.get(task.remote(resources.num_cpus, "cuda" if num_gpus else "cpu"))
    return answer


def _describe(num_threads: int, device: str) -> Worker:
    from sweep.trial import describe_worker

    return describe_worker(num_threads=num_threads, device=device)
