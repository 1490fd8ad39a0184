"""`dltrain eval`: measure a trained model on its own test split or on other data."""

import json
import re

from trainer.cli.settings import TRUST, Setting, Settings, Usage
from trainer.config.keys import key_of
from trainer.errors import ConfigError, nearest
from trainer.files import finite

USAGE = Usage(
    settings={
        "run": Setting("a run's folder, last, or best of a sweep", "last"),
        "device": Setting("auto, cpu, cuda, ...; the run's own by default", ""),
        "json": Setting("true, or --json: print one JSON object only", "false", ("true", "false")),
        "trust": TRUST,
    },
    examples=(
        "dltrain eval run=last                                  its own test split: bit-identical",
        "dltrain eval run=last data.path=other.csv              all rows of another file of the same kind",
        "dltrain eval run=last data=csv data.path=other.csv     columns are matched by name",
        "dltrain eval run=last data=image_folder data.path=photos",
        "dltrain eval run=last data=fashion_mnist               the test split of another data set",
    ),
    overrides=True,
)


def main(given: Settings) -> None:
    """Evaluate, and print a table or JSON.

    Raises:
        DltrainError: no such run, unreadable data, or data that does not fit the model.
    """
    if others := [line for line in given.overrides if not line.startswith(("data=", "data."))]:
        hint = nearest(key_of(others[0]), [*USAGE.settings, "data"])
        raise ConfigError(f"dltrain eval: {others[0]}: only the data of the run's config can be changed; {hint}")

    from trainer.engine.loop import evaluate
    from trainer.runs.folds import folds_of
    from trainer.trained import model as trained
    from trainer.trained.new_data import other_data, own_test
    from trainer.view.console import Terminal, results_table, shown

    run, device, trust = given.values["run"], given.values["device"], given.values["trust"] == "true"
    model = trained.load(run, device, trust=trust)
    is_own = not any(line.startswith(("data=", "data.path=")) for line in given.overrides)
    folds = folds_of(run) if is_own else None
    before = {}
    if folds:
        from trainer.trained.out_of_fold import again, measured, part_of

        title = "all folds"
        before = measured([part_of(job) for job in folds.jobs])
        parts, notes = again(folds.jobs, given.overrides, device, trust)
        found, num_examples = measured(parts), sum(len(part.tested.rows) for part in parts)
        model.notes.clear()  # no mean: each example is evaluated by the fold that has not seen it
    else:
        if is_own:
            title, (batches, notes) = "test", own_test(model, given.overrides)
            before = {name: float(value) for name, value in model.summary.get("test", {}).items()}
        else:
            title = " ".join(re.sub(r"^data[=.]", "", line) for line in given.overrides)
            batches, notes = other_data(model, given.overrides, given.config_dir)
        found = evaluate(model.model, model.loss, batches, model.meter, autocast=model.autocast)
        num_examples = batches.num_examples
    different = [name for name in found if name in before and repr(before[name]) != repr(found[name])]  # nan equals nan
    if given.values["json"] == "true":
        content = {"run": str(model.folder), "data": title, "num_examples": num_examples, "metrics": found}
        if is_own:
            content |= {"metrics_of_run": before, "equal": not different}
        print(json.dumps(finite(content)))
        return
    print(f"run    {shown(model.folder)} ({model.name}), weights of the best epoch, on {model.device}")
    print(f"data   {title}: {num_examples:,} examples")
    for note in (*model.notes, *notes):
        print(f"       {note}")
    rows = {f"{title}, in the run": before, title: found} if before else {title: found}
    Terminal().print(results_table(rows))
    for name in different:
        old, new = before[name], found[name]
        print(f"DIFFERS  {name}: {old} in the run, {new} now ({new - old:+.2g})")
    if different and not (model.notes or notes):
        print("expected on another device, or with other threads or versions")
    if before and not different:
        print("PASS  equal to the run's")
