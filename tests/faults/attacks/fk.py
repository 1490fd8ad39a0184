import os
import subprocess

TINY = ["data=digits", "model=mlp", "model.hidden=[16]", "plots=off", "tensorboard=off"]


def run(args, cwd, timeout=60):
    os.makedirs(cwd, exist_ok=True)
    done = subprocess.run(["dltrain", *args], cwd=cwd, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr
