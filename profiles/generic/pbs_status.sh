#!/bin/sh
# What PBS says of a job, in Snakemake's words: running, success or failed. PBS forgets ended jobs after a while, and
# then qstat fails; so does it while the server cannot be reached, which must not end a job that runs.
told=$(qstat -x -f "$1" 2>&1)
case "$told" in
*"job_state = F"* | *"job_state = C"*)
  # Torque writes exit_status, PBS Exit_status; a job that was deleted has none, or not 0.
  case "$told" in
  *[Ee]"xit_status = 0"*) echo success ;;
  *) echo failed ;;
  esac
  ;;
*"Unknown Job"* | *"Unknown job"*) echo failed ;;
*) echo running ;;
esac
