#!/bin/bash
# odd surroundings of a process: each run ends well
. "$(dirname "$0")/lib.sh"; r=""
t() { local what=$1; shift; timeout 300 "$@" >out 2>err; c=$?; { [ $c = 0 ] && ! grep -q Traceback err out; } || r="$r [$what: $c $(grep -v '^ ' err | tail -1 | head -c 150)]"; echo "$what: $c"; }
t "stdin closed" bash -c "exec dltrain $TINY epochs=1 <&-"
t "stdin, stdout closed" bash -c "exec dltrain $TINY epochs=1 <&- >&-"
t "all closed" bash -c "exec dltrain $TINY epochs=1 <&- >&- 2>&-"
t "sweep, all closed" bash -c "exec dltrain -m $TINY epochs=1 seed=1,2 <&- >&- 2>&-"
t "joblib, all closed" bash -c "exec dltrain -m sweep.jobs=2 $TINY epochs=1 seed=1,2 <&- >&- 2>&-"
t "process 1" unshare -p -f dltrain $TINY epochs=1
t "process 1, a sweep" unshare -p -f dltrain -m $TINY epochs=1 seed=1,2
t "a user without a name" unshare -U --map-user=12345 dltrain $TINY epochs=1 plots=all tensorboard=full
t "a user without a name, sweep" unshare -U --map-user=12345 dltrain -m $TINY epochs=1 seed=1,2
t "a user without a name, compile" unshare -U --map-user=12345 dltrain $TINY epochs=1 compile=true
t "no environment" env -i $(command -v dltrain) $TINY epochs=1 plots=all
t "no environment, git" env -i PATH=/nonexistent $(command -v dltrain) $TINY epochs=1
t "HOME a file" env HOME=/etc/passwd dltrain $TINY epochs=1 plots=all tensorboard=full
t "TZ" env TZ=:/etc/passwd dltrain $TINY epochs=1
t "COLUMNS 1" env COLUMNS=1 LINES=1 dltrain $TINY epochs=1
t "TERM" env TERM=nonsense dltrain $TINY epochs=1
t "-O" python -O -m trainer.cli $TINY epochs=1
t "-OO" python -OO -m trainer.cli $TINY epochs=1 tensorboard=full plots=all
t "-I" python -I -m trainer.cli $TINY epochs=1
t "-B -E -s" python -B -E -s -m trainer.cli $TINY epochs=1
t "-OO sweep" env PYTHONOPTIMIZE=2 dltrain -m $TINY epochs=1 seed=1,2
t "PYTHONSAFEPATH" env PYTHONSAFEPATH=1 dltrain $TINY epochs=1
t "PYTHONWARNINGS=error" env PYTHONWARNINGS=error::UserWarning dltrain $TINY epochs=1
t "PYTHONUNBUFFERED PYTHONDEVMODE" env PYTHONDEVMODE=1 dltrain $TINY epochs=1
t "OMP_NUM_THREADS=0" env OMP_NUM_THREADS=0 dltrain $TINY epochs=1
t "OMP_NUM_THREADS=x" env OMP_NUM_THREADS=x dltrain $TINY epochs=1
t "OMP_NUM_THREADS=-1" env OMP_NUM_THREADS=-1 dltrain -m $TINY epochs=1 seed=1,2
t "CUDA_VISIBLE_DEVICES" env CUDA_VISIBLE_DEVICES=0,1 dltrain $TINY epochs=1
t "HYDRA_MAIN_MODULE" env HYDRA_MAIN_MODULE=os dltrain $TINY epochs=1
t "HYDRA_FULL_ERROR=0" env HYDRA_FULL_ERROR=0 dltrain $TINY epochs=1
t "umask 777" bash -c "umask 077; exec dltrain $TINY epochs=1"
t "one core" taskset -c 0 dltrain $TINY epochs=1
t "/dev/shm tiny, workers" unshare -m bash -c 'mount -t tmpfs -o size=64k x /dev/shm; exec dltrain data=digits model=mlp epochs=1 plots=off'
mkdir gone; (cd gone; rmdir ../gone; timeout 60 dltrain $TINY epochs=1 >../out 2>../err); c=$?; [ $c = 6 ] && ! grep -q Traceback err || r="$r [working folder deleted: $c $(tail -1 err | head -c 120)]"
[ "$r" ] && bad "$r"; good "all"
