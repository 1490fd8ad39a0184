#!/bin/bash
# the CSV has other rows when a run is resumed: the splits are drawn anew, and test rows were trained on
. "$(dirname "$0")/lib.sh"
cp $DLTRAIN_DATA/pima_diabetes.csv t.csv
run() { dltrain data=csv data.path=t.csv data.target=Outcome model=mlp model.hidden=[16] plots=off tensorboard=off checkpoint.min_seconds=0 "$@"; }
run epochs=3 hydra.run.dir=run >out0 2>&1 || exit 2
head -c -0 t.csv >/dev/null; tail -n 40 t.csv | tac >more; cat more >>t.csv; sed -i '2d' t.csv     # rows appended, one deleted
dltrain resume=run epochs=6 >out 2>err; code=$?; echo "resume: exit $code"; grep -i -E "data|warn|note|other" out | head -5
python - <<P
import json
e=json.load(open("run/environment.json")); print("fingerprint of test then", e["data"]["test"], "now", e["resumed"][0]["data"]["test"] if e.get("resumed") else None)
P
[ $code = 0 ] && ! grep -qiE "data (is|has|was).*(other|changed|not what)|not the same data|fingerprint" out err && bad "went on with other splits and said nothing"
good "said or refused"
