"""Export a trained model to one of three formats for other programs, and run the exported file."""

import copy
import io
import json
import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.build import parts
from trainer.data._vocabulary import Vocabulary
from trainer.errors import CheckpointError, ConfigError, DltrainError
from trainer.models.rnn import PADDING, Recurrent
from trainer.models.scratch import Scratch, Sigmoid
from trainer.trained.ensemble import Mean, with_portable
from trainer.trained.model import Trained

SUFFIXES = {"torch": ".pt2", "onnx": ".onnx", "safetensors": ".safetensors"}
USES = {  # how another program uses the file
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
EXAMPLES_COMPARED = 64
TOLERANCE = 1e-4  # absolute, or relative where outputs are larger than 1
HOW = {  # how inputs are encoded
    "features": "one input per column, (value - mean) / std; a categorical column has one per category, 1 or 0",
    "image": "pixels from 0 to largest, channels first, grey or RGB, of this size: (pixel - mean) / std",
    "tokens": "cut as tokenizer says; index of each in tokens, plus 2; 1 for unknown ones; padded with 0 to max_length",
}


def portable(model: nn.Module) -> nn.Module:
    """Return a copy in single precision on the CPU, in evaluation mode, that can be traced."""
    if isinstance(model, Mean):
        return with_portable(model, portable)
    made = copy.deepcopy(model).cpu().float().to(memory_format=torch.contiguous_format).eval()
    if isinstance(made, Scratch):
        return _by_torch(made)
    is_packed = isinstance(made, Recurrent) and made.embedding is not None and made.steps is not None
    return Unpacked(made) if is_packed else made  # type: ignore[arg-type]


def _by_torch(model: Scratch) -> nn.Module:
    """Return the same net in torch layers of the same names: NumPy cannot be traced."""
    hidden, output = (nn.Linear(layer.in_features, layer.out_features) for layer in (model.hidden, model.output))
    activation: nn.Module = nn.Sigmoid() if model.activation is Sigmoid else nn.ReLU()
    made = nn.Sequential(OrderedDict(flatten=nn.Flatten(), hidden=hidden, activation=activation, output=output))
    made.load_state_dict(model.state_dict())
    return made.eval()


def write(model: nn.Module, sample: Tensor, form: str, path: Path) -> None:
    """Write the model to a file; `sample` is `(2, *in_shape)`, and the batch size stays dynamic.

    Raises:
        ConfigError: there is no such form of this model, or its packages are not installed.
    """
    try:
        with _silence():
            {"torch": _write_torch, "onnx": _write_onnx, "safetensors": _write_safetensors}[form](model, sample, path)
    except ImportError as error:
        raise ConfigError(f"format={form} needs {error.name}: pip install onnx onnxruntime onnxscript") from error
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(f"format={form}: {type(model).__name__} cannot be written: {reason}") from error


def reader(form: str, path: Path, model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the file as a function of inputs; one with weights alone gets them into a copy of `model`."""
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


def examples(model: Trained) -> tuple[Tensor, str]:
    """Return inputs `(N, *in_shape)` of the test split or, if the data is missing, random ones; and what they are."""
    try:
        loaders, spec = parts.data(model.cfg, model.device)
        if spec.in_shape == model.spec.in_shape and spec.vocab_size == model.spec.vocab_size:
            inputs = next(iter(loaders.test))[0][:EXAMPLES_COMPARED]
            if len(inputs) > 1:
                # in the usual memory layout, as float32 or int64: what other programs have
                return (inputs.float() if inputs.is_floating_point() else inputs.long()).contiguous(), "test examples"
    except DltrainError:
        pass  # random inputs will do
    generator = torch.Generator().manual_seed(0)
    shape = (EXAMPLES_COMPARED, *model.spec.in_shape)
    if model.spec.vocab_size is None:
        return torch.randn(shape, generator=generator), "random inputs"
    tokens = torch.randint(1, model.spec.vocab_size, shape, generator=generator)
    lengths = torch.randint(1, shape[1] + 1, (shape[0], 1), generator=generator)
    return tokens * (torch.arange(shape[1]) < lengths), "random inputs"


def worst_difference(model: nn.Module, exported: Callable[[Tensor], Tensor], inputs: Tensor) -> float:
    """Return the largest difference between the file's and the model's outputs, relative where those exceed 1.

    Raises:
        CheckpointError: it exceeds TOLERANCE.
    """
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        expected = model(inputs.to(dtype) if inputs.is_floating_point() else inputs).double()
        # One by one too: an exported graph may work only for some batch sizes.
        found = [exported(inputs).double(), torch.cat([exported(one[None]).double() for one in inputs])]
    scale = expected.abs().clamp_min(1)
    worst = max(float(((each - expected).abs() / scale).max()) for each in found)
    if not worst <= TOLERANCE:
        raise CheckpointError(f"the file's outputs differ from the model's by {worst:.2g}; the file was deleted")
    return worst


def about(model: Trained, form: str, file: str, inputs: Tensor) -> dict[str, Any]:
    """Describe the file for other programs."""
    spec = model.spec
    outputs = {
        "regression": "(batch, 1), standardised: multiply by target_std and add target_mean",
        "binary": "(batch, 1), a logit: its sigmoid is the probability of the second class",
        "multiclass": f"(batch, {spec.out_features}), logits: their softmax is the probability of each class",
    }
    described = json.loads(model.description)["spec"]
    tokenizer = {"tokenizer": spec.encoder.tokenizer} if isinstance(spec.encoder, Vocabulary) else {}
    return {
        "file": file,
        "format": form,
        "run": str(model.folder.absolute()),
        "inputs": {"shape": ["batch", *spec.in_shape], "dtype": str(inputs.dtype).removeprefix("torch.")},
        "outputs": outputs[spec.task],
        "task": spec.task,
        "class_names": list(spec.class_names),
        "target": {key: described[key] for key in ("target_name", "target_mean", "target_std")},
        "preprocessing": {"how": HOW[spec.kind], **(described["encoder"] or {}), **tokenizer},
        "use": [line.format(file=file) for line in USES[form]],
    }


def _write_torch(model: nn.Module, sample: Tensor, path: Path) -> None:
    with path.open("wb") as file:  # by name, torch refuses some
        torch.export.save(_program(model, sample), file)


def _write_onnx(model: nn.Module, sample: Tensor, path: Path) -> None:
    import onnx
    import onnxruntime  # noqa: F401 - needed to check the result; fail before the work

    options = {"input_names": ["inputs"], "output_names": ["outputs"], "external_data": False, "verbose": False}
    torch.onnx.export(_program(model, sample), f=str(path), dynamo=True, **options)  # type: ignore[arg-type]
    onnx.checker.check_model(str(path), full_check=True)


def _write_safetensors(model: nn.Module, sample: Tensor, path: Path) -> None:
    from safetensors.torch import save

    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in model.state_dict().items()}
    shapes = {name: f"{tuple(tensor.shape)} {tensor.dtype}".replace("torch.", "") for name, tensor in tensors.items()}
    path.write_bytes(save(tensors, metadata={"model": type(model).__name__, **shapes}))


def _program(model: nn.Module, sample: Tensor) -> torch.export.ExportedProgram:
    """Return the graph, for any number of examples."""
    return torch.export.export(model, (sample,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False)


@contextmanager
def _silence() -> Iterator[None]:
    """Discard what torch prints and warns about on the way."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


class Unpacked(nn.Module):
    """The same recurrent classifier of tokens without packed sequences, which cannot be traced.

    Tokens `(B, L)`, padding at the end, give logits `(B, out_features)`. Padding comes after what is read: the forward
    direction has ended by then, and the backward direction reads each sequence turned around up to its own length.
    """

    def __init__(self, model: Recurrent) -> None:
        super().__init__()
        steps, embedding, self.head = model.steps, model.embedding, model.head
        assert steps is not None
        assert embedding is not None
        self.embedding = embedding
        self.num_directions = 2 if steps.bidirectional else 1
        suffixes = ("", "_reverse")[: self.num_directions]
        layers = range(steps.num_layers)
        self.passes = nn.ModuleList(_one_pass(steps, layer, suffix) for layer in layers for suffix in suffixes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits."""
        lengths = (tokens != PADDING).sum(1).clamp_min(1)  # (B,)
        at = torch.arange(tokens.shape[1], device=tokens.device)  # (L,)
        turned = torch.where(at < lengths[:, None], lengths[:, None] - 1 - at, at)  # (B, L), its own inverse
        ends = (lengths - 1)[:, None]  # (B, 1), the last step, in either order
        states, last = self.embedding(tokens), []  # (B, L, E)
        for first in range(0, len(self.passes), self.num_directions):
            outputs = [self.passes[first](states)[0]]  # (B, L, hidden)
            last = [_at(outputs[0], ends)]
            if self.num_directions == 2:
                backward = self.passes[first + 1](_at(states, turned))[0]
                last.append(_at(backward, ends))
                outputs.append(_at(backward, turned))
            states = torch.cat(outputs, 2)
        return self.head(torch.cat(last, 2)[:, 0])


def _at(sequence: Tensor, index: Tensor) -> Tensor:
    """Return the steps of a sequence `(B, L, E)` at the index `(B, M)`: `(B, M, E)`."""
    return sequence.gather(1, index[:, :, None].expand(-1, -1, sequence.shape[2]))


def _one_pass(steps: nn.RNNBase, layer: int, suffix: str) -> nn.RNNBase:
    """Return one layer in one direction, with the weights of that of `steps`."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {f"{name}_l0": getattr(steps, f"{name}_l{layer}{suffix}") for name in names}
    made = type(steps)(weights["weight_ih_l0"].shape[1], steps.hidden_size, batch_first=True)  # type: ignore[call-arg]
    made.load_state_dict(weights)
    return made
