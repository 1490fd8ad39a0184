"""Cross-validate real data, beside scikit-learn on the very same folds, and write docs/CROSS_VALIDATION.md.

    DLTRAIN_DATA=... python benchmarks/folds.py             # all of them, about ten minutes on two cores
    DLTRAIN_DATA=... python benchmarks/folds.py pima iris   # only these; the others as last measured

Each network is one command line, `dltrain ... folds=5`. scikit-learn's models get the same folds: they are fitted to
all rows outside a fold, as `cross_val_score` does, with the numbers that dltrain's encoder makes of the training rows.
The linear models by L-BFGS, trained on all of these rows too (data.val_fraction=0), are checked against its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, r2_score

from trainer.build import parts
from trainer.config.check import checked

PAGE = harness.Page(
    "CROSS_VALIDATION",
    "Cross-validation",
    """
    Written by `python benchmarks/folds.py` (see its docstring) from `docs/cross_validation.json`. Five folds; mean and
    standard deviation over the folds. A network has its defaults except where its command line below says otherwise,
    and a tenth of the rows outside a fold picks its best epoch; scikit-learn's models are fitted to all of them.
    """,
    "folds.py",
)
TABLES = harness.DATA / "tables"
EXACT = ("optim=lbfgs", "optim.max_iter=500", "scheduler=constant", "data.batch_size=full", "data.val_fraction=0")
EXACT += ("precision=fp64", "epochs=5", "model=linear")


class Case(NamedTuple):
    """A dataset, what the network's command line adds to it, and whether an exact linear model has one answer."""

    data: tuple[str, ...]
    network: tuple[str, ...] = ()
    is_exact: bool = False


CASES = {
    "pima": Case(("data=pima",), ("model=mlp",), True),
    "titanic": Case(("data=csv", f"data.path={TABLES / 'titanic.csv'}", "data.target=Survived"), ("model=mlp",), True),
    "males": Case(
        ("data=csv", f"data.path={TABLES / 'males.csv.gz'}", "data.target=wage", "data.group=nr"), ("model=mlp",), True
    ),
    "iris": Case(("data=iris",), ("model=mlp", "epochs=50")),
    "breast_cancer": Case(("data=breast_cancer",), ("model=mlp", "epochs=20")),
    "diabetes": Case(("data=diabetes",), ("model=mlp", "epochs=20"), True),
    "digits": Case(("data=digits",), ("model=simple_cnn",)),
    "names": Case(("data=names",), ("model=gru", "epochs=1")),
}


def crossed(*overrides: str) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Return the test metrics of each fold of a command line, and those over all examples."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "trainer", *overrides, "folds=5", "plots=off", "tensorboard=off"]
        environment = (
            os.environ | harness.THREADS | {"PYTHONPATH": str(harness.ROOT), "DLTRAIN_DATA": str(harness.DATA)}
        )
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        if done.returncode:
            sys.exit(f"dltrain {' '.join(overrides)}\n{done.stdout}{done.stderr}")
        (sweep,) = Path(folder).glob("outputs/sweeps/*/*")
        tests = [json.loads((sweep / str(job) / "summary.json").read_text())["test"] for job in range(5)]
        [whole] = json.loads((sweep / "out_of_fold.json").read_text())["configurations"]
        return tests, whole["metrics"]


def arrays(*overrides: str) -> list[tuple[np.ndarray, ...]]:
    """Return for each fold training inputs and targets, and test inputs and targets, as the encoder makes them."""
    found = []
    for fold in range(1, 6):
        cfg, _ = checked([*overrides, "folds=5", f"fold={fold}", "data.val_fraction=0"])
        loaders, spec = parts.data(cfg, torch.device("cpu"))
        values = []
        for loader in (loaders.train, loaders.test):
            inputs = loader.prepare(loader.inputs.clone()).flatten(1).double().numpy()
            targets = loader.targets.flatten().double()
            values += [inputs, (spec.in_units(targets) if spec.task == "regression" else targets).numpy()]
        found.append(tuple(values))
    return found


def peers(data: list[tuple[np.ndarray, ...]], is_regression: bool, is_exact: bool) -> dict[str, list[float]]:
    """Return the accuracy or r2 of scikit-learn's models on each fold, and the log loss of an unpenalised one."""
    found: dict[str, list[float]] = {"linear": [], "boosting": [], "exact": []}
    for inputs, targets, test, truth in data:
        if is_regression:
            line = LinearRegression().fit(inputs, targets).predict(test)
            found["linear"].append(r2_score(truth, line))
            found["exact"].append(r2_score(truth, line))
            found["boosting"].append(
                r2_score(truth, HistGradientBoostingRegressor(random_state=0).fit(inputs, targets).predict(test))
            )
            continue
        found["linear"].append(
            accuracy_score(truth, LogisticRegression(max_iter=5000).fit(inputs, targets).predict(test))
        )
        boosting = HistGradientBoostingClassifier(random_state=0).fit(inputs, targets)
        found["boosting"].append(accuracy_score(truth, boosting.predict(test)))
        if is_exact:
            free = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-10).fit(inputs, targets)
            found["exact"].append(log_loss(truth, free.predict_proba(test)))
    return found


def measure(name: str) -> dict[str, Any]:
    """Measure one dataset."""
    case = CASES[name]
    tests, whole = crossed(*case.data, *case.network)
    metric = "r2" if "r2" in tests[0] else "accuracy"
    row = {
        "metric": metric,
        "command": " ".join(
            ["dltrain", *(line.replace(f"{TABLES}/", "") for line in (*case.data, *case.network)), "folds=5"]
        ),
        "network": [test[metric] for test in tests],
        "all": whole[metric],
    }
    if name != "names":  # tokens are no numbers
        data = arrays(*case.data)
        found = peers(data, metric == "r2", case.is_exact)
        row |= {"linear": found["linear"], "boosting": found["boosting"]}
        if case.is_exact:
            ours, _ = crossed(*case.data, *EXACT)
            name_of = "r2" if metric == "r2" else "loss"
            row["worst"] = max(abs(a[name_of] - b) for a, b in zip(ours, found["exact"], strict=True))
            row["of"] = "r2" if metric == "r2" else "log loss"
    return row


def around(values: list[float]) -> str:
    """Format mean and standard deviation."""
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}" if values else ""


def main() -> None:
    """Measure the named datasets, or all, and write the page."""
    known = json.loads(PAGE.kept.read_text()) if PAGE.kept.exists() else {}
    for name in sys.argv[1:] or CASES:
        known[name] = measure(name) | {"where": harness.machine()}
        PAGE.kept.write_text(json.dumps(known, indent=1) + "\n")
        print(name, known[name], flush=True)
    lines = ["| data | metric | network | over all examples | linear | boosting | exact linear: worst difference |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, row in known.items():
        worst = f"{row['worst']:.1e} ({row['of']})" if "worst" in row else ""
        cells = [name, row["metric"], around(row["network"]), f"{row['all']:.4f}"]
        cells += [around(row.get("linear", [])), around(row.get("boosting", [])), worst]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "The command lines, and where each was measured:", ""]
    lines += [f"- `{row['command']}`: {row['where']}" for row in known.values()]
    text = "\n".join(line.strip() for line in PAGE.text.strip().splitlines())
    (PAGE.folder / f"{PAGE.name}.md").write_text(f"# {PAGE.title}\n\n{text}\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
