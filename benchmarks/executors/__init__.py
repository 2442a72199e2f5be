"""Who executes runs, when and where: this machine, a Ray cluster, SLURM."""
