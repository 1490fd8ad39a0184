# sourced by each case: a fresh folder, the dltrain that is on the PATH, a small run to attack. Run one with `bash NAME.sh`: it ends with
# GOOD (exit 0) or BAD (exit 1); exit 2 means that it could not be tried. WORK chooses where the folders are made (default: a temporary one).
export DLTRAIN_DATA=${DLTRAIN_DATA:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../../../../shared/data" && pwd)} OMP_NUM_THREADS=1
NAME=$(basename "$0" .sh)
WORK=${WORK:-${TMPDIR:-/tmp}/dltrain-attacks}
W=$WORK/$NAME; rm -rf "$W"; mkdir -p "$W"; cd "$W" || exit 2
TINY="data=digits model=mlp model.hidden=[16] plots=off tensorboard=off"
bad() { echo "BAD: $*"; exit 1; }
good() { echo "GOOD: $*"; exit 0; }
# a finished run in $1 (default: run)
finished() { dltrain $TINY epochs=1 hydra.run.dir=${1:-run} >made.log 2>&1 || { cat made.log; exit 2; }; }
# a run that can be resumed: the same, and its status taken back
unfinished() { dltrain $TINY epochs=2 hydra.run.dir=${1:-run} >made.log 2>&1 || { cat made.log; exit 2; }
  rm ${1:-run}/summary.json; }
