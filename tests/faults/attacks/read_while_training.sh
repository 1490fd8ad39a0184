#!/bin/bash
# eval, predict, runs and compare look at a run that is being written
. "$(dirname "$0")/lib.sh"
dltrain $TINY epochs=3000 monitor=loss optim.lr=1e-5 scheduler=constant checkpoint.min_seconds=0 hydra.run.dir=run >made.log 2>&1 & pid=$!
for i in $(seq 100); do [ -e run/checkpoints/best ] && break; sleep 0.2; done
python - <<'P'
from collections import Counter
from pathlib import Path
from trainer.runs import checkpoints as checkpoint, index as runs
from trainer.runs.folder import MetricsFile
found=Counter()
store=checkpoint.Store(Path("run/checkpoints"))
for i in range(3000):
    try: store.read("best"); found["best read"]+=1
    except Exception as e: found[f"best: {type(e).__name__}: {str(e).replace('0','')[:70]}"]+=1
    try:
        r=runs.look(Path("run")); found["look "+r.state]+=1
        MetricsFile(Path("run/metrics.csv")).rows()
    except Exception as e: found[f"look: {type(e).__name__}: {str(e)[:70]}"]+=1
for k,v in found.items(): print(v,k)
bad=sum(v for k,v in found.items() if k.startswith("best:") or k.startswith("look:"))
Path("bad").write_text(str(bad))
P
kill -9 $pid; wait $pid 2>/dev/null
[ "$(cat bad)" = 0 ] || bad "$(cat bad) of 3000 looks at the best weights failed while it trained"; good "each look was of something whole"
