#!/bin/bash
# files in the working folder that are called as Python's own modules, or as optional ones that are not installed: none is imported unless it is named
. "$(dirname "$0")/lib.sh"; r=""
mk() { for m in "$@"; do printf 'open("%s/CANARY-%s","a").write(__name__)\n' "$W" $m >$m.py; done; }
check() { for f in CANARY-*; do [ -e "$f" ] && r="$r [$1: ${f#CANARY-}.py]"; done; rm -f CANARY-*; }
dltrain $TINY epochs=1 hydra.run.dir=run >made.log 2>&1
mk random queue types secrets json string torch numpy rich yaml hydra trainer sitecustomize usercustomize encodings readline
dltrain $TINY epochs=1 tensorboard=full plots=all >out 2>err || r="$r [train: $? $(tail -1 err)]"; check train
dltrain eval run=run >out 2>err || r="$r [eval $(tail -1 err)]"; check eval
timeout 100 dltrain -m $TINY epochs=1 seed=1,2 >out 2>err || r="$r [sweep $(tail -1 err)]"; check sweep
timeout 100 dltrain -m sweep.jobs=2 $TINY epochs=1 seed=1,2 >out 2>err || r="$r [joblib: $? $(tail -1 err | head -c 120)]"; check joblib
timeout 100 dltrain reproduce run=run >out 2>err || r="$r [reproduce: $? $(tail -1 err | head -c 120)]"; check reproduce
rm -f *.py
mk tensorflow pyarrow numexpr bottleneck lxml triton apex torch_xla ipywidgets IPython colorama bs4 openpyxl cupy jax tensorboardX expecttest pytest_ tabulate opt_einsum z3 astunparse pydot graphviz psutil_ cv2 av accimage fsspec_ xarray dask threadpoolctl_ scipy_ brotli brotlicffi zstandard simplejson ujson orjson ruamel attr_ defusedxml olefile tkinter_ matplotlib_ cairo cairocffi sage numba polars pandas_ torchao onnxscript_ boto3 google_ moviepy imageio absl_ gfile mkl mkl_random pythran pyximport cffi_ __main__2 distutils_ setuptools_ pkg_resources_ torchaudio torchtext torch_directml intel_extension_for_pytorch habana_frameworks torch_npu
dltrain $TINY epochs=1 tensorboard=full plots=all >out 2>err || r="$r [train2: $? $(tail -1 err | head -c 120)]"; check "train"
dltrain predict run=run input=x.png >out 2>err; dltrain eval run=run >out 2>err || r="$r [eval2 $(tail -1 err | head -c 120)]"; check eval
cp $DLTRAIN_DATA/pima_diabetes.csv p.csv; dltrain data=csv data.path=p.csv data.target=Outcome model=mlp epochs=1 plots=all >out 2>err || r="$r [csv: $(tail -1 err | head -c 120)]"; check csv
dltrain $TINY epochs=1 compile=true >out 2>err || r="$r [compile: $? $(tail -1 err | head -c 120)]"; check compile
dltrain export run=run format=onnx >out 2>err || r="$r [onnx: $? $(tail -1 err | head -c 120)]"; check "export onnx"
dltrain export run=run format=torch >out 2>err || r="$r [pt2: $? $(tail -1 err | head -c 120)]"; check "export torch"
[ "$r" ] && bad "imported: $r"; good "none was imported"
