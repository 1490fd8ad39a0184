"""What a run wrote is read back through a real TensorBoard server, as its dashboard does."""

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest


@pytest.fixture
def serve():
    """Start a server on a folder; gives a function from a path and parameters to the JSON that it answers."""
    processes = []

    def start(folder):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
        command += ["--host", "localhost", "--load_fast", "false", "--reload_interval", "1"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        processes.append(process)
        for line in process.stderr:
            if found := re.search(r"http://localhost:(\d+)/", line):
                break
        else:
            pytest.fail("the server did not start")

        def get(path, body=None, **parameters):
            url = f"http://localhost:{found[1]}/data/{path}"
            url += f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read().decode()
            return json.loads(content) if content.startswith(("{", "[")) else content

        return get

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_dashboard_shows_scalars_graph_config_and_hyper_parameters(dltrain, serve):
    outcome = dltrain("model=mlp", "model.hidden=[16]", "epochs=3", "seed=4", "log_every=10")
    get = serve(outcome.folder.parent.parent)
    deadline = time.monotonic() + 60
    while not (tags := get("plugin/scalars/tags")) and time.monotonic() < deadline:
        time.sleep(0.5)
    (run,) = tags
    assert run == f"{outcome.folder.parent.name}/{outcome.folder.name}/tensorboard"
    assert set(tags[run]) == {
        *(f"{split}/{name}" for split in ("train", "val", "best", "test") for name in ("loss", "accuracy", "f1")),
        "lr",
        "gradient_norm",
    }

    def points(tag):
        return {step: value for _, step, value in get("plugin/scalars/scalars", tag=tag, run=run)}

    assert list(points("train/loss")) == list(range(10, 121, 10))
    assert list(points("val/accuracy")) == [40, 80, 120]
    assert points("test/accuracy") == {121: pytest.approx(outcome.summary["test"]["accuracy"], rel=1e-6)}
    assert all(value > 0 for value in points("gradient_norm").values())
    assert points("lr")[10] > points("lr")[110] > 0

    graph = get("plugin/graphs/graph", run=run, conceptual="false")
    assert "Linear" in graph
    text = get("plugin/text/text", tag="config/text_summary", run=run)
    assert "trainer.models.mlp.MLP" in text[0]["text"]

    experiment = get("plugin/hparams/experiment", body={"experimentName": ""})
    hparams = {info["name"] for info in experiment["hparamInfos"]}
    assert {"model", "optim.lr", "seed", "data.batch_size", "epochs"} <= hparams
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} == {
        f"{split}/{name}" for split in ("best", "test") for name in ("loss", "accuracy", "f1")
    }
    columns = [{"metric": {"tag": info["name"]["tag"], "group": ""}} for info in experiment["metricInfos"]]
    body = {"experimentName": "", "colParams": columns, "startIndex": 0, "sliceSize": 10}
    body["allowedStatuses"] = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    (group,) = get("plugin/hparams/session_groups", body=body)["sessionGroups"]
    assert (group["hparams"]["model"], group["hparams"]["seed"]) == ("mlp", 4)
    values = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    assert values["test/accuracy"] == pytest.approx(outcome.summary["test"]["accuracy"], rel=1e-6)
    assert values["best/loss"] == pytest.approx(outcome.summary["best"]["loss"], rel=1e-6)
    assert len(list((outcome.folder / "tensorboard").rglob("events*"))) == 1


def test_a_model_that_cannot_be_traced_is_no_reason_to_fail(tmp_path):
    import torch

    from trainer.view.board import Board

    class Odd(torch.nn.Linear):
        def forward(self, x):
            if torch.jit.is_tracing():
                raise RuntimeError("not today")
            return super().forward(x)

    board = Board(tmp_path, {"model": "odd"}, ["test/loss"])
    board.describe(Odd(2, 1), torch.zeros(2, 2), "a: 1")
    board.close(0, {"test/loss": 1.0})
    assert list(tmp_path.rglob("events*"))
