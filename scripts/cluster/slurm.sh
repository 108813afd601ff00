#!/usr/bin/env bash
# Runs a sweep on the nodes of a SLURM allocation, with the words and options of `sweep run`; its exit code is that of
# the sweep. `sweep` must be on the PATH of every node. To go on after any end, submit the same line again.
#
#   sbatch --nodes=4 scripts/cluster/slurm.sh mnist seeds=0..9 --storage /shared/experiments
#
#SBATCH --job-name=sweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
# Two minutes before the time limit the running epochs end and are written.
#SBATCH --signal=B:TERM@120
set -euo pipefail
umask 077

# Whoever reaches Ray's ports can run code: only holders of this token, which no command line shows, are let in.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # srun no longer takes it over from sbatch

# Ports of its own for each allocation, in case nodes are shared.
port=$((20000 + SLURM_JOB_ID % 2000 * 5))
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# The batch script runs on the first node; choose another of its addresses if the nodes talk over another network.
read -r ip _ < <(hostname -I)
address=$ip:$port
start=(ray start --block --disable-usage-stats "--num-cpus=$SLURM_CPUS_PER_TASK"
  "--dashboard-agent-listen-port=$((port + 2))" "--metrics-export-port=$((port + 3))")

srun --nodes=1 --ntasks=1 "--nodelist=${nodes[0]}" \
  "${start[@]}" --head "--port=$port" --include-dashboard=false \
  "--node-ip-address=$ip" "--temp-dir=/tmp/ray-$SLURM_JOB_ID" >"ray-$SLURM_JOB_ID.log" 2>&1 &
for _ in {1..60}; do
  ray health-check --address "$address" 2>/dev/null && break
  sleep 2
done
if ((${#nodes[@]} > 1)); then
  others=$(IFS=,; echo "${nodes[*]:1}")
  srun "--nodes=$((${#nodes[@]} - 1))" "--ntasks=$((${#nodes[@]} - 1))" "--nodelist=$others" \
    "${start[@]}" "--address=$address" >>"ray-$SLURM_JOB_ID.log" 2>&1 &
fi

# Nodes that join later get work too.
sweep run "$@" --address "$address" &
sweep=$!
trap 'kill -TERM "$sweep"' TERM INT
while kill -0 "$sweep" 2>/dev/null; do
  wait "$sweep" || true # a signal ends it before it ends the sweep
done
wait "$sweep" && code=0 || code=$?
mapfile -t nodes < <(jobs -p)
kill "${nodes[@]}" 2>/dev/null || true
wait || true
exit "$code"
