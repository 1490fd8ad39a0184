"""The graph of a model on one batch: against a computation by hand, and invariants of every model."""

from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from torch import nn

from trainer.build import parts
from trainer.config.check import checked
from trainer.config.schema import groups
from trainer.explain.fold import folded
from trainer.explain.marks import marked
from trainer.explain.node import pooled
from trainer.explain.record import record, size_of
from trainer.models.mlp import MLP

MODELS = [[f"model={name}"] for name in groups()["model"]]
CELLS = [[f"model={name}", "model.cell=true"] for name in ("rnn", "gru", "lstm")]


def model_and_batch(overrides):
    cfg, _ = checked(overrides)
    torch.manual_seed(0)
    data, spec = parts.data(cfg, torch.device("cpu"))
    inputs, targets = next(iter(data.train))
    model = parts.model(cfg, spec, inputs[:2])
    return model, parts.loss(cfg, spec, data.train.targets), inputs, targets


def graph(model, inputs, targets, loss=None):
    return record(model, loss or nn.MSELoss(), inputs, targets, nullcontext())


def by_title(nodes):
    return {node.title: node for node in nodes}


def assert_sorted(nodes):
    assert [node.number for node in nodes] == list(range(len(nodes)))
    assert all(source < node.number for node in nodes for source in node.inputs)
    assert nodes[-1].calls[0].module == "loss"
    used = {source for node in nodes for source in node.inputs}
    assert all(node.number in used for node in nodes[:-1] if node.gradient)


def test_values_and_gradients_equal_a_computation_by_hand():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True), nn.Linear(2, 1, bias=False))
    w, b = torch.tensor([[1.0, -1.0], [2.0, 0.5]]), torch.tensor([0.5, -1.0])
    v = torch.tensor([[3.0, -2.0]])
    model.load_state_dict({"0.weight": w, "0.bias": b, "2.weight": v})
    x, y = torch.tensor([[1.0, 2.0], [-1.0, 0.5]]), torch.tensor([[1.0], [-1.0]])
    z = x @ w.T + b
    h = z.clamp(min=0)
    out = h @ v.T
    d_out = 2 * (out - y) / 2  # mean over two examples
    d_h = d_out @ v
    d_z = d_h * (z > 0)
    expected = {
        "inputs": (x, d_z @ w),
        "0.weight": (w, d_z.T @ x),
        "0.bias": (b, d_z.sum(0)),
        "0 linear": (z, d_z),
        "1 relu": (h, d_h),
        "2.weight": (v, d_out.T @ h),
        "2 linear": (out, d_out),
        "loss mse_loss": ((out - y).square().mean(), torch.ones(())),
    }
    nodes = graph(model, x, y)
    assert [node.title for node in nodes] == list(expected)
    assert [node.inputs for node in nodes] == [(), (), (), (0, 1, 2), (3,), (), (4, 5), (6,)]
    for node, (value, gradient) in zip(nodes, expected.values(), strict=True):
        assert node.shape == value.shape
        assert node.value == pytest.approx(size_of(value)), node.title
        assert node.gradient == pytest.approx(size_of(gradient)), node.title


@pytest.mark.parametrize("overrides", MODELS + CELLS, ids=" ".join)
def test_every_model_has_a_sorted_graph_without_vanishing_gradients(overrides):
    model, loss, inputs, targets = model_and_batch([*overrides, "data=digits"])
    nodes = marked(record(model, loss, inputs, targets, nullcontext()))
    assert_sorted(nodes)
    assert not [node for node in nodes if node.mark]
    found = {node.name: node for node in nodes if node.is_parameter}
    assert set(found) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        assert found[name].gradient == pytest.approx(size_of(parameter.grad))
    for most in (60, 24):
        fewer = folded(nodes, most)
        assert_sorted(fewer)
        assert len(fewer) <= most
        of_parameters = [pooled([n.gradient for n in g if n.is_parameter]) for g in (nodes, fewer)]
        assert of_parameters[0] == pytest.approx(of_parameters[1])


