"""The trace of a run is bounded, evenly spaced and exact."""

import pytest
import torch
from torch import nn

from trainer.engine.trace import Spaced, Trace


@pytest.mark.parametrize("steps", [3, 8, 9, 100, 1000])
def test_kept_steps_are_evenly_spaced_and_reach_the_end(steps):
    kept = Spaced(8, first=1)
    for step in range(1, steps + 1):
        if step >= kept.next:
            kept.add(step, step)
    assert kept.items == kept.steps == list(range(1, steps + 1, kept.spacing))[: len(kept.steps)]
    assert len(kept.steps) < 8
    assert steps - kept.steps[-1] < kept.spacing
    assert kept.spacing == 1 or len(kept.steps) >= 4


def test_the_weights_of_a_large_model_are_not_kept(monkeypatch):
    monkeypatch.setattr("trainer.engine.trace.WEIGHTS_BYTES", 100)
    recorder = Trace(nn.Linear(10, 10), 0)
    recorder.note(1, torch.tensor(0.5), 0.1)
    assert recorder.path()[0] == []
    assert recorder.losses() == ([1], [0.5], [0.1])


def test_the_path_holds_the_weights(monkeypatch):
    model = nn.Linear(2, 1, bias=False)
    recorder = Trace(model, 0)
    for step in range(1, 4):
        with torch.no_grad():
            model.weight.fill_(step)
        assert recorder.next == step
        recorder.note(step, torch.tensor(float(step)), 0.1)
    steps, path = recorder.path()
    assert steps == [0, 1, 2, 3]
    assert path[1:].tolist() == [[1, 1], [2, 2], [3, 3]]


def test_a_disabled_trace_keeps_nothing():
    recorder = Trace(nn.Linear(2, 1), 0, enabled=False)
    assert recorder.next == float("inf")
    assert recorder.path()[0] == recorder.losses()[0] == []
