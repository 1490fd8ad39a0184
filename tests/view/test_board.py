"""What a run writes is read back through a real TensorBoard server, as its pages do."""

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from importlib.metadata import version
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.data.tensors import DataSpec, Examples, Loaders, TensorLoader
from trainer.engine.trace import Trace
from trainer.view.board import open_board
from trainer.view.layers import layers_of
from trainer.view.outcome import Outcome


@pytest.fixture
def serve():
    """Start a server on a folder; return a function that gets a path with parameters as JSON or bytes."""
    processes = []

    def start(folder, load_fast="false"):
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
        command += ["--host", "localhost", "--load_fast", load_fast, "--reload_interval", "1"]
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
                content = answer.read()
            return json.loads(content) if content.startswith((b"{", b"[")) else content

        num_runs = len({file.parent for file in folder.rglob("events*")})
        deadline = time.monotonic() + 60
        while len(get("plugin/scalars/tags")) < num_runs and time.monotonic() < deadline:
            time.sleep(0.2)
        return get

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def session_groups(get, statuses=("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING"), **column):
    """Request what the table of HParams does, sorted or filtered by a column."""
    body = {"experimentName": "", "startIndex": 0, "sliceSize": 100, "colParams": [column] if column else []}
    body["allowedStatuses"] = [f"STATUS_{status}" for status in statuses]
    return get("plugin/hparams/session_groups", body=body).get("sessionGroups", [])


def metrics_of(group):
    return {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}


def sessions(get):
    """Return the names of the hyper-parameters, and their values and the metrics of each run."""
    experiment = get("plugin/hparams/experiment", body={"experimentName": ""})
    groups = session_groups(get)
    names = [info["name"] for info in experiment["hparamInfos"]]
    return names, [group["hparams"] for group in groups], [metrics_of(group) for group in groups]


def test_scalars_graph_text_and_hyper_parameters_of_a_run(dltrain, serve):
    outcome = dltrain("model=mlp", "model.hidden=[16]", "epochs=3", "seed=4", "log_every=10", "tensorboard=full")
    get = serve(outcome.folder.parent.parent)
    (run,) = tags = get("plugin/scalars/tags")
    assert run == f"{outcome.folder.parent.name}/{outcome.folder.name}/tensorboard"
    assert set(tags[run]) == {
        *(f"{split}/{name}" for split in ("train", "val", "best", "test") for name in ("loss", "accuracy", "f1_macro")),
        "update/lr",
        "update/gradient_norm",
    }

    def points(tag):
        return {step: value for _, step, value in get("plugin/scalars/scalars", tag=tag, run=run)}

    assert list(points("train/loss")) == list(range(10, 121, 10))
    assert list(points("val/accuracy")) == [40, 80, 120]
    assert points("test/accuracy") == {121: pytest.approx(outcome.summary["test"]["accuracy"], rel=1e-6)}
    assert all(value > 0 for value in points("update/gradient_norm").values())
    assert points("update/lr")[10] > points("update/lr")[110] > 0
    (category,) = get("plugin/custom_scalars/layout")["category"]
    charts = {chart["title"]: chart["multiline"]["tag"] for chart in category["chart"]}
    assert list(charts) == ["loss", "accuracy", "f1_macro"]
    assert [tag for tag in tags[run] if any(re.search(p, tag) for p in charts["f1_macro"])] == [
        "train/f1_macro",
        "val/f1_macro",
    ]

    assert b"Linear" in get("plugin/graphs/graph", run=run, conceptual="false")
    (config,) = get("plugin/text/text", tag="config/text_summary", run=run)
    assert "trainer.models.mlp.MLP" in config["text"]
    (environment,) = get("plugin/text/text", tag="environment/text_summary", run=run)
    assert f"<td>packages.torch</td>\n<td>{version('torch')}</td>" in environment["text"]
    (layers,) = get("plugin/text/text", tag="model/text_summary", run=run)
    assert "<td>Linear</td>\n<td>(16,)</td>\n<td>1,040</td>" in layers["text"]
    (results,) = get("plugin/text/text", tag="results/text_summary", run=run)
    low, _ = outcome.summary["test_interval"]["accuracy"]
    assert f"<td>{outcome.summary['test']['accuracy']:.4f}</td>" in results["text"]
    assert f"<td>{low:.4f}</td>" in results["text"]

    names, (hparams,), (metrics,) = sessions(get)
    assert {"model", "optim.lr", "seed", "data.batch_size", "epochs"} <= set(names)
    assert (hparams["model"], hparams["seed"]) == ("mlp", 4)
    assert metrics["test/accuracy"] == pytest.approx(outcome.summary["test"]["accuracy"], rel=1e-6)
    assert metrics["best/loss"] == pytest.approx(outcome.summary["best"]["loss"], rel=1e-6)
    assert len(list((outcome.folder / "tensorboard").rglob("events*"))) == 1


