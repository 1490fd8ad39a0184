"""The network with our own passes equals torch's, up to rounding."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from trainer.models import scratch
from trainer.models.mlp import MLP
from trainer.models.scratch import Leaf, Linear, ReLU, Run, Scratch, Sigmoid, SquaredError, SquaredErrorLoss, in_order


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize(("in_shape", "out_features"), [((13,), 1), ((1, 4, 4), 3)])
def test_it_learns_like_torchs_mlp_step_by_step(activation, in_shape, out_features):
    torch.manual_seed(0)
    ours = Scratch(in_shape, out_features, hidden=16, activation=activation)
    torch.manual_seed(0)
    theirs = MLP(in_shape, out_features, hidden=[16], activation=activation, dropout=0)
    data = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(320, *in_shape, generator=data), torch.randn(320, out_features, generator=data)
    runs = [
        (net, loss, torch.optim.SGD(net.parameters(), 0.1))
        for net, loss in [(ours, SquaredErrorLoss()), (theirs, nn.MSELoss())]
    ]
    start = torch.cat([p.detach().flatten() for p in ours.parameters()])
    for step in range(200):
        batch = torch.arange(32 * step, 32 * (step + 1)) % 320
        losses = []
        for net, loss, optimizer in runs:
            value = loss(net(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
        assert losses[0] == pytest.approx(losses[1], abs=1e-5), step
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-5), step
    assert (torch.cat([p.detach().flatten() for p in ours.parameters()]) - start).abs().max() > 0.1


def test_runs_of_both_give_the_same_results(dltrain):
    data = ("data=diabetes", "epochs=3", "precision=fp64", "clip=1", "ema=0.9")
    ours = dltrain(*data, "model=scratch", "loss=squared_error", "plots=auto", "tensorboard=full").summary
    theirs = dltrain(*data, "model=mlp", "model.hidden=[16]", "model.activation=sigmoid", "model.dropout=0").summary
    assert ours["test"] == pytest.approx(theirs["test"], rel=1e-9)
    assert ours["num_parameters"] == theirs["num_parameters"]


@pytest.mark.parametrize("activation", [Sigmoid, ReLU])
def test_gradients_equal_finite_differences(activation):
    torch.manual_seed(0)
    shapes = [(5, 3), (4, 3), (4,), (2, 4), (2,), (5, 2)]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def error(x, w1, b1, w2, b2, y):
        return SquaredError(Linear(activation(Linear(x, w1, b1)), w2, b2), y)

    assert torch.autograd.gradcheck(lambda *given: Run.apply(error, *given), tensors)


def test_a_node_that_is_used_twice_gets_both_gradients():
    x = torch.tensor([[2.0]], requires_grad=True)
    zero = torch.zeros(1)
    square = Run.apply(Linear, x, x, zero)  # x * x
    square.backward()
    assert x.grad.item() == 4
    a = Leaf(np.ones((1, 1)))
    order = in_order(SquaredError(Linear(a, a, Leaf(np.zeros(1))), a))
    assert order.count(a) == 1


def test_each_node_comes_after_its_inputs():
    x, weight, bias = Leaf(np.ones((2, 3))), Leaf(np.ones((4, 3))), Leaf(np.ones(4))
    hidden = Linear(x, weight, bias)
    end = SquaredError(Sigmoid(hidden), ReLU(hidden))
    order = in_order(end)
    assert len(order) == len(set(order)) == 7
    assert order[-1] is end
    for number, node in enumerate(order):
        assert set(node.inputs) <= set(order[:number])


def test_another_forward_pass_before_backward_changes_nothing():
    net = Scratch((3,), 1, hidden=4)
    first, second = torch.randn(5, 3), torch.randn(5, 3)
    outputs = net(first)
    with torch.no_grad():
        net(second)
    outputs.sum().backward()
    got = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net(first).sum().backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(got, net.parameters(), strict=True))


def test_nothing_overflows_far_from_zero():
    x = torch.tensor([[-1e4, 1e4]], requires_grad=True)
    outputs = Run.apply(Sigmoid, x)
    assert outputs.tolist() == [[0, 1]]
    outputs.sum().backward()
    assert x.grad.tolist() == [[0, 0]]


def test_an_unknown_activation_lists_the_choices():
    with pytest.raises(ValueError, match="activation=tanh: expected one of sigmoid, relu"):
        Scratch((3,), 1, hidden=4, activation="tanh")


def test_the_table_of_layers_shows_shapes_and_parameters(dltrain):
    outcome = dltrain("data=diabetes", "model=scratch", "dry_run=true")
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["hidden", "Layer", "(16,)", "176"] in rows
    assert ["output", "Layer", "(1,)", "17"] in rows


def test_the_lesson_shows_each_node_in_order_with_its_value_and_its_gradient():
    code = [sys.executable, "-m", "trainer.models.scratch"]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    title, *rows = done.stdout.splitlines()
    assert title.split() == ["node", "inputs", "value", "gradient"]
    kinds = [row.split()[1] for row in rows]
    assert kinds == ["x", "w1", "b1", "Linear", "Sigmoid", "w2", "b2", "Linear", "y", "SquaredError"]
    assert rows[-1].split() == ["10", "SquaredError", "8", "9", "1.3572", "1.0"]
    assert max(map(len, rows)) <= 120


def test_the_file_is_short_enough_to_read():
    assert len(Path(scratch.__file__).read_text().splitlines()) <= 200
