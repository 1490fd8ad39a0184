"""Jobs of a sweep measure the baselines of the same data once."""

from trainer.runs.ledger import Ledger
from trainer.runs.shared import shared


def test_jobs_of_a_sweep_with_the_same_key_measure_once(tmp_path):
    asked = []

    def measure():
        asked.append(1)
        return {"mean": {"mse": 0.1 + 0.2, "auc": float("nan")}}, ["a note"]

    def found(job, key):
        floor, notes = shared(tmp_path / job, key, measure)
        assert floor["mean"]["mse"] == 0.1 + 0.2
        assert floor["mean"]["auc"] != floor["mean"]["auc"]
        assert notes == ["a note"]

    for _ in range(2):  # a run that belongs to no sweep
        found("0", {"seed": 1})
    assert len(asked) == 2
    assert not list(tmp_path.iterdir())
    Ledger(tmp_path).append("sweep", command=[], jobs=3)
    for job, seed in (("0", 1), ("1", 1), ("2", 2)):
        found(job, {"seed": seed, "data": {"train": "ab"}})
    assert len(asked) == 4
    [broken, _] = (tmp_path / ".baselines").iterdir()
    broken.write_text('{"found": {"mean": {"mse": "much"}}, "notes": []}')
    for seed in (1, 2):
        found("2", {"data": {"train": "ab"}, "seed": seed})
    assert len(asked) == 5