def test_basic_has_scalars_hyper_parameters_and_the_config(dltrain, serve, tmp_path):
    dltrain("model=logistic", "epochs=1", "limit_batches=2")
    get = serve(tmp_path / "outputs")
    names, ((_, metrics),) = sessions(get)[0], list(zip(*sessions(get)[1:], strict=True))
    assert "optim.lr" in names
    assert "test/accuracy" in metrics
    for plugin in ("images", "histograms", "pr_curves", "projector"):
        assert not any(
            dict(get(f"plugin/{plugin}/tags")).values() if plugin != "projector" else get("plugin/projector/runs")
        )
    assert {tag for tags in get("plugin/text/tags").values() for tag in tags} == {
        "config/text_summary",
        "results/text_summary",
    }


def test_a_sweep_over_data_and_models_is_a_table_that_can_be_sorted_and_filtered(dltrain, serve, tmp_path):
    axes = ["data=digits,diabetes", "model=mlp,linear", "optim.lr=1e-3,1e-2,1e30"]
    dltrain("-m", *axes, "epochs=1", "limit_batches=2", "log_every=1")
    (folder,) = tmp_path.glob("outputs/sweeps/*/*")
    assert dltrain(f"resume={folder / '0'}", "epochs=2").code == 0  # not a second session
    get, get_fast = serve(folder), serve(folder, "auto")
    assert session_groups(get) == session_groups(get_fast)
    assert get("plugin/custom_scalars/layout") == get_fast("plugin/custom_scalars/layout")
    summaries = {f.parent.name: json.loads(f.read_text()) for f in folder.glob("*/summary.json")}
    ends = {"finished": "STATUS_SUCCESS", "failed": "STATUS_FAILURE"}
    expected = {f"{job}/tensorboard": ends[summary["status"]] for job, summary in summaries.items()}
    assert len(expected) == 12
    assert set(expected.values()) == set(ends.values())

    # The columns are the swept keys only: none that one model alone has, and none with the same value everywhere.
    infos = get("plugin/hparams/experiment", body={"experimentName": ""})["hparamInfos"]
    assert [info["name"] for info in infos] == ["data", "model", "optim.lr"]
    assert all(info["differs"] for info in infos)
    assert [sorted(info.get("domainDiscrete", [])) for info in infos] == [["diabetes", "digits"], ["linear", "mlp"], []]
    assert infos[2]["domainInterval"] == {"minValue": 0.001, "maxValue": 1e30}
    groups = {group["name"]: group for group in session_groups(get)}
    assert {name: session["status"] for name, g in groups.items() for session in g["sessions"]} == expected
    assert all(group["hparams"].keys() == {"data", "model", "optim.lr"} for group in groups.values())

    # Every metric of a finished run is shown, and is a scalar of its own.
    tags = get("plugin/scalars/tags")
    for job, summary in summaries.items():
        if summary["status"] == "finished":
            found = metrics_of(groups[f"{job}/tensorboard"])
            reached = {f"{split}/{n}": v for split in ("best", "test") for n, v in summary[split].items()}
            assert {tag: found[tag] for tag in reached} == pytest.approx(reached, rel=1e-5)
            assert reached.keys() <= set(tags[f"{job}/tensorboard"])

    by_loss = [
        metrics_of(g).get("best/rmse") for g in session_groups(get, metric={"tag": "best/rmse"}, order="ORDER_ASC")
    ]
    measured = [value for value in by_loss if value is not None]
    assert by_loss == [*sorted(measured), *[None] * (12 - len(measured))]
    assert len(measured) == 4
    assert [g["hparams"]["optim.lr"] for g in session_groups(get, hparam="optim.lr", order="ORDER_DESC")][:4] == [
        1e30
    ] * 4
    linear = session_groups(get, hparam="model", filterDiscrete=["linear"])
    assert [g["hparams"]["model"] for g in linear] == ["linear"] * 6
    slow = session_groups(get, hparam="optim.lr", filterInterval={"minValue": 0, "maxValue": 0.005})
    assert [g["hparams"]["optim.lr"] for g in slow] == [0.001] * 4
    failed = {g["name"] for g in session_groups(get, statuses=["FAILURE"])}
    assert failed == {name for name, end in expected.items() if end == "STATUS_FAILURE"}

    (category,) = get("plugin/custom_scalars/layout")["category"]
    charts = {chart["title"]: chart["multiline"]["tag"] for chart in category["chart"]}
    assert {"loss", "accuracy", "rmse"} <= charts.keys()
    for run, title in (("1/tensorboard", "accuracy"), ("6/tensorboard", "rmse")):
        shown = [tag for tag in tags[run] if any(re.search(pattern, tag) for pattern in charts[title])]
        assert sorted(shown) == [f"train/{title}", f"val/{title}"]


