"""What is exported gives what the model gives, where there is no package of ours."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from trainer.build import parts
from trainer.config.check import checked
from trainer.config.schema import groups
from trainer.data.tensors import DataSpec
from trainer.errors import CheckpointError
from trainer.models.rnn import Recurrent
from trainer.trained import export as exporting

IMAGES = DataSpec("multiclass", (1, 8, 8), 10)
TEXTS = DataSpec("multiclass", (5,), 4, vocab_size=12)
MODELS = [(model, IMAGES) for model in groups()["model"]] + [(model, TEXTS) for model in ("rnn", "gru", "lstm")]
IDS = [f"{model}-{spec.kind}" for model, spec in MODELS]


def examples(spec, count=5):
    torch.manual_seed(1)
    if spec.vocab_size is None:
        return torch.randn(count, *spec.in_shape)
    lengths = torch.tensor([5, 1, 3, 4, 0])[:count, None]
    return torch.randint(1, spec.vocab_size, (count, 5)) * (torch.arange(5) < lengths)


def network(model, spec, *overrides):
    """With statistics of batch norm that are not those of the beginning."""
    torch.manual_seed(0)
    made = parts.model(checked([f"model={model}", *overrides])[0], spec, examples(spec, 2)).train()
    made(examples(spec))
    return made.eval()


@pytest.fixture(scope="module", params=MODELS, ids=IDS)
def trained(request):
    return network(*request.param), request.param[1]


@pytest.mark.parametrize("form", exporting.SUFFIXES)
def test_every_model_gives_the_same_from_its_file(trained, form, tmp_path, capfd):
    model, spec = trained
    path, inputs = tmp_path / "model", examples(spec)
    net = model if form == "safetensors" else exporting.portable(model)
    exporting.write(net, inputs[:2], form, path)
    assert capfd.readouterr() == ("", "")
    run = exporting.reader(form, path, model)
    with torch.no_grad():
        for count in (5, 1, 2):
            torch.testing.assert_close(run(inputs[:count]), model(inputs[:count]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (1, True), (2, True)])
def test_without_packed_sequences_a_recurrent_network_gives_the_same(kind, layers, bidirectional):
    torch.manual_seed(0)
    model = Recurrent((5,), 4, 12, kind=kind, hidden=7, layers=layers, bidirectional=bidirectional).eval().double()
    torch.testing.assert_close(exporting.Unpacked(model).double()(examples(TEXTS)), model(examples(TEXTS)))


ELSEWHERE = """
import sys
sys.modules["trainer"] = None  # whoever imports it fails
import json, numpy, onnxruntime, torch
for name in json.load(sys.stdin):
    inputs = numpy.load(name + ".inputs.npy")
    if name.endswith("onnx"):
        found = onnxruntime.InferenceSession(name).run(None, {"inputs": inputs})[0]
    else:
        found = torch.export.load(name).module()(torch.from_numpy(inputs)).detach().numpy()
    numpy.save(name + ".found.npy", found)
"""


def test_another_program_runs_the_files_without_this_package(tmp_path):
    expected = {}
    for model, spec in [("simple_cnn", IMAGES), ("gru", TEXTS)]:
        made, inputs = network(model, spec), examples(spec)
        for form in ("torch", "onnx"):
            path = tmp_path / f"{model}{exporting.SUFFIXES[form]}"
            exporting.write(exporting.portable(made), inputs[:2], form, path)
            name = str(path)
            np.save(f"{name}.inputs.npy", inputs.numpy())
            expected[name] = made(inputs).detach().numpy()
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE], input=json.dumps([*expected]), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    for name, outputs in expected.items():
        np.testing.assert_allclose(np.load(f"{name}.found.npy"), outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", exporting.SUFFIXES)
def test_the_command_writes_compares_and_says_how_to_use_it(dltrain, form, tmp_path):
    dltrain("data=iris", "model=mlp", "epochs=2", "precision=fp64")
    outcome = dltrain("export", f"format={form}", "output=my model")
    assert outcome.code == 0, outcome.err
    assert "compared  with the model on 30 test examples" in outcome.out
    about = json.loads((tmp_path / "my model.json").read_text())
    assert about["class_names"] == ["setosa", "versicolor", "virginica"]
    assert about["inputs"] == {"shape": ["batch", 4], "dtype": "float64" if form == "safetensors" else "float32"}
    assert about["preprocessing"]["columns"][0]["name"] == "sepal length (cm)"
    assert len(about["use"]) <= 5
    again = dltrain("export", f"format={form}", "output=my model")
    assert again.code == 6
    assert "is not overwritten" in again.err


def test_a_file_that_gives_other_outputs_is_not_kept(dltrain, tmp_path, monkeypatch):
    dltrain("data=iris", "model=linear", "epochs=1")
    monkeypatch.setattr(exporting, "reader", lambda form, path, model: lambda inputs: model(inputs) + 2e-4)
    outcome = dltrain("export", "format=safetensors")
    assert outcome.code == CheckpointError.code
    assert "differ from the model's by 0.0002" in outcome.err
    assert not list(tmp_path.glob("*linear-iris*"))


def test_without_its_packages_onnx_says_what_installs_them(dltrain, monkeypatch):
    dltrain("data=iris", "model=linear", "epochs=1")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    outcome = dltrain("export", "format=onnx")
    assert outcome.code == 2
    assert "onnxruntime: pip install onnx onnxruntime onnxscript" in outcome.err


def test_without_the_data_random_inputs_are_compared(dltrain, tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("".join(f"{'ab' * (i % 4 + 1)},{'xy'[i % 2]}\n" for i in range(40)))
    dltrain("data=text", "data.path=texts.csv", "model=gru", "epochs=1", "optim.lr=0.1")
    path.unlink()
    outcome = dltrain("export", "format=torch")
    assert f"compared  with the model on {exporting.EXAMPLES_COMPARED} random inputs" in outcome.out, outcome.err
