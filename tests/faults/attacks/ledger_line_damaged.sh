#!/bin/bash
# one damaged line of sweep.jsonl (the `started` of a job that has finished): the sweep is still shown and resumed
. "$(dirname "$0")/lib.sh"; r=""
timeout 100 dltrain -m $TINY epochs=1 seed=1,2 hydra.sweep.dir=sw >made.log 2>&1 || { tail -2 made.log; exit 2; }
python - <<'P'
L=open("sw/sweep.jsonl").read().split("\n"); i=[n for n,l in enumerate(L) if '"started", "job": 0' in l][0]
L[i]=L[i].replace('"job": 0','"job" 0'); open("sw/sweep.jsonl","w").write("\n".join(L))
P
dltrain compare sweep=sw >out 2>err; c=$?; [ $c = 0 ] || r="$r [compare: $c $(tail -1 err)]"
timeout 100 dltrain -m resume=sw >out 2>err; c=$?; [ $c = 0 ] || r="$r [-m resume: $c $(tail -1 err)]"
dltrain eval run=sw >out 2>err; c=$?; [ $c = 0 ] || r="$r [eval run=sw: $c $(tail -1 err)]"
[ "$r" ] && bad "$r"; good "the rest is shown"
