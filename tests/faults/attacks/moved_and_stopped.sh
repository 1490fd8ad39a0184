#!/bin/bash
# the folder of a run is moved while it trains; and a run that is paused by SIGSTOP
. "$(dirname "$0")/lib.sh"; r=""
dltrain $TINY epochs=100000 checkpoint.min_seconds=0.2 hydra.run.dir=run >out 2>err & pid=$!
for i in $(seq 100); do [ -e run/checkpoints/last ] && break; sleep 0.2; done
mv run moved; for i in $(seq 40); do kill -0 $pid 2>/dev/null || break; sleep 0.2; done; kill -9 $pid 2>/dev/null; wait $pid; c=$?; echo "moved: $c $(tail -1 err)"; [ $c = 6 ] && ! grep -q Traceback err || r="$r [moved: $c]"; [ -e run ] && r="$r [a new folder run: $(ls -a run | tr '\n' ' ')]"
dltrain resume=moved epochs=100001 max_steps=1 >out2 2>err2; c2=$?; echo "resume=moved: $c2 $(tail -1 err2)"
dltrain $TINY epochs=20 hydra.run.dir=s >out 2>err & pid=$!
for i in $(seq 100); do [ -e s/metrics.csv ] && break; sleep 0.05; done; kill -STOP $pid; sleep 2; kill -CONT $pid; wait $pid; c=$?; [ $c = 0 ] || r="$r [stopped and continued: $c]"
[ "$r" ] && bad "$r"; good "said; continued"
