"""`dltrain explain`: its table and its picture."""

import io
import re
from itertools import pairwise

import pytest
import torch
from matplotlib.image import imread
from rich.console import Console
from test_graph import graph, model_and_batch

from trainer.explain.fold import folded
from trainer.explain.layout import WIDTH, layout
from trainer.explain.marks import marked
from trainer.explain.picture import HALF_WIDTH
from trainer.explain.table import brief, graph_table
from trainer.models.mlp import MLP

ROW = re.compile(r"^ *(\d+) +\S")


def pictures(outcome):
    return list(outcome.folder.glob("graph.png"))


def test_the_table_the_legend_and_the_picture(dltrain):
    outcome = dltrain("explain", "model=mlp", "data=diabetes", "model.hidden=[8,4]")
    assert (outcome.code, outcome.err) == (0, "")
    rows = [line for line in outcome.out.splitlines() if ROW.match(line)]
    assert len(rows) == 15
    assert rows[3].split()[:6] == ["3", "1", "linear", "0", "1", "2"]
    assert rows[-1].split()[:4] == ["14", "loss", "mse_loss", "13"]
    assert "vanishing  its gradient is shorter than 1/10,000 of the one at the model's output: no node" in outcome.out
    assert re.fullmatch(r"[\d-]+-explain-mlp-diabetes", outcome.folder.name)
    height, width, _ = imread(pictures(outcome)[0]).shape
    assert 400 < height < 2000
    assert 400 < width < 2000


def test_a_deep_sigmoid_network_is_marked_in_the_table(dltrain):
    deep = ("model=mlp", "model.hidden=[64,64,64,64,64,64,64,64]")
    for setting, mark in [("model.activation=sigmoid", "vanishing"), ("model.init=zeros", "dead")]:
        lines = dltrain("explain", *deep, setting, "data=diabetes").out.splitlines()
        marked_rows = [line for line in lines if ROW.match(line) and line.split()[-1] == mark]
        assert len(marked_rows) > 10
        assert f": {len(marked_rows)} nodes" in next(line for line in lines if line.startswith(mark))


def test_a_trained_model_is_explained_with_its_weights(dltrain):
    given = ("model=linear", "data=line", "epochs=200", "optim.lr=0.1")
    run = dltrain(*given)
    at_first, trained = dltrain("explain", *given).out, dltrain("explain", f"run={run.folder}").out
    losses = [float(re.search(r"mse_loss +\d+ +scalar +(\S+)", out)[1]) for out in (at_first, trained)]
    assert losses[1] < losses[0] / 10
    assert "linear on line" in trained


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["modl=mlp"], "did you mean model?"),
        (["model=mlpp"], "did you mean mlp"),
        (["run=nowhere"], "there is no run"),
        (["run=last", "model=mlp"], "leave out model=mlp"),
        (["--nothing"], "dltrain explain: '--nothing'"),
        (["model=gru", "data=iris"], "use model=mlp"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(dltrain, arguments, message):
    outcome = dltrain("explain", *arguments)
    assert outcome.code in (2, 4)
    assert outcome.out == ""
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not outcome.folder


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_cuts_no_number(width):
    model = MLP((13,), 1, hidden=[64] * 8, activation="sigmoid")
    nodes = marked(graph(model, torch.randn(32, 13), torch.randn(32, 1)))
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(graph_table(nodes))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert all(brief(node.gradient.rms) in text for node in nodes)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1, "1"), (-0.12345, "-0.123"), (999.9, "1e+03"), (1e-3, "1.0e-3"), (-2.5e-17, "-2.5e-17")],
)
def test_numbers_are_brief(value, text):
    assert brief(value) == text


@pytest.mark.parametrize("model", ["googlenet", "resnet", "lstm"])
def test_boxes_never_overlap_and_lines_lead_down(model):
    cell = ["model.cell=true"] if model == "lstm" else []
    built, loss, inputs, targets = model_and_batch([f"model={model}", "data=digits", *cell])
    nodes = folded(graph(built, inputs, targets, loss), 60)
    plan = layout(nodes)
    assert sorted(box.node for box in plan.boxes) == [node.number for node in nodes if not node.is_parameter]
    assert all(end.layer == start.layer + 1 for start, end in plan.lines)
    boxes = sorted((plan.spots[box].column, plan.spots[box].row, plan.spots[box].x) for box in plan.boxes)
    for (*before, left), (*here, right) in pairwise(boxes):
        assert before != here or right - left >= WIDTH - 1e-9 > 2 * HALF_WIDTH
    for place, spot in plan.spots.items():  # a passing value crosses no box
        others = [plan.spots[box].x for box in plan.boxes if box != place and box.layer == place.layer]
        assert all(abs(spot.x - x) > HALF_WIDTH for x in others)
    assert max(spot.x for spot in plan.spots.values()) <= plan.width - WIDTH / 2 + 1e-9
