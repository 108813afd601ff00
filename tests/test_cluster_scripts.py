"""`scripts/cluster/`: what can be checked without such clusters, and the SLURM script for real on this machine."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts" / "cluster"
# Stand-ins that do on this machine what SLURM does on its nodes.
SRUN = '#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n'
SCONTROL = '#!/usr/bin/env bash\n[ "$1 $2" = "show hostnames" ] && hostname\n'


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """How to start the SLURM script in an allocation of one node: the environment and folder of a process."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_", "SLURM_"))}
    number = str(10_000_000 + os.getpid())
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), kept["PATH"]])
    environment = {"PATH": path, "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0", "COLUMNS": "200"}
    environment |= {"SLURM_JOB_ID": number, "SLURM_JOB_NODELIST": "here[1]", "SLURM_CPUS_PER_TASK": "2"}
    yield {"cwd": tmp_path, "env": kept | environment}
    deadline = time.monotonic() + 60
    while left := [process.pid for process in psutil.process_iter() if _in_allocation(process, number)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    subprocess.run(["rm", "-rf", f"/tmp/ray-{number}"], check=True)


def _in_allocation(process: psutil.Process, number: str) -> bool:
    try:
        return process.environ().get("SLURM_JOB_ID") == number
    except psutil.Error:
        return False


def _runs(command: str) -> None:
    """Fails unless the command line accepts the words, apart from where it would run."""
    words = shlex.split(command)
    assert words[:2] == ["sweep", "run"]
    assert words[words.index("--address") + 1] == "auto"
    assert "--storage" in words
    subprocess.run([sys.executable, "-m", *words, "--dry-run"], cwd=ROOT, capture_output=True, check=True)


def test_the_slurm_script_runs_a_sweep_on_its_nodes_and_passes_the_exit_code_on(slurm: dict[str, Any]) -> None:
    words = ["smoke", "depth=shallow", "activation=relu", "epochs=1", "--storage", "shared"]
    finished = subprocess.run(
        ["bash", SCRIPTS / "slurm.sh", *words], **slurm, capture_output=True, text=True, timeout=200, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "[3/3] shallow-relu-" in finished.stderr
    assert len(list((slurm["cwd"] / "shared" / "smoke" / "trials").glob("*/done.json"))) == 3
    (log,) = slurm["cwd"].glob("ray-*.log")
    assert log.stat().st_mode & 0o077 == 0
    assert "RAY_AUTH_TOKEN" not in log.read_text() + finished.stdout + finished.stderr


def test_the_slurm_script_ends_the_sweep_in_time_when_the_time_is_over(slurm: dict[str, Any]) -> None:
    words = ["smoke", "depth=deep", "activation=relu", "epochs=3000", "--storage", "shared"]
    script = subprocess.Popen(["bash", SCRIPTS / "slurm.sh", *words], **slurm, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((slurm["cwd"] / "shared").glob("smoke/trials/*/checkpoint-*")):
        assert script.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    script.send_signal(signal.SIGTERM)
    error = script.communicate(timeout=60)[1]
    assert script.returncode == 143, error
    assert "go on with: sweep resume smoke" in error
    events = (slurm["cwd"] / "shared" / "smoke" / "events.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["outcome"] == "interrupted"


def test_the_launcher_file_is_one_that_ray_accepts() -> None:
    config = yaml.safe_load((SCRIPTS / "launcher.yaml").read_text())
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    validate_config(prepare_config(config))
    spot = config["available_node_types"]["spot"]
    assert spot["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert config["head_node_type"] in config["available_node_types"]
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        for command in [*config["setup_commands"], *config[commands]]:
            subprocess.run(["bash", "-n", "-c", command], check=True)
    mounted = {Path(path).name: ROOT / source for path, source in config["file_mounts"].items()}
    assert (mounted["sweep"] / "pyproject.toml").exists()


def test_the_commands_in_the_launcher_file_are_ours() -> None:
    comments = [line.lstrip("# ") for line in (SCRIPTS / "launcher.yaml").read_text().splitlines() if line[:1] == "#"]
    (command,) = [line.strip("'") for line in comments if line.startswith("'sweep run")]
    _runs(command)


def test_the_rayjob_has_what_kuberay_needs_and_runs_a_command_of_ours() -> None:
    job = yaml.safe_load((SCRIPTS / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["metadata"]["name"]
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert set(spec) <= {"entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "rayClusterSpec"}
    assert set(cluster) <= {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == ray.__version__
    (workers,) = cluster["workerGroupSpecs"]
    assert 0 < workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    assert workers["groupName"]
    for group in (cluster["headGroupSpec"], workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= set(container)
        assert container["resources"]["requests"] == container["resources"]["limits"]
    images = {group["template"]["spec"]["containers"][0]["image"] for group in (cluster["headGroupSpec"], workers)}
    assert len(images) == 1
    _runs(spec["entrypoint"])


def test_the_script_is_whole() -> None:
    subprocess.run(["bash", "-n", SCRIPTS / "slurm.sh"], check=True)
    assert os.access(SCRIPTS / "slurm.sh", os.X_OK)
