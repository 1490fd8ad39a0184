"""Baselines: a constant prediction and, for small data in memory, the linear model.

A network that does not beat them has learned nothing. Both are fitted on the training split and measured by the
model's own meter.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.tensors import BatchLoader, DataSpec, TensorLoader
from trainer.engine.loop import Loss
from trainer.engine.meter import Meter

CHEAP = 500_000  # a linear model is fitted to at most this many numbers in the training inputs


def baselines(
    train: BatchLoader, test: BatchLoader, spec: DataSpec, loss: Loss, meter: Meter
) -> dict[str, dict[str, float]]:
    """Return the test metrics of each baseline by name, the simplest first."""
    targets = train.targets
    if spec.task == "multiclass":
        shares = torch.bincount(targets, minlength=spec.out_features).double() / len(targets)
        constant, name = shares.log().clamp_min(-30).float(), "majority class"
    elif spec.task == "binary":
        constant, name = torch.logit(targets.double().mean(), eps=1e-9).float()[None], "majority class"
    else:
        constant, name = targets.mean(0), "mean"

    truth = test.targets[: test.num_examples]

    def measure(outputs: Tensor) -> dict[str, float]:
        outputs = outputs.to(truth.device, truth.dtype if truth.is_floating_point() else torch.float32)
        meter.update(outputs, truth, loss(outputs, truth))
        return meter.compute()

    found = {name: measure(constant.expand(len(truth), -1))}
    if not (isinstance(train, TensorLoader) and isinstance(test, TensorLoader)):
        return found
    if spec.kind != "tokens" and train.inputs.numel() <= CHEAP:
        inputs = train.inputs.clone(), test.inputs[: test.num_examples].clone()
        x, z = (train.prepare(part).flatten(1).double().cpu() for part in inputs)
        if spec.task == "regression":
            found["least squares"] = measure(_least_squares(x, targets.cpu().double(), z))
        elif len(targets.unique()) > 1:
            labels = targets.flatten().long().cpu()
            found["logistic regression"] = measure(_logistic_regression(x, labels, z, spec.out_features))
    return found


def _least_squares(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Fit a linear model to `x` `(N, F)`, `y` `(N, 1)` and return its predictions `(M, 1)` at `z` `(M, F)`."""
    x, z = F.pad(x, (0, 1), value=1.0), F.pad(z, (0, 1), value=1.0)  # a column for the intercept
    return z @ torch.linalg.lstsq(x, y, driver="gelsd").solution


def _logistic_regression(x: Tensor, y: Tensor, z: Tensor, num_outputs: int) -> Tensor:
    """Fit scikit-learn's logistic regression and return its logits at `z`, `(M, K)`, or `(M, 1)` for two classes."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=1000).fit(x.numpy(), y.numpy())
    if num_outputs == 1:
        return torch.from_numpy(model.decision_function(z.numpy()))[:, None]
    logits = torch.full((len(z), num_outputs), -30.0, dtype=torch.float64)  # for a class not in training
    with np.errstate(divide="ignore"):  # far from the training data a probability may be 0
        logits[:, model.classes_] = torch.from_numpy(model.predict_log_proba(z.numpy()))
    return logits
