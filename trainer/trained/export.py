"""A trained model as a file for other programs, in one of three formats, and the same file run again."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.errors import ConfigError
from trainer.models.rnn import Recurrent
from trainer.models.scratch import Scratch, Sigmoid
from trainer.trained.unpacked import Unpacked

SUFFIXES = {"torch": ".pt2", "onnx": ".onnx", "safetensors": ".safetensors"}
USES = {  # how another program uses the file, in five lines at most
    "torch": ["import torch", "model = torch.export.load({file!r}).module()", "outputs = model(inputs)"],
    "onnx": [
        "import onnxruntime",
        "session = onnxruntime.InferenceSession({file!r})",
        "outputs = session.run(None, {{'inputs': inputs}})[0]  # a NumPy array",
    ],
    "safetensors": [
        "from safetensors.torch import load_file",
        "model = ...  # a torch.nn.Module of your own with these weights; the metadata of the file names them",
        "model.load_state_dict(load_file({file!r}))",
    ],
}


def portable(model: nn.Module) -> nn.Module:
    """A copy in single precision on the CPU, in evaluation mode, of which a graph can be made."""
    made = copy.deepcopy(model).cpu().float().to(memory_format=torch.contiguous_format).eval()
    if isinstance(made, Scratch):
        return _by_torch(made)
    is_packed = isinstance(made, Recurrent) and made.embedding is not None and made.steps is not None
    return Unpacked(made) if is_packed else made  # type: ignore[arg-type]


def _by_torch(model: Scratch) -> nn.Module:
    """The same net by torch's layers, with the same names: no graph can be made of what NumPy does."""
    hidden, output = (nn.Linear(layer.in_features, layer.out_features) for layer in (model.hidden, model.output))
    activation: nn.Module = nn.Sigmoid() if model.activation is Sigmoid else nn.ReLU()
    parts = OrderedDict(flatten=nn.Flatten(), hidden=hidden, activation=activation, output=output)
    made = nn.Sequential(parts)
    made.load_state_dict(model.state_dict())
    return made.eval()


def write(model: nn.Module, sample: Tensor, form: str, path: Path) -> None:
    """The model as a file; `sample` is `(2, *in_shape)`, and the number of examples stays open.

    Raises:
        ConfigError: there is no such form of this model, or its packages are not installed.
    """
    writer = {"torch": _write_torch, "onnx": _write_onnx, "safetensors": _write_safetensors}[form]
    try:
        with _silence():
            writer(model, sample, path)
    except ImportError as error:
        raise ConfigError(f"format={form} needs {error.name}: pip install 'dltrain[export]'") from error
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"format={form}: {type(model).__name__} cannot be written: {reason}") from error


def reader(form: str, path: Path, model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The file as a function of inputs; of weights alone, in a copy of `model`."""
    if form == "torch":
        return torch.export.load(path).module()
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        return lambda inputs: torch.from_numpy(session.run(None, {"inputs": inputs.numpy()})[0])
    from safetensors.torch import load_file

    empty = copy.deepcopy(model)
    for tensor in empty.state_dict().values():
        tensor.zero_()
    empty.load_state_dict(load_file(path))
    return empty


def _write_torch(model: nn.Module, sample: Tensor, path: Path) -> None:
    with path.open("wb") as file:  # by name, torch refuses some
        torch.export.save(_program(model, sample), file)


def _write_onnx(model: nn.Module, sample: Tensor, path: Path) -> None:
    import onnx
    import onnxruntime  # noqa: F401 - before the work: it is needed to check what came of it

    options = {"input_names": ["inputs"], "output_names": ["outputs"], "external_data": False, "verbose": False}
    torch.onnx.export(_program(model, sample), f=str(path), dynamo=True, **options)  # type: ignore[arg-type]
    onnx.checker.check_model(str(path), full_check=True)


def _write_safetensors(model: nn.Module, sample: Tensor, path: Path) -> None:
    from safetensors.torch import save

    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in model.state_dict().items()}
    shapes = {name: f"{tuple(tensor.shape)} {tensor.dtype}".replace("torch.", "") for name, tensor in tensors.items()}
    path.write_bytes(save(tensors, metadata={"model": type(model).__name__, **shapes}))


def _program(model: nn.Module, sample: Tensor) -> torch.export.ExportedProgram:
    """The graph, for any number of examples."""
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    return torch.export.export(model, (sample,), dynamic_shapes=shapes, strict=False)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What torch prints and warns about on the way is no use to anybody here."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