def test_a_resumed_run_ends_once_at_its_last_step(dltrain, serve):
    dltrain("model=logistic", "epochs=2", "tensorboard=full")
    outcome = dltrain("resume=last", "epochs=4")
    get = serve(outcome.folder)
    run = "tensorboard"
    assert [step for _, step, _ in get("plugin/scalars/scalars", tag="test/accuracy", run=run)] == [161]
    assert [curve["step"] for curve in get("plugin/pr_curves/pr_curves", tag="precision_recall/3", run=run)[run]] == [
        161
    ]
    for tag in ("weights/layer.weight", "gradients/layer.weight"):
        steps = [step for _, step, _ in get("plugin/histograms/histograms", tag=tag, run=run)]
        assert steps == sorted(set(steps))
        assert steps[-1] == 161
        assert 40 < steps[-2] <= 160
    assert [text["step"] for text in get("plugin/text/text", tag="config/text_summary", run=run)] == [0, 81]
    _, _, (metrics,) = sessions(get)
    assert metrics["test/loss"] == pytest.approx(outcome.summary["test"]["loss"], rel=1e-6)


OUTPUTS = torch.tensor([2.0, -1.0, 0.5, -3.0, 1.0, -0.2])  # with the targets below: tp, tn, tp, fn, fp, tn
TARGETS = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])


def finished_run(model=None):
    """Return an outcome with six images of 2 x 3 pixels in two classes and weights recorded at steps 0 to 3."""
    torch.manual_seed(0)
    model = model or torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1)
    )
    spec = DataSpec("binary", (1, 2, 3), class_names=("no", "yes"))
    recorder = Trace(model, 0)
    for step in range(1, 4):
        recorder.note(step, torch.tensor(0.5), 0.1)
    loader = TensorLoader(Examples(torch.rand(6, 1, 2, 3), TARGETS[:, None]), 4, prepare=lambda images: images)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    return Outcome(
        {}, spec, Loaders(loader, loader, loader), model, loss, [], 1, recorder, OUTPUTS[:, None], TARGETS[:, None]
    )


def board_of(outcome, folder, drawn=None):
    """Write a whole run to `folder`; return the printed lines."""
    said = []
    board = open_board("full", folder, {"model": "small"}, ["loss"], None)
    sample = torch.zeros(2, 1, 2, 3)
    board.describe(
        outcome.model, sample, layers_of(outcome.model, sample), "a: 1", {"command": ["a", "b c"], "cpu": "x|y"}
    )
    board.show(4, outcome, drawn or {}, said.append)
    board.end(4, {"best/loss": 1.0, "test/loss": 2.0}, [("test", {"loss": 2.0})])
    board.close()
    return said


