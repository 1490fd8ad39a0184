"""Measures what a sweep costs, beside a plain script's and Lightning's, and writes docs/SWEEPS.md.

    python benchmarks/performance.py install                 # Lightning, in an environment of its own; once
    DLTRAIN_DATA=... python benchmarks/sweeps.py             # all sections, some twelve minutes on two cores
    DLTRAIN_DATA=... python benchmarks/sweeps.py overhead    # this one anew, the others as they were measured before
    python benchmarks/sweeps.py write                        # the page anew, from what was measured before

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
    Written by `python benchmarks/sweeps.py` (see its head) from `docs/sweeps.json`. Contenders take turns, each in
    processes of its own; seconds are those of the whole command, with imports and whatever it writes at its end. A
    ratio is the one within a turn; of several turns it is their median, with the least and the most behind it.
    """,
    "sweeps.py",
)
BARE = ("plots=off", "tensorboard=off")
AS_LIGHTNING = ("plots=off", "tensorboard=basic")  # scalars, hyper-parameters and checkpoints
AT_A_TIME = f"sweep.jobs={WORKERS}"
EPOCHS = 3


def contenders() -> None:
    """The same sweep.

    Twelve jobs: `model=mlp,simple_cnn optim.lr=3e-4,1e-3,3e-3 seed=1,2`, the very same networks with Adam at a constant
    rate, on 3,200 images of MNIST in batches of 64 for three epochs, with 800 images to validate after each and 1,000
    to test. dltrain writes what it does by default, which is more than the scalars and the checkpoints of the last and
    the best epoch that Lightning writes here. The plain script is a tutorial's and writes nothing. Splits, order and
    the first weights are each contender's own, so that accuracies are alike, not equal; that of validation is the mean
    over the jobs, each at its best epoch.

    One process runs one job after the other with two threads; two at a time have a thread each, as
    `xargs -P 2` gives them. The last three columns: whether the jobs are ranked at the end, whether an interrupted
    sweep can be resumed, and whether one job's failure, such as no memory, leaves the others alone. Lightning resumes
    a job that is given the path of its checkpoint.

    To see: the sweep starts its first job after some seconds and writes more, and makes up for both, since a
    tutorial's loop reads images one by one. Two at a time gain what a second thread does not: it is of little use to
    networks as small as these.
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
        runs[f"{name}, a process a job, two at a time"] = partial(script, peer, EPOCHS, at_a_time=WORKERS)
        by_hand = "by hand" if name == "Lightning" else "no"
        got |= {f"{name}, one process": ["no", by_hand, "no"]}
        got |= {f"{name}, a process a job, two at a time": ["no", by_hand, "yes"]}
    found = taken_in_turns(runs, turns=1)
    head = ["", "seconds", "to dltrain -m", "jobs", "updates", "validation, %", "ranked", "resumes", "failures apart"]
    rows = [_row(name, found, got[name]) for name in runs]
    keep(contenders, head, rows, PAGE, {"lightning": peers_version("lightning")})


def _row(name: str, found: Mapping[str, list[Result]], got: list[str]) -> list[str]:
    last = found[name][-1]
    seconds = statistics.median(result.seconds for result in found[name])
    work = [str(last.summary["jobs"]), f"{last.summary['steps']:,}", f"{last.accuracy:.1f}"]
    return [name, f"{seconds:.1f}", ratio(found[name], found["dltrain -m"])[1], *work, *got]


def overhead() -> None:
    """What a job costs that trains next to nothing.

    Twelve jobs of one update, one after the other, on 3,200 images; the scripts' jobs are processes of their own. From
    the sweep's ledger: `begins after` is what passes before the first job, in which Hydra composes, the process that
    jobs are forked from imports torch, and the preflight trains a few batches of both models; `a job` is its process;
    `between` is what passes from the end of a job to the start of the next, whose config is composed by then.
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
    keep(overhead, ["", "seconds of twelve jobs", "begins after", "a job", "between"], rows, PAGE)


def workers() -> None:
    """Two jobs at a time.

    The six jobs of the mlp with 60 epochs each, one after the other with two threads, and two at a time with a thread
    each. So small a network gains little from a second thread; the convolutions above gain more.
    """
    sweeps = {
        "one after the other": partial(dltrain, "epochs=60", *AS_LIGHTNING, models=["mlp"]),
        AT_A_TIME: partial(dltrain, "epochs=60", *AS_LIGHTNING, AT_A_TIME, models=["mlp"]),
    }
    found = taken_in_turns(sweeps, turns=1)
    first = found["one after the other"]
    rows = [
        [name, f"{statistics.median(r.seconds for r in results):.1f}", ratio(results, first)[1]]
        for name, results in found.items()
    ]
    keep(workers, ["", "seconds", "to one after the other"], rows, PAGE)


def pruning() -> None:
    """Jobs that are stopped early.

    The same grid with four epochs, whole and with `sweep.prune=halving`: what is trained, and whether the
    job that is best is the same. Jobs that differ in their seed alone stay or go together.
    """
    longer = ("epochs=4", *AS_LIGHTNING)
    sweeps = {
        "the whole grid": partial(dltrain, *longer),
        "sweep.prune=halving": partial(dltrain, *longer, "sweep.prune=halving"),
    }
    found = taken_in_turns(sweeps, turns=1)
    rows = []
    for name, results in found.items():
        last, same = results[-1].summary, ratio(results, found["the whole grid"])[1]
        seconds = statistics.median(result.seconds for result in results)
        best = [f"{100 * last['best']:.2f}", configuration(last["best_job"])]
        rows.append([name, f"{seconds:.1f}", same, str(last["epochs"]), *best])
    keep(pruning, ["", "seconds", "to the whole", "epochs trained", "best validation, %", "best job"], rows, PAGE)


ALL = (contenders, workers, overhead, pruning)
SECTIONS = {section.__name__: section for section in ALL}


def main() -> None:
    """Measure what is asked for, and write the tables."""
    asked = sys.argv[1:] or list(SECTIONS)
    if unknown := [name for name in asked if name not in (*SECTIONS, "write")]:
        sys.exit(f"{unknown[0]} is no section; there are {', '.join(SECTIONS)} and write")
    for name in asked:
        if name != "write":
            print(name, flush=True)
            SECTIONS[name]()
        write(ALL, PAGE)


if __name__ == "__main__":
    main()
