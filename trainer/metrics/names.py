"""Names of metrics: those of each task, which values are better, what older runs meant; no torch is imported."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

LOWER = ("loss", "log_loss", "brier", "ece", "rmse", "mse", "mae", "median_ae", "mape")
HIGHER = (
    *("accuracy", "balanced_accuracy", "top2", "top3", "top5", "top10"),
    *("f1", "precision", "recall", "f1_macro", "precision_macro", "recall_macro", "mcc"),
    *("auc", "average_precision", "r2"),
)
HIGHER_IS_BETTER = {name: name in HIGHER for name in (*HIGHER, *LOWER)}

_MACRO = ("f1_macro", "precision_macro", "recall_macro")
_ANY_CLASSES = ("accuracy", "balanced_accuracy", "mcc", "auc", "average_precision", "log_loss", "brier", "ece", *_MACRO)
OF_TASK = {
    "regression": ("rmse", "mae", "r2", "mse", "median_ae", "mape"),
    "binary": (*_ANY_CLASSES, "f1", "precision", "recall"),
    "multiclass": _ANY_CLASSES,
}
DEFAULTS = {  # what `auto` stands for; the first is monitored
    "regression": ("rmse", "mae", "r2"),
    "binary": ("accuracy", "f1", "auc"),
    "multiclass": ("accuracy", "f1_macro"),
}
MANY = 10  # classes; with more of them, top5 is reported too
RECORDED = {"f1": "positive class", "best": "by rmse, ties by loss"}  # by what starts; 0.1.0 recorded neither


class Meaning(NamedTuple):
    """What names and the best epoch were when a run or sweep started; the defaults are today's."""

    f1: str = "f1"  # up to 0.1.0 what f1_macro is today
    regression: tuple[str, ...] = DEFAULTS["regression"]  # up to 0.1.0 mse came first
    breaks_ties: bool = True  # by the loss; up to 0.1.0 the first of equal epochs was the best

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Meaning":
        """Return the meaning in what started with this entry in its records; without one, today's."""
        found = cls()
        if entry and "f1" not in entry:
            found = found._replace(f1="f1_macro")
        if entry and "best" not in entry:
            found = found._replace(regression=("mse", *found.regression), breaks_ties=False)
        return found

    def record(self) -> dict[str, str]:
        """Return the entries from which `of` returns this again."""
        is_todays = {"f1": self.f1 == "f1", "best": self.breaks_ties}
        return {key: RECORDED[key] for key in RECORDED if is_todays[key]}


def available(task: str, num_outputs: int) -> list[str]:
    """Return the metrics of a task, for a model with this many outputs."""
    top = [name for name in HIGHER if name.startswith("top") and int(name.removeprefix("top")) < num_outputs]
    return [*OF_TASK[task], *top]


def defaults(task: str, num_outputs: int, meaning: Meaning) -> list[str]:
    """Return the metrics that `auto` stands for."""
    names = meaning.regression if task == "regression" else DEFAULTS[task]
    return [*names, *(["top5"] if num_outputs > MANY else [])]


def of_today(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return values by today's `names`: up to 0.1.0, `f1` was what `f1_macro` is now."""
    is_old = "f1_macro" in names and "f1" not in names
    return {"f1_macro" if is_old and name == "f1" else name: value for name, value in values.items()}