def test_tokens_have_no_gradient_and_a_loop_is_folded_to_its_steps(tmp_path):
    rows = "".join(f"{'ab' * 20}{i % 2},{'even' if i % 2 else 'odd'}\n" for i in range(60))
    (tmp_path / "text.csv").write_text("text,label\n" + rows)
    data = ["data=text", f"data.path={tmp_path / 'text.csv'}"]
    model, loss, inputs, targets = model_and_batch([*data, "model=gru", "model.cell=true"])
    nodes = record(model, loss, inputs, targets, nullcontext())
    assert nodes[0].gradient is None
    assert [nodes[i].title for i in by_title(nodes)["embedding embedding"].inputs] == ["inputs", "embedding.weight"]
    steps = [node for node in folded(nodes, 60) if node.title == "cell GRUCell"]
    assert len(steps) == inputs.shape[1]
    assert all(before.number in after.inputs for before, after in pairwise(steps))
    assert_sorted(folded(nodes, 20))
    assert len(folded(nodes, 20)) <= 20


def test_vanishing_exploding_and_dead_gradients_are_marked():
    torch.manual_seed(0)
    x, y = torch.randn(32, 13), torch.randn(32, 1)

    def marks(model):
        return {node.title: node.mark for node in marked(graph(model, x, y))}

    sigmoid = marks(MLP((13,), 1, hidden=[64] * 8, activation="sigmoid"))
    assert sigmoid["1.weight"] == sigmoid["1 linear"] == "vanishing"
    assert sigmoid["22 linear"] == sigmoid["25 linear"] == sigmoid["loss mse_loss"] == ""
    assert not any(marks(MLP((13,), 1)).values())

    large = MLP((13,), 1, hidden=[64] * 4)
    with torch.no_grad():
        for layer in large:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(30)
    assert marks(large)["1.weight"] == "exploding"
    assert marks(large)["13 linear"] == ""

    zeros = marks(MLP((13,), 1, hidden=[8], init="zeros"))
    assert zeros["1.weight"] == zeros["4.weight"] == zeros["2 relu"] == "dead"
    assert zeros["4.bias"] == zeros["4 linear"] == ""

    off = MLP((13,), 1, hidden=[8])
    nn.init.constant_(off[1].bias, -100)
    assert marks(off)["1 linear"] == marks(off)["2 relu"] == "dead"
    assert marks(off)["4.bias"] == ""


class Exp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x * 1.0).exp()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].exp()


class Odd(nn.Module):
    """A user's module: a custom function, parts of a tensor, in-place writes, a layer used twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 4)

    def forward(self, x):
        x += 1
        left, right = self.layer(x).split(2, dim=1)
        both = torch.cat([Exp.apply(left), right.tanh()], 1)
        both[:, 0] = 0
        twice = self.layer(both).T.T
        with torch.no_grad():
            twice.abs()
        return twice.sum(1, keepdim=True)


def test_custom_functions_parts_in_place_writes_and_a_layer_used_twice():
    torch.manual_seed(0)
    inputs = torch.randn(5, 4)
    before = inputs.clone()
    nodes = graph(Odd(), inputs, torch.randn(5, 1))
    assert torch.equal(inputs, before)
    assert_sorted(nodes)
    titles = [node.title for node in nodes]
    assert titles.count("layer linear") == 2
    assert titles.count("layer.weight") == 1
    assert "unused.weight" not in titles
    assert "abs" not in titles
    node = by_title(nodes)
    assert node["split"].gradient.numel == 5 * 4  # both parts together
    assert [nodes[i].title for i in node["Exp"].inputs] == ["split"]
    assert {nodes[i].title for i in node["cat"].inputs} == {"Exp", "tanh"}
    assert node["cat"].gradient.zeros == pytest.approx(1 / 4)  # the column that was written over
    assert [nodes[i].title for i in node["CopySlices"].inputs] == ["cat"]
    assert nodes[node["add"].inputs[0]].title == "inputs"
    assert node["inputs"].gradient == pytest.approx(node["add"].gradient)


def test_a_model_without_modules_is_folded_by_neighbours():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

        def forward(self, x):
            for _ in range(100):
                x = torch.sin(x)
            return (x * self.w).sum(1, keepdim=True)

    nodes = graph(Plain(), torch.randn(4, 3), torch.randn(4, 1))
    fewer = folded(nodes, 60)
    assert 30 <= len(fewer) <= 60
    assert_sorted(fewer)
    assert fewer[1].title == "sin ... sin"
