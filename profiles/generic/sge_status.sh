#!/bin/sh
# What SGE says of a job, in Snakemake's words: running, success or failed. A job that has just ended is known to
# neither command for a moment, until accounting has written it down.
if qstat -j "$1" >/dev/null 2>&1; then
  echo running
  exit
fi
for wait in 0 2 5 10; do
  sleep "$wait"
  ended=$(qacct -j "$1" 2>/dev/null) && break
done
case $(printf '%s\n' "$ended" | awk '/^exit_status/ {exits = $2} /^failed/ {failed = $2} END {print failed exits}') in
00) echo success ;;
"") echo running ;; # neither is reachable
*) echo failed ;;
esac
