#!/bin/bash
# somebody else's sweep folder, started with hydra/launcher=submitit_local: `-m resume=` would unpickle results found in
# .submitit/<process id>/ (in a container, whose process ids are small)
. "$(dirname "$0")/lib.sh"
timeout 200 dltrain -m hydra/launcher=submitit_local $TINY epochs=1 seed=1,2 hydra.sweep.dir=sw >made.log 2>&1 || { tail -3 made.log; exit 2; }
ls -a sw | tr '\n' ' '; ls sw/.submitit 2>/dev/null | head -3
python - <<P
import pickle, os, json
from pathlib import Path
class E:
    def __reduce__(self): return (os.system, ("touch $W/CANARY",))
L=[json.loads(l) for l in open("sw/sweep.jsonl")]
open("sw/sweep.jsonl","w").write("".join(json.dumps(l)+"\n" for l in L if l["event"] in ("sweep","preflight")))
import shutil; [shutil.rmtree(f"sw/{i}",ignore_errors=True) for i in (0,1)]; shutil.rmtree("sw/.submitit",ignore_errors=True)
for n in range(1,1500):
    d=Path(f"sw/.submitit/{n}"); d.mkdir(parents=True); (d/f"{n}_0_result.pkl").write_bytes(pickle.dumps(("success",E())))
P
timeout 200 unshare -p -f --mount-proc dltrain -m resume=sw >out 2>err; c=$?; echo "exit $c: $(tail -1 err | head -c 200)"
[ -e CANARY ] && bad "the pickle ran"; good "not read"
