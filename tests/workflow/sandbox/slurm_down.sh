#!/bin/bash
# Stops what slurm_up.sh started in the same folder.
D=${SLURM_SANDBOX:?set SLURM_SANDBOX to the folder of the sandbox}
for name in slurmd slurmctld munged; do
  [ -s "$D/run/$name.pid" ] && kill "$(cat "$D/run/$name.pid")" 2>/dev/null
done
for link in /etc/slurm/slurm.conf /etc/slurm/gres.conf; do
  [ -L "$link" ] && rm -f "$link"
done
exit 0