def test_each_page_shows_the_end_of_a_run(serve, tmp_path):
    picture = tmp_path / "curves.png"
    Image.new("RGB", (30, 20), "red").save(picture)
    outcome = finished_run()
    assert board_of(outcome, tmp_path / "run", {"curves": picture}) == []
    get = serve(tmp_path)
    assert list(get("plugin/images/tags")["run"]) == ["plots/curves"]
    (image,) = get("plugin/images/images", run="run", tag="plots/curves", sample=0)
    assert image["step"] == 4
    query = urllib.parse.parse_qs(image["query"])
    assert get("plugin/images/individualImage", blob_key=query["blob_key"][0]) == picture.read_bytes()

    names = [name for name, _ in outcome.model.named_parameters()]
    tags = {f"{group}/{name}" for group in ("weights", "gradients") for name in names}
    assert set(get("plugin/histograms/tags")["run"]) == tags
    shown = get("plugin/histograms/histograms", run="run", tag="weights/1.weight")
    assert [step for _, step, _ in shown] == [0, 1, 2, 3, 4]
    assert all(sum(count for _, _, count in bins) == 30 for _, _, bins in shown)

    assert list(get("plugin/pr_curves/tags")["run"]) == ["precision_recall/yes"]
    (curve,) = get("plugin/pr_curves/pr_curves", run="run", tag="precision_recall/yes")["run"]
    half = curve["thresholds"].index(0.5)
    assert (curve["precision"][half], curve["recall"][half]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert [curve[f"{sign}_positives"][half] for sign in ("true", "false")] == [2, 1]

    assert get("plugin/projector/runs") == ["run"]
    (info,) = get("plugin/projector/info", run="run")["embeddings"]
    assert (info["tensorName"], info["tensorShape"]) == ("last layer", [6, 5])
    vectors = np.frombuffer(get("plugin/projector/tensor", run="run", name="last layer"), dtype=np.float32)
    images = torch.cat([inputs for inputs, _ in outcome.data.test])
    hidden = outcome.model[:3](images).detach().numpy()
    np.testing.assert_allclose(vectors.reshape(6, 5), hidden, rtol=1e-3)
    rows = get("plugin/projector/metadata", run="run", name="last layer").decode().splitlines()
    assert rows[:3] == ["label\tpredicted\tresult", "yes\tyes\tright", "no\tno\tright"]
    assert [row.split("\t")[2] for row in rows[1:]] == ["right", "right", "right", "wrong", "wrong", "right"]
    assert info["sprite"]["singleImageDim"] == [32, 21]
    sheet = BytesIO(get("plugin/projector/sprite_image", run="run", name="last layer"))
    assert Image.open(sheet).size == (3 * 32, 3 * 21)  # the projector expects as many rows as columns

    (environment,) = get("plugin/text/text", run="run", tag="environment/text_summary")
    assert "<td>a 'b c'</td>" in environment["text"]
    assert "<td>x|y</td>" in environment["text"].replace("&#124;", "|")


def test_a_page_that_fails_is_reported_in_one_line_and_the_rest_is_written(tmp_path):
    class Odd(torch.nn.Linear):
        def forward(self, x):
            if torch.jit.is_tracing():
                raise RuntimeError("not today")
            if self.training:
                raise ValueError("never")
            return super().forward(x.flatten(1))

    (said,) = board_of(finished_run(Odd(6, 1)), tmp_path, {})
    assert said == "warning: TensorBoard's page histograms is incomplete: ValueError: never"
    (events,) = tmp_path.glob("events*")
    for tag in (b"weights/weight", b"precision_recall/yes", b"test/loss", b"graph/text_summary"):
        assert tag in events.read_bytes()
    assert (tmp_path / "projector" / "vectors.tsv").exists()


def test_off_writes_nothing_and_imports_nothing(tmp_path):
    code = (
        "import sys; sys.argv = ['dltrain', 'tensorboard=off', 'data=line', 'model=linear', 'epochs=1']\n"
        "from trainer.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not [name for name in sys.modules if 'tensorboard' in name and not name.startswith('trainer')]"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--logdir" not in done.stdout
    assert not list(tmp_path.rglob("tensorboard"))


def test_the_files_of_a_wide_model_stay_small(dltrain):
    outcome = dltrain("model=mlp", "model.hidden=[2048,2048]", "limit_batches=2", "epochs=1", "tensorboard=full")
    files = [file for file in (outcome.folder / "tensorboard").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 20e6
    rows = (outcome.folder / "tensorboard" / "projector" / "vectors.tsv").read_text().splitlines()
    assert {row.count("\t") for row in rows} == {2047}
