import csv
import json
import sys
from pathlib import Path

OWN_METRIC = ("metrics=[auto,mymetric.cost]", "monitor=cost")


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_project_is_written_trains_and_predicts(dltrain, tmp_path, monkeypatch):
    assert dltrain("init", "my project").code == 0
    monkeypatch.chdir(tmp_path / "my project")
    assert "already exists" in dltrain("init").err
    trained = dltrain("model=mynet", "data=mydata", "loss=myloss", "epochs=60", "optim.lr=0.03", *OWN_METRIC)
    assert trained.code == 0, trained.err
    (summary,) = Path().glob("outputs/*/*/summary.json")
    found = json.loads(summary.read_text())
    assert found["test"]["accuracy"] > 0.85
    assert (found["monitor"], found["higher_is_better"]) == ("cost", False)
    assert found["best"]["cost"] == min(float(row["val/cost"]) for row in rows_of(summary.with_name("metrics.csv")))
    low, high = found["test_interval"]["cost"]
    assert low < found["test"]["cost"] < high
    points = [("0.05", "-0.1", "inside"), ("0.95", "0.9", "outside"), ("-0.9", "-0.95", "outside")]
    (tmp_path / "new.csv").write_text("y,x\n" + "".join(f"{y},{x}\n" for x, y, _ in points))
    outcome = dltrain("predict", "last", str(tmp_path / "new.csv"), "output=found.csv")
    assert outcome.code == 0, outcome.err
    assert [row["prediction"] for row in rows_of("found.csv")] == [place for *_, place in points]
    assert dltrain("eval", "last").code == 0
    helped = dltrain("--help", "model=mynet")
    assert "model.width=64" in helped.out
    for name in ("mynet", "mydata", "myloss", "mymetric"):
        sys.modules.pop(name)
