#!/bin/bash
# a second `resume` of a run that is running is refused with 7 - and has written in its folder all the same
. "$(dirname "$0")/lib.sh"
dltrain $TINY epochs=200000 hydra.run.dir=run >made.log 2>&1 & pid=$!
for i in $(seq 100); do [ -e run/metrics.csv ] && break; sleep 0.2; done; sleep 1
before=$(md5sum <run/.hydra/overrides.yaml)
dltrain resume=run epochs=77 log_every=3 >out 2>err; code=$?; echo "second: exit $code: $(cat err)"
r=""
[ "$(md5sum <run/.hydra/overrides.yaml)" = "$before" ] || r="$r .hydra/overrides.yaml now says $(grep epochs run/.hydra/overrides.yaml);"
[ -e run/summary.json ] && r="$r summary.json says $(python -c 'import json;print(json.load(open("run/summary.json")).get("status"))') of a run that is running;"
grep -q "the run ended early" run/train.log && r="$r train.log has 'the run ended early' and a traceback;"
kill -9 $pid; wait $pid 2>/dev/null
st=$(dltrain runs root=. 2>/dev/null; python - <<P
from trainer.runs.index import look
from pathlib import Path
print(look(Path("run")).state)
P
); r="$r after kill -9 its state is '$st'"
case "$r" in *summary*|*overrides*) bad "$r";; esac
good "nothing was touched"
