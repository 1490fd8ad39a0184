"""Measure the cost of a sweep against a plain script and Lightning, and write docs/SWEEPS.md.

    python benchmarks/performance.py install                 # Lightning, into its own environment; once
    DLTRAIN_DATA=... python benchmarks/sweeps.py             # all sections, some twelve minutes on two cores
    DLTRAIN_DATA=... python benchmarks/sweeps.py overhead    # only this one; the others as last measured
    python benchmarks/sweeps.py write                        # only the page, from the stored tables

All of it runs on the first images of MNIST. The machine has to be idle.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from functools import partial

from harness import Page, Result, keep, ratio, taken_in_turns, write
from swept import WORKERS, configuration, dltrain, one, peers_version, script

PAGE = Page(
    "SWEEPS",
    "What a sweep costs",
    """
    Written by `python benchmarks/sweeps.py` (see its docstring) from `docs/sweeps.json`. Contenders take turns in
    separate processes; seconds are for the whole command, including imports and everything written at the end. A ratio
    is within a turn; for several turns it is the median, followed by minimum and maximum.
    """,
    "sweeps.py",
)
BARE = ("plots=off", "tensorboard=off")
AS_LIGHTNING = ("plots=off", "tensorboard=basic")  # scalars, hyper-parameters and checkpoints
AT_A_TIME = f"sweep.jobs={WORKERS}"
EPOCHS = 3


def contenders() -> None:
    """The same sweep.

    Twelve jobs: `model=mlp,simple_cnn optim.lr=3e-4,1e-3,3e-3 seed=1,2`, the same networks with Adam at a constant
    learning rate, on 3,200 images of MNIST in batches of 64 for three epochs, with 800 validation images after each and
    1,000 test images. dltrain writes everything it does by default, which is more than the scalars and the last and
    best checkpoints that Lightning writes here. The plain script is a tutorial's and writes nothing. Splits, order and
    initial weights differ between contenders, so accuracies are similar, not equal; validation accuracy is the mean
    over jobs, each at its best epoch.

    A single process runs one job after another with two threads; two at a time get one thread each, as with `xargs -P
    2`. The last three columns: are the jobs ranked at the end, can an interrupted sweep be resumed, and do other jobs
    survive one job's failure. Lightning resumes a job if it is given the path of its checkpoint.

    The sweep needs some seconds before its first job and writes more, and makes up for both because a tutorial's loop
    reads images one by one. Two jobs at a time are faster than one with two threads, because a second thread does
    little for networks this small.
    """
    ours = {
        "dltrain -m": (),
        f"dltrain -m {AT_A_TIME}": (AT_A_TIME,),
    }
    kept = ["yes", "yes", "yes"]
    got = dict.fromkeys(ours, kept)
    runs = {name: partial(dltrain, f"epochs={EPOCHS}", *given) for name, given in ours.items()}
    for name, peer in (("plain script", "grid_plain"), ("Lightning", "grid_lightning")):
        runs[f"{name}, one process"] = partial(script, peer, EPOCHS, at_a_time=0)
        runs[f"{name}, a process per job, two at a time"] = partial(script, peer, EPOCHS, at_a_time=WORKERS)
        by_hand = "by hand" if name == "Lightning" else "no"
        got |= {f"{name}, one process": ["no", by_hand, "no"]}
        got |= {f"{name}, a process per job, two at a time": ["no", by_hand, "yes"]}
    found = taken_in_turns(runs, turns=1)
    head = ["", "seconds", "ratio", "jobs", "updates", "validation, %", "ranked", "resumes", "isolates failures"]
    rows = [_row(name, found, got[name]) for name in runs]
    keep(contenders, head, rows, PAGE, {"lightning": peers_version("lightning")})


def _row(name: str, found: Mapping[str, list[Result]], got: list[str]) -> list[str]:
    last = found[name][-1]
    seconds = statistics.median(result.seconds for result in found[name])
    work = [str(last.summary["jobs"]), f"{last.summary['steps']:,}", f"{last.accuracy:.1f}"]
    return [name, f"{seconds:.1f}", ratio(found[name], found["dltrain -m"])[1], *work, *got]


def overhead() -> None:
    """The overhead per job.

    Twelve jobs of one update, one after another, on 3,200 images; the scripts' jobs are separate processes. From the
    sweep's ledger: `starts after` is the time before the first job, in which Hydra composes, the server that jobs are
    forked from imports torch, and the preflight trains a few batches of both models; `per job` is the time of its
    process; `between` is the time from the end of a job to the start of the next.
    """
    limit = ("epochs=1", "limit_batches=1")
    sweeps = {
        "dltrain -m plots=all": (*limit, "plots=all"),
        "dltrain -m": (*limit,),
        "dltrain -m plots=off tensorboard=off": (*limit, *BARE),
    }
    rows = []
    for name, given in sweeps.items():
        done = dltrain(*given)
        parts = done.summary["first_s"], done.summary["job_s"], done.summary["between_s"]
        rows.append([name, f"{done.seconds:.1f}", *(f"{part:.2f}" for part in parts)])
        print("   ", rows[-1], flush=True)
    alone = {
        "a dltrain for each job, plots=off tensorboard=off": partial(one, *limit, *BARE),
        "a plain script for each job": partial(script, "grid_plain", 1, at_a_time=1, jobs=1, batches=1),
        "a script with Lightning for each job": partial(script, "grid_lightning", 1, at_a_time=1, jobs=1, batches=1),
    }
    for name, results in taken_in_turns(alone, turns=2).items():
        seconds = statistics.median(result.seconds for result in results)
        rows.append([name, "", "", f"{seconds:.2f}", ""])
    keep(overhead, ["", "seconds for twelve jobs", "starts after", "per job", "between"], rows, PAGE)


def workers() -> None:
    """Two jobs at a time.

    The six mlp jobs with 60 epochs each, one after another with two threads, and two at a time with one thread each. A
    network this small gains little from a second thread; the convolutions above gain more.
    """
    sweeps = {
        "one after another": partial(dltrain, "epochs=60", *AS_LIGHTNING, models=["mlp"]),
        AT_A_TIME: partial(dltrain, "epochs=60", *AS_LIGHTNING, AT_A_TIME, models=["mlp"]),
    }
    found = taken_in_turns(sweeps, turns=1)
    first = found["one after another"]
    rows = [
        [name, f"{statistics.median(r.seconds for r in results):.1f}", ratio(results, first)[1]]
        for name, results in found.items()
    ]
    keep(workers, ["", "seconds", "ratio"], rows, PAGE)


def pruning() -> None:
    """Early stopping of jobs.

    The same grid with four epochs, in full and with `sweep.prune=halving`: how much is trained, and whether the best
    job is the same. Jobs that differ only in their seed stay or go together.
    """
    longer = ("epochs=4", *AS_LIGHTNING)
    sweeps = {
        "the full grid": partial(dltrain, *longer),
        "sweep.prune=halving": partial(dltrain, *longer, "sweep.prune=halving"),
    }
    found = taken_in_turns(sweeps, turns=1)
    rows = []
    for name, results in found.items():
        last, same = results[-1].summary, ratio(results, found["the full grid"])[1]
        seconds = statistics.median(result.seconds for result in results)
        best = [f"{100 * last['best']:.2f}", configuration(last["best_job"])]
        rows.append([name, f"{seconds:.1f}", same, str(last["epochs"]), *best])
    keep(pruning, ["", "seconds", "ratio", "epochs trained", "best validation, %", "best job"], rows, PAGE)


ALL = (contenders, workers, overhead, pruning)
SECTIONS = {section.__name__: section for section in ALL}


def main() -> None:
    """Measure the requested sections, and write the tables."""
    asked = sys.argv[1:] or list(SECTIONS)
    if unknown := [name for name in asked if name not in (*SECTIONS, "write")]:
        sys.exit(f"{unknown[0]}: unknown section; choose from {', '.join(SECTIONS)} and write")
    for name in asked:
        if name != "write":
            print(name, flush=True)
            SECTIONS[name]()
        write(ALL, PAGE)


if __name__ == "__main__":
    main()
