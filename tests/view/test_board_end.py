"""What TensorBoard is given at the end of a run, against the numbers that it stands for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_board import finished_run
from torch import nn

from trainer.data.tensors import DataSpec
from trainer.view.board import projector, summaries
from trainer.view.board.histograms import histogram, histograms


def test_a_histogram_counts_as_numpy_does():
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    made = histogram(values)
    counts, edges = np.histogram(values.numpy(), 30)
    assert list(made.bucket) == counts.tolist()
    np.testing.assert_allclose(made.bucket_limit, edges[1:], atol=1e-6)
    assert (made.num, made.sum) == (1000, pytest.approx(values.sum().item(), rel=1e-4))


def test_a_histogram_of_equal_values_has_them_all():
    assert sum(histogram(torch.zeros(7)).bucket) == 7


def test_gradients_are_those_of_a_training_batch_and_leave_the_model_alone():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 1))
    outcome = finished_run(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = {v.tag: v.histo for step, s in histograms(outcome, 0, 4) for v in s.value if step == 4}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    inputs, targets = next(iter(outcome.data.train))
    loss = outcome.loss(model.train()(inputs), targets)
    (gradient,) = torch.autograd.grad(loss, model[2].bias)
    assert found["gradients/2.bias"].sum == pytest.approx(gradient.item(), rel=1e-5)


def test_a_run_that_goes_on_adds_only_what_is_new():
    steps = [step for step, _ in histograms(finished_run(), 2, 4)]
    assert sorted(set(steps)) == [2, 3, 4]


def test_many_classes_have_curves_of_the_most_frequent():
    targets = torch.cat([torch.arange(30), torch.arange(10, 30)])
    spec = DataSpec("multiclass", (1,), 30)
    outcome = replace(finished_run(), spec=spec, targets=targets, outputs=torch.eye(30)[targets])
    tags = [value.tag for _, made in summaries.pr_curves(outcome, 4) for value in made.value]
    assert tags == [f"precision_recall/{number}" for number in range(10, 30)]
    regression = replace(outcome, spec=DataSpec("regression", (1,)))
    assert not list(summaries.pr_curves(regression, 4))


def test_the_last_layer_makes_the_outputs_of_the_vectors():
    outcome = finished_run(nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)))
    vectors, pictures = projector.last_inputs(outcome)
    inputs = torch.cat([inputs for inputs, _ in outcome.data.test])
    torch.testing.assert_close(outcome.model[3](vectors), outcome.model(inputs))
    assert pictures.shape == (6, 1, 21, 32)
    assert not any(module._forward_pre_hooks for module in outcome.model.modules())


def test_a_model_without_a_linear_layer_stands_there_with_its_outputs(monkeypatch):
    outcome = finished_run(nn.Sequential(nn.Conv2d(1, 3, (2, 3)), nn.Flatten()))
    vectors, _ = projector.last_inputs(outcome)
    assert vectors.shape == (6, 3)
    monkeypatch.setattr(projector, "NUMBERS", 12)
    assert projector.last_inputs(outcome)[0].shape == (4, 3)


def test_the_projector_has_nothing_of_fewer_than_three_numbers(tmp_path):
    projector.write(tmp_path, finished_run(nn.Sequential(nn.Flatten(), nn.Linear(6, 2), nn.Linear(2, 1))))
    assert not list(tmp_path.iterdir())


def test_a_sprite_holds_the_images_row_by_row():
    images = torch.arange(5.0)[:, None, None, None].expand(5, 1, 2, 4)  # the fifth is the brightest
    sheet = projector.sprite(images)
    assert sheet.shape == (3 * 2, 3 * 4, 3)
    assert sheet[::2, ::4, 0].tolist() == [[0, 64, 128], [191, 255, 0], [0, 0, 0]]
    assert projector.small(torch.rand(2, 3, 100, 50)).shape == (2, 3, 32, 16)


def test_labels_are_in_the_units_of_the_file_and_keep_their_columns():
    outcome = finished_run()
    spec = DataSpec("regression", (1,), target_name="price", target_mean=10.0, target_std=2.0)
    rows = projector.labels(replace(outcome, spec=spec), 2)
    assert rows == [["price", "predicted"], ["12", "14"], ["10", "8"]]
    rows = projector.labels(replace(outcome, spec=DataSpec("binary", (1,), class_names=("a\tb\n", ""))), 2)
    assert rows[1:] == [["-", "-", "right"], ["a b", "a b", "right"]]


def test_a_table_keeps_its_columns():
    rows = summaries.environment({"a": {"b": "x|y"}, "command": ["run", "a b"]}).splitlines()
    assert rows == ["| what | value |", "| --- | --- |", "| a.b | x&#124;y |", "| command | run 'a b' |"]
