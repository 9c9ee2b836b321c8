#!/bin/bash
# Trains on two nodes of four GPUs: sbatch examples/slurm_train.sh recipe.toml /shared/run
# Both paths are on a disk that all nodes see. Submitted again, it goes on from its last checkpoint.
#SBATCH --job-name=keras-clip
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
# One task a GPU. Each must see all GPUs of its node, of which JAX takes the one of its number: no
# --gpus-per-task, which would show each a single one.
#SBATCH --gpus-per-node=4
#SBATCH --gpu-bind=none
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
# Two minutes before the end, for a last checkpoint.
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
set -euo pipefail
export KERAS_BACKEND=jax

# The tasks find each other by SLURM's variables.
srun keras-clip train "$1" --output "$2"
