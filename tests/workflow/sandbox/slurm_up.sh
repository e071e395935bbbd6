#!/bin/bash
# A one-node Slurm in a folder, for tests: as root, without systemd, cgroups or a database, with two GPUs that are none.
# usage: SLURM_SANDBOX=FOLDER slurm_up.sh
set -euo pipefail
D=${SLURM_SANDBOX:?set SLURM_SANDBOX to a folder for the sandbox}
mkdir -p "$D"/{state,spool,log,run,gpu}
HOST=$(hostname -s)
MEMORY=$(awk '/MemTotal/{print int($2/1024*0.9)}' /proc/meminfo)
# A GPU has to be a device node: these are copies of /dev/null.
for i in 0 1; do [ -c "$D/gpu/gpu$i" ] || mknod "$D/gpu/gpu$i" c 1 3; done
cat > "$D/slurm.conf" <<C
ClusterName=sandbox
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=3600
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
AccountingStorageType=accounting_storage/none
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$MEMORY Gres=gpu:fake:2 State=UNKNOWN
PartitionName=all Nodes=$HOST Default=YES MaxTime=INFINITE State=UP
C
cat > "$D/gres.conf" <<C
AutoDetect=off
NodeName=$HOST Name=gpu Type=fake File=$D/gpu/gpu[0-1]
C
# Job steps lose every SLURM_* variable, so the configuration has to lie where Slurm looks by itself.
mkdir -p /etc/slurm /run/munge
ln -sf "$D/slurm.conf" /etc/slurm/slurm.conf
ln -sf "$D/gres.conf" /etc/slurm/gres.conf
unset SLURM_CONF
[ -s "$D/munge.key" ] || { head -c 1024 /dev/urandom > "$D/munge.key"; chmod 600 "$D/munge.key"; }
munged --force --key-file="$D/munge.key" --pid-file="$D/run/munged.pid" --log-file="$D/log/munged.log" \
  --seed-file="$D/run/munged.seed"
slurmctld
slurmd
for _ in $(seq 60); do
  [ "$(timeout 3 sinfo -h -o %T 2>/dev/null | head -1)" = idle ] && exit 0
  sleep 0.5
done
echo "the node did not become idle; see $D/log" >&2
exit 1
