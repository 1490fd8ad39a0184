"""Pictures show what other code computes, and no kind of run makes one, or itself, fail."""

import math
import os
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from sklearn import metrics
from torch import nn

from trainer.data.tensors import DataSpec, Examples, Loaders, TensorLoader
from trainer.engine.trace import Trace
from trainer.errors import ConfigError
from trainer.models.linear import Linear
from trainer.view import pictures, style
from trainer.view.errors import worst
from trainer.view.outcome import Outcome
from trainer.view.plots import classification, curves, surface, weights
from trainer.view.plots.images import first_filters, mosaic

LOSSES = {
    "regression": F.mse_loss,
    "binary": F.binary_cross_entropy_with_logits,
    "multiclass": F.cross_entropy,
}


def outcome_of(spec, inputs, targets, model=None, *, steps=40, lr=0.1, history=None, record=True):
    """Return the outcome of full-batch gradient descent, with a row of history every ten steps."""
    torch.manual_seed(0)
    model = model or Linear(spec.in_shape, spec.out_features)
    loss = LOSSES[spec.task]
    recorder, rows = Trace(model, 0, enabled=record), []
    for step in range(1, steps + 1):
        value = loss(model(inputs.float()), targets)
        model.zero_grad()
        value.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= lr * parameter.grad
        if step >= recorder.next:
            recorder.note(step, value, lr)
        if step % 10 == 0:
            names = ("loss", "rmse", "mae") if spec.task == "regression" else ("loss", "accuracy")
            scores = {f"{split}/{name}": value.item() for split in ("train", "val") for name in names}
            rows.append({"epoch": step // 10, "step": step, "seconds": 0.1, "lr": lr} | scores)
    recorder.end(steps)
    loader = TensorLoader(Examples(inputs, targets), 16, prepare=lambda batch: batch.float())
    outputs = model.eval()(inputs.float()).detach()
    names = {"model": "some", "data": "thing", "optim": "sgd", "scheduler": "constant"}
    rows = rows if history is None else history
    return Outcome(
        names, spec, Loaders(loader, loader, loader), model, loss, rows, len(rows), recorder, outputs, targets
    )


def line(num=60):
    """Return a standardised feature x and target y of a file that holds 10 x + 5 and 3 y - 7."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(num, 1, generator=generator)
    y = 0.8 * x + 0.4 + 0.3 * torch.randn(num, 1, generator=generator)
    units = {"feature_mean": torch.tensor([5.0]), "feature_std": torch.tensor([10.0])}
    spec = DataSpec(
        "regression", (1,), feature_names=("size",), target_name="price", target_mean=-7, target_std=3, **units
    )
    return spec, x, y


def hours(num=60):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(num, 1, generator=generator)
    y = (x + 0.5 * torch.randn(num, 1, generator=generator) > 0.3).float()
    return DataSpec("binary", (1,), class_names=("failed", "passed"), feature_names=("hours",)), x, y


def images(num=80, classes=3, side=6, channels=1):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (num, channels, side, side), generator=generator, dtype=torch.uint8)
    y = torch.randint(0, classes, (num,), generator=generator)
    names = tuple(f"class {k}" for k in range(classes))
    return DataSpec("multiclass", (channels, side, side), classes, class_names=names), x, y


def drawn(name, outcome):
    with style.look():
        picture = pictures.PICTURES[name](outcome)
        FigureCanvasAgg(picture).draw()
    return picture


def lines(picture, panel=0):
    """Return label -> points `(N, 2)`."""
    return {line.get_label(): line.get_xydata() for line in picture.axes[panel].lines}


# What is drawn


@pytest.mark.parametrize("span", [1, 3.5, 20])
def test_smoothing_matches_pandas(span):
    values = np.random.default_rng(0).normal(size=200)
    expected = pd.Series(values).ewm(span=span).mean()
    np.testing.assert_allclose(curves.smoothed(list(values), span), expected, rtol=1e-12)


def test_learning_curves_show_the_history_and_mark_the_best_epoch():
    outcome = outcome_of(*images(), lr=1e-4)
    picture = drawn("curves", outcome)
    shown = lines(picture)
    assert shown["validation"].tolist() == [[row["epoch"], row["val/loss"]] for row in outcome.history]
    assert shown["best epoch"][0, 0] == 4
    np.testing.assert_allclose(shown["update"][:, 1], outcome.recorder.losses()[1])
    np.testing.assert_allclose(shown["update"][[0, -1], 0], [0.1, 4])  # in epochs
    assert {"accuracy, training", "accuracy, validation"} <= set(lines(picture, 1))


def test_the_schedule_shows_the_learning_rates_of_the_run(dltrain, monkeypatch):
    seen = []
    monkeypatch.setattr(pictures, "draw", lambda which, folder, outcome, say: seen.append(outcome) or {})
    command = ["model=linear", "data=diabetes", "epochs=2", "scheduler=linear", "scheduler.warmup=0"]
    dltrain(*command, "optim=sgd", "optim.lr=0.4", "data.batch_size=full", "plots=auto")
    assert drawn("schedule", seen[0]).axes[0].lines[0].get_xydata().tolist() == [[1, 0.2], [2, 0]]


def test_the_fitted_line_is_in_the_units_of_the_file():
    outcome = outcome_of(*line())
    picture = drawn("fit", outcome)
    x, y = lines(picture)["model of epoch 4"].T
    w, b = (p.item() for p in outcome.model.parameters())
    np.testing.assert_allclose(y, 3 * (w * (x - 5) / 10 + b) - 7, rtol=1e-4, atol=1e-4)
    data = lines(picture)["data"]
    np.testing.assert_allclose(np.sort(data[:, 0]), np.sort(10 * outcome.data.train.inputs[:, 0] + 5), rtol=1e-5)
    assert f"price = {3 * w / 10:.4g} size" in picture.texts[0].get_text()


def test_the_decision_curve_crosses_one_half_at_the_decision_boundary():
    outcome = outcome_of(*hours(), steps=200, lr=1.0)
    picture = drawn("fit", outcome)
    w, b = (p.item() for p in outcome.model.parameters())
    boundary = float(re.search(r"hours = ([-\d.]+)", picture.texts[0].get_text())[1])
    assert boundary == pytest.approx(-b / w, abs=0.03)
    x, y = lines(picture)["probability of passed, epoch 20"].T
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-(w * x + b))), atol=1e-5)


def test_the_fit_of_the_last_epoch_is_shown_if_another_was_best():
    outcome = outcome_of(*line())
    assert "after the last epoch" not in lines(drawn("fit", outcome))
    with torch.no_grad():
        outcome.model.layer.bias += 1
    assert "after the last epoch" in lines(drawn("fit", outcome))


def test_predictions_and_residuals_are_in_the_units_of_the_file():
    outcome = outcome_of(*line())
    true = 3 * outcome.targets[:, 0].double() - 7
    predicted = 3 * outcome.outputs[:, 0].double() - 7
    picture = drawn("predictions", outcome)
    np.testing.assert_allclose(lines(picture)["60 test examples"], torch.stack([true, predicted], 1), rtol=1e-6)
    assert f"r2 {metrics.r2_score(true, predicted):.3f}" in picture.texts[0].get_text()
    shown = drawn("residuals", outcome).axes
    points = torch.stack([predicted, predicted - true], 1)
    np.testing.assert_allclose(shown[1].lines[0].get_xydata(), points, rtol=1e-6)
    assert sum(bar.get_height() for bar in shown[0].patches) == 60


def test_the_confusion_matrix_matches_scikit_learn():
    outcome = outcome_of(*images(), lr=1e-4)
    expected = metrics.confusion_matrix(outcome.targets, outcome.outputs.argmax(1))
    panel = drawn("confusion", outcome).axes[0]
    written = np.zeros((3, 3), int)
    for text in panel.texts:
        column, row = text.get_position()
        written[row, column] = int(text.get_text().split("\n")[0])
    assert written.tolist() == expected.tolist()
    np.testing.assert_allclose(panel.images[0].get_array(), expected / expected.sum(1, keepdims=True))


def test_with_many_classes_the_pairs_most_often_confused_are_shown():
    spec, x, y = images(400, classes=30)
    outcome = outcome_of(spec, x, y, steps=0, history=[])
    expected = metrics.confusion_matrix(y, outcome.outputs.argmax(1), labels=range(30))
    np.fill_diagonal(expected, 0)
    panel = drawn("confusion", outcome).axes[0]
    assert [bar.get_width() for bar in panel.patches] == sorted(expected.flatten().tolist(), reverse=True)[:20]


def test_precision_and_recall_match_scikit_learn():
    outcome = outcome_of(*images(), lr=1e-4)
    predicted = outcome.outputs.argmax(1)
    precision, recall, _, _ = metrics.precision_recall_fscore_support(outcome.targets, predicted, zero_division=0)
    bars = [bar.get_width() for bar in drawn("classes", outcome).axes[0].patches]
    np.testing.assert_allclose(bars, [*precision, *recall])


@pytest.mark.parametrize("digits", [1, 8])
def test_areas_match_scikit_learn_even_with_equal_scores(digits):
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(200, generator=generator, dtype=torch.float64).round(decimals=digits)
    positive = torch.rand(200, generator=generator) < scores
    found = classification.ranked(scores, positive)
    assert found.auc == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-12)
    assert found.average_precision == pytest.approx(metrics.average_precision_score(positive, scores), abs=1e-12)
    false, true, _ = metrics.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(torch.stack([found.false_positives, found.recall]), [false, true], atol=1e-12)


def test_a_class_without_or_with_all_examples_has_no_curve():
    assert classification.ranked(torch.rand(5), torch.zeros(5, dtype=torch.bool)) is None
    assert classification.ranked(torch.rand(5), torch.ones(5, dtype=torch.bool)) is None


def test_the_worst_mistakes_come_first():
    outcome = outcome_of(*images(), lr=1e-4)
    index, number = worst(outcome.spec, outcome.outputs, outcome.targets, 5)
    chance = outcome.outputs.double().softmax(1)[range(80), outcome.targets]
    wrong = outcome.outputs.argmax(1) != outcome.targets
    assert number == int(wrong.sum())
    assert index.tolist() == sorted(wrong.nonzero().flatten().tolist(), key=lambda i: float(chance[i]))[:5]


def test_a_mosaic_puts_each_image_in_its_place():
    shown = np.random.default_rng(0).random((5, 4, 6, 3)).astype(np.float32)
    tiled, places = mosaic(shown, columns=3, text=0.5)
    np.testing.assert_array_equal(tiled[:4, :6], shown[0])
    top, left = int(places[4][1]) - 4, round(places[4][0] + 0.5 - 3)
    np.testing.assert_array_equal(tiled[top : top + 4, left : left + 6], shown[4])


def test_the_first_layer_is_found_if_it_reads_an_image():
    convolution, linear = nn.Conv2d(3, 8, 5), nn.Linear(3 * 36, 7)
    found = first_filters(nn.Sequential(convolution, nn.BatchNorm2d(8)), (3, 6, 6))
    assert torch.equal(found, convolution.weight)
    found = first_filters(nn.Sequential(nn.Flatten(), linear), (3, 6, 6))
    assert torch.equal(found.flatten(1), linear.weight)
    assert first_filters(nn.GRU(6, 3), (1, 6, 6)) is None


def test_the_gradient_matches_autograd_and_leaves_none_on_the_model():
    outcome = outcome_of(*images(num=16), lr=1e-4)
    found, number = weights.gradient(outcome)
    outcome.model.zero_grad()
    assert number == 16
    assert all(p.grad is None for p in outcome.model.parameters())
    outcome.loss(outcome.model(outcome.data.train.inputs.float()), outcome.targets).backward()
    for name, parameter in outcome.model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


def test_a_busy_machine_reads_as_many_examples_as_an_idle_one():
    outcome = outcome_of(*line())

    def waits(inputs):
        time.sleep(0.02)
        return outcome.model(inputs)

    inputs, targets = outcome.training_batch(waits, most=60, seconds=0.02)
    assert len(inputs) == len(targets) == 60


# The path of the weights


def test_the_surface_of_two_parameters_is_exact_and_lowest_at_the_least_squares_fit():
    outcome = outcome_of(*line(), steps=300)
    found = surface.landscape(outcome)
    x, y = (part.double().numpy()[:, 0] for part in (outcome.data.train.inputs, outcome.targets))
    assert found.num_examples == 60
    error = found.x[None, :, None] * x + found.y[:, None, None] - y
    np.testing.assert_allclose(found.loss, np.square(error).mean(2), rtol=1e-5)
    w, b = np.polyfit(x, y, 1)
    row, column = np.unravel_index(found.loss.argmin(), found.loss.shape)
    assert abs(found.x[column] - w) <= np.diff(found.x)[0]
    assert abs(found.y[row] - b) <= np.diff(found.y)[0]
    assert found.loss.min() >= np.square(w * x + b - y).mean() - 1e-6


def test_the_path_ends_at_the_final_weights_and_lies_on_the_surface():
    outcome = outcome_of(*line())
    final = [p.item() for p in outcome.model.parameters()]
    with torch.no_grad():
        outcome.model.layer.bias += 0.1  # as if an earlier epoch were best
    found = surface.landscape(outcome)
    np.testing.assert_allclose(found.path[-1], final, rtol=1e-6)
    np.testing.assert_allclose(found.chosen, [final[0], final[1] + 0.1], rtol=1e-5)
    for axis, ends in ((0, found.x), (1, found.y)):
        assert ends[0] < found.path[:, axis].min()
        assert ends[-1] > found.path[:, axis].max()
    shown = lines(drawn("surface", outcome))["path"]
    np.testing.assert_array_equal(shown, found.path)


def test_the_main_plane_matches_a_singular_value_decomposition():
    steps = torch.randn(30, 12, generator=torch.Generator().manual_seed(0)).cumsum(0)
    plane, shares = surface.main_plane(steps)
    _, values, directions = np.linalg.svd((steps - steps[-1]).numpy(), full_matrices=False)
    np.testing.assert_allclose(np.abs((plane.axes.numpy() * directions[:2]).sum(1)), 1, atol=1e-4)
    np.testing.assert_allclose(shares, values[:2] ** 2 / (values**2).sum(), rtol=1e-4)
    np.testing.assert_allclose(plane.places(steps)[-1], 0, atol=1e-6)


def test_a_straight_path_still_has_a_plane():
    steps = torch.linspace(0, 1, 10)[:, None] * torch.tensor([3.0, 4.0, 0.0, 0.0])
    plane, shares = surface.main_plane(steps)
    torch.testing.assert_close(plane.axes @ plane.axes.T, torch.eye(2))
    torch.testing.assert_close(plane.axes[0], torch.tensor([0.6, 0.8, 0.0, 0.0]))
    assert shares[0] == pytest.approx(1)


def test_the_surface_of_a_larger_model_is_the_loss_at_those_weights():
    outcome = outcome_of(*images(num=40), nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), lr=1e-5)
    found = surface.landscape(outcome)
    plane, _ = surface.main_plane(outcome.recorder.path()[1])
    flat = plane.origin + found.x[2] * plane.axes[0] + found.y[3] * plane.axes[1]
    torch.nn.utils.vector_to_parameters(flat.float(), outcome.model.parameters())
    expected = outcome.loss(outcome.model(outcome.data.train.inputs.float()), outcome.targets)
    assert found.num_examples == 40
    assert found.loss[3, 2] == pytest.approx(expected.item(), rel=1e-4)


def test_interpolation_between_grid_points_is_exact_for_a_paraboloid():
    x, y = np.linspace(-1, 2, 7), np.linspace(0, 3, 9)

    def bowl(x, y):
        return 2 * x**2 - x * y + y**2 + 3 * x - 1

    fine_x, fine_y, height = surface.finer(x, y, bowl(x, y[:, None]))
    np.testing.assert_allclose(height, bowl(fine_x, fine_y[:, None]), atol=1e-12)
    assert len(fine_x) == 121


def test_without_vmap_the_surface_is_the_same(monkeypatch):
    outcome = outcome_of(*line())
    batched = surface.landscape(outcome)
    monkeypatch.setattr(surface, "BATCHED", 0)
    single = surface.landscape(outcome)
    corners = np.ix_([0, -1], [0, -1])
    np.testing.assert_allclose(single.loss[corners], batched.loss[corners], rtol=1e-5)


def test_distances_are_to_the_final_weights():
    outcome = outcome_of(*line())
    steps, way = outcome.recorder.path()
    shown = lines(drawn("distances", outcome))
    for name, values in zip(("layer.weight", "layer.bias"), way.T, strict=True):
        np.testing.assert_allclose(shown[name], np.stack([steps, (values - values[-1]).abs()], 1), atol=1e-6)
        assert shown[name][-1].tolist() == [40, 0]


# All kinds of runs


def tokens():
    spec = DataSpec("multiclass", (5,), 3, vocab_size=9, class_names=("a", "b", "c"))
    return spec, torch.randint(0, 9, (30, 5), dtype=torch.int32), torch.arange(30) % 3


def named(*names):
    spec, x, y = images(60, classes=len(names))
    return DataSpec("multiclass", spec.in_shape, len(names), class_names=names), x, y


def constant():
    spec, x, y = line()
    return spec, x, torch.full_like(y, 2.0)


def broken_outputs():
    outcome = outcome_of(*images())
    outcome.outputs[:] = math.nan
    return outcome


NAN = {"epoch": 1, "step": 5, "seconds": 0.1, "lr": 0.1} | dict.fromkeys(
    [f"{split}/{name}" for split in ("train", "val") for name in ("loss", "rmse", "r2", "accuracy", "auc")], math.nan
)
RUNS = {
    "regression": lambda: outcome_of(*line()),
    "binary": lambda: outcome_of(*hours()),
    "images": lambda: outcome_of(*images(), lr=1e-5),
    "colour": lambda: outcome_of(
        *images(channels=3), nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    ),
    "tokens": lambda: outcome_of(*tokens(), Words()),
    "one test example": lambda: outcome_of(*line(1)),
    "one image": lambda: outcome_of(*images(1), lr=1e-5),
    "one epoch": lambda: outcome_of(*line(), steps=10),
    "no update": lambda: outcome_of(*line(), steps=0, history=[]),
    "not recorded": lambda: outcome_of(*line(), record=False),
    "nan losses": lambda: outcome_of(*line(), steps=5, history=[NAN]),
    "diverged": lambda: outcome_of(*line(), steps=30, lr=30.0),
    "nan outputs": broken_outputs,
    "constant target": lambda: outcome_of(*constant()),
    "one class only": lambda: outcome_of(*hours()[:2], torch.zeros(60, 1)),
    "a hundred classes": lambda: outcome_of(*images(150, classes=100), lr=1e-5),
    "names": lambda: outcome_of(*named("Größe", "水 и воздух", "$x_{$", "very " * 20 + "long", "two\nlines"), lr=1e-5),
    "all right": lambda: outcome_of(*images(6), steps=300, lr=1e-4),
}


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(20, 3)

    def forward(self, x):
        return self.head(self.embedding(x.long()).flatten(1))


@pytest.mark.parametrize("run", RUNS)
def test_every_picture_is_drawn_without_a_warning_or_does_not_apply(run, tmp_path, monkeypatch):
    monkeypatch.setattr(surface, "SECONDS", 0.05)
    said = []
    outcome = RUNS[run]()
    files = pictures.draw("auto", tmp_path / "plots of a run", outcome, said.append)
    assert said == []
    assert files or run == "no update"
    for name, file in files.items():
        with Image.open(file) as picture:
            assert picture.width < 2000, name
            assert picture.height < 1500, name
    assert sorted(files.values()) == sorted((tmp_path / "plots of a run").glob("*"))


# In a run


def test_a_run_prints_where_its_pictures_are(dltrain):
    outcome = dltrain("model=linear", "data=diabetes", "epochs=2", "plots=auto")
    names = {file.stem for file in (outcome.folder / "plots").glob("*.png")}
    assert names == {"curves", "schedule", "predictions", "residuals", "weights", "distances", "surface", "importance"}
    assert f"pictures      {outcome.folder.relative_to(outcome.folder.parents[2])}/plots ({len(names)})" in outcome.out


@pytest.mark.parametrize("asked", ["off", "false", "[]", "null"])
def test_without_pictures_there_is_no_folder(dltrain, asked):
    outcome = dltrain("model=linear", "data=diabetes", "epochs=1", f"plots={asked}")
    assert outcome.code == 0
    assert not (outcome.folder / "plots").exists()
    assert "pictures" not in outcome.out


def test_pictures_can_be_chosen_by_name(dltrain):
    outcome = dltrain("model=linear", "data=diabetes", "epochs=1", "plots=[curves,confusion]")
    assert [file.name for file in (outcome.folder / "plots").iterdir()] == ["curves.png"]
    assert "plots: confusion does not apply to this run" in outcome.out
    assert dltrain("model=linear", "data=diabetes", "epochs=1", "plots=predictions").code == 0


def test_an_unknown_picture_is_an_error_before_training_that_suggests_a_name(dltrain):
    outcome = dltrain("plots=[curves,confusoin]")
    assert outcome.code == 2
    assert "plots=confusoin: no such picture; did you mean confusion?" in outcome.err
    assert outcome.folder is None


@pytest.mark.parametrize("wrong", [True, 3, ["auto"], "every", [["curves"]]])
def test_other_values_of_plots_are_refused(wrong):
    with pytest.raises(ConfigError, match="no such picture"):
        pictures.check(wrong)


def test_a_picture_that_fails_is_reported_and_the_run_continues(dltrain, monkeypatch):
    def fails(outcome):
        raise RuntimeError("no colour left")

    monkeypatch.setitem(pictures.PICTURES, "curves", fails)
    outcome = dltrain("model=linear", "data=diabetes", "epochs=1", "plots=auto")
    assert outcome.code == 0
    assert outcome.summary["status"] == "finished"
    assert outcome.out.count("warning: could not draw curves: RuntimeError: no colour left") == 1
    assert "Traceback" not in outcome.out + outcome.err
    assert "Traceback" in (outcome.folder / "train.log").read_text()
    assert (outcome.folder / "plots" / "schedule.png").exists()


def test_pictures_do_not_change_the_results(dltrain, one_thread):
    first = dltrain("model=mlp", "data=iris", "epochs=2", "plots=auto", "tensorboard=full").summary
    second = dltrain("model=mlp", "data=iris", "epochs=2").summary
    assert (first["test"], first["best"]) == (second["test"], second["best"])


def test_a_read_only_home_is_fine_and_matplotlib_is_imported_late(tmp_path):
    code = (
        "import sys; from trainer.view import pictures, style\n"
        "pictures.check('auto')\n"
        "assert 'matplotlib' not in sys.modules\n"
        "with style.look(): style.save(style.figure('a title')[0], __import__('pathlib').Path('a.png'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), "/proc/nowhere")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | nowhere,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "a.png").stat().st_size > 0
