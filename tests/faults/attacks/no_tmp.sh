#!/bin/bash
# /tmp, /var/tmp and the home cannot be written (a container with a read-only root); the working folder can
. "$(dirname "$0")/lib.sh"
[ "$1" = inside ] || exec unshare -m "$0" inside
mkdir -p /mnt/x; mount -t tmpfs x /mnt/x; cd /mnt/x; mkdir run2
for d in /tmp /var/tmp /root /usr/tmp; do [ -d $d ] && mount --bind $d $d && mount -o remount,ro,bind $d; done
r=""
t() { local what=$1; shift; timeout 300 "$@" >out 2>err; c=$?; { [ $c = 0 ] && ! grep -q Traceback err; } || r="$r [$what: $c $(tail -1 err | head -c 200)]"; echo "$what: $c"; }
export HOME=/root
t train dltrain $TINY epochs=1 plots=all tensorboard=full hydra.run.dir=run
t dry dltrain $TINY dry_run=true
t sweep dltrain -m $TINY epochs=1 seed=1,2
t joblib dltrain -m sweep.jobs=2 $TINY epochs=1 seed=1,2
t workers dltrain data=digits model=mlp epochs=1 plots=off
t predict bash -c 'cat $DLTRAIN_DATA/pima_diabetes.csv | dltrain data=csv data.path=$DLTRAIN_DATA/pima_diabetes.csv data.target=Outcome model=mlp epochs=1 plots=off tensorboard=off hydra.run.dir=c && cat $DLTRAIN_DATA/pima_diabetes.csv | dltrain predict run=c input=- output=-'
t onnx dltrain export run=run format=onnx
t pt2 dltrain export run=run format=torch
t explain dltrain explain $TINY
t compile dltrain $TINY epochs=1 compile=true
mount --bind /mnt/x /mnt/x; mount -o remount,ro,bind /mnt/x; cd /mnt/x
O=/dev/shm/o; c=0; timeout 60 dltrain eval run=run >$O 2>&1; c=$?; [ $c = 0 ] || r="$r [eval, nothing can be written: $c $(tail -1 $O | head -c 120)]"; echo "eval, all read-only: $c"
timeout 60 dltrain $TINY dry_run=true >$O 2>&1; c=$?; grep -q Traceback $O && r="$r [dry run, nothing can be written: $c $(tail -1 $O | head -c 160)]"; echo "dry: $c"
timeout 60 dltrain runs >$O 2>&1; c=$?; [ $c = 0 ] || r="$r [runs: $c]"
timeout 60 dltrain predict run=c input=$DLTRAIN_DATA/pima_diabetes.csv output=- >$O 2>&1; c=$?; [ $c = 0 ] || r="$r [predict, nothing can be written: $c $(tail -1 $O | head -c 120)]"; cat $DLTRAIN_DATA/pima_diabetes.csv | timeout 60 dltrain predict run=c input=- output=- >$O 2>&1; c=$?; grep -q Traceback $O && r="$r [predict input=-, nothing can be written: $c $(tail -1 $O | head -c 160)]"
timeout 60 dltrain compare run c >$O 2>&1; c=$?; grep -q Traceback $O && r="$r [compare: $c $(tail -1 $O | head -c 160)]"; timeout 60 dltrain -m $TINY seed=1,2 >$O 2>&1; c=$?; [ $c = 6 ] && ! grep -q Traceback $O || r="$r [sweep, nothing can be written: $c $(tail -1 $O | head -c 160)]"
[ "$r" ] && bad "$r"; good "all"
