"""What decides the predictions of a trained model: columns of a table, pixels of images, tokens of texts."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainer.build.metrics import metrics
from trainer.data._image.file import printable
from trainer.data._vocabulary import Vocabulary
from trainer.data.tensors import DataSpec
from trainer.engine.attribution import Attribution, embedded, evidence, integrated_gradients
from trainer.engine.importance import Importance, Judge, columns_of, importances
from trainer.engine.loop import evaluate
from trainer.engine.trace import KeepingMeter
from trainer.errors import ConfigError
from trainer.runs.index import Run
from trainer.trained.export import portable
from trainer.trained.inputs import image_paths, images_like_training, texts_of, with_text
from trainer.trained.model import Trained
from trainer.trained.new_data import OF_TEXTS, encoder_of, how, own_test, with_data
from trainer.view.errors import places_of, worst
from trainer.view.outcome import evenly_spaced, labels
from trainer.view.words import number

EXAMPLES, WORST = 8, 4  # of the test split, and how many of them are those most wrong
MOST = 32  # given inputs


class Columns(NamedTuple):
    """The importance of each column of the test split, largest first."""

    found: list[Importance]
    judge: Judge
    score: float  # of the unshuffled split
    num_examples: int


class Example(NamedTuple):
    """An image or a text as it is stored, `(C, H, W)` or `(L,)`, and what speaks for the prediction."""

    name: str  # file, row or text
    stored: Tensor
    true: str  # "" if nobody knows
    predicted: str  # a class with its probability, or a value
    attribution: Attribution  # of the log-odds of the predicted class, or of the value; by pixel, or by token


def of_columns(model: Trained, overrides: list[str]) -> tuple[Columns, list[str]]:
    """Return permutation importances on the run's own test split, and notes."""
    loader, notes = own_test(model, overrides)
    _, _, best = metrics(model.cfg, model.spec, loader.targets, Run(model.folder).meaning)
    judge = Judge(model.model, model.loss, model.meter, model.autocast, best.monitor, best.sign)
    found, score = importances(judge, loader, columns_of(model.spec), model.cfg.seed)
    return Columns(found, judge, score, loader.num_examples), notes


def of_examples(model: Trained, inputs: Sequence[str], overrides: list[str]) -> tuple[list[Example], list[str]]:
    """Return attributions for images or texts, by default some of the test split, half of them most wrong; and notes.

    Raises:
        ConfigError: the model has no gradient with respect to its inputs.
        DataError: inputs that the model cannot read.
    """
    given, notes = _given(model, inputs, overrides) if inputs else _tested(model, overrides)
    explained, prepare = portable(model.model).to(model.device), model.prepare()
    examples = []
    for name, stored, truth in given:
        read = prepare(stored[None].to(model.device))
        read = read.float() if read.is_floating_point() else read
        with torch.no_grad():
            outputs = explained(read).cpu()
        said = model.spec.predicted(outputs)
        if model.spec.task == "regression":
            chosen, predicted = 0, number(float(said))
        else:
            chosen = int(model.spec.chosen(said))
            predicted = f"{model.spec.classes[chosen]} {100 * float(said[0, chosen]):.1f} %"
        try:
            found = _attribution(explained, read[0], model.spec, chosen)
        except RuntimeError as error:
            raise ConfigError(f"model: {type(model.model).__name__} has no gradient by its inputs: {error}") from error
        examples.append(Example(name, stored.cpu(), truth, predicted, found))
    return examples, notes


def _attribution(explained: nn.Module, read: Tensor, spec: DataSpec, chosen: int) -> Attribution:
    """Return the attribution of each pixel, or of each token, for what the model says of a class or of the value."""

    def say(outputs: Tensor) -> Tensor:
        return spec.in_units(outputs[:, 0]) if spec.task == "regression" else evidence(outputs, chosen)

    with torch.backends.cudnn.flags(enabled=False):  # cuDNN's recurrent layers have no gradient in evaluation
        if spec.kind != "tokens":
            return integrated_gradients(lambda batch: say(explained(batch)), read, torch.zeros_like(read))
        with embedded(explained, read) as (vectors, of_vectors):
            blank = torch.zeros_like(vectors)
            found = integrated_gradients(lambda batch: say(of_vectors(batch)), vectors, blank)
    return found._replace(values=found.values.sum(1))


def _tested(model: Trained, overrides: list[str]) -> tuple[list[tuple[str, Tensor, str]], list[str]]:
    """Return name, stored example and truth of test examples: the most wrong, and others evenly spaced."""
    loader, notes = own_test(model, overrides)
    meter = KeepingMeter(model.meter)
    evaluate(model.model, model.loss, loader, meter, autocast=model.autocast)
    outputs, targets = meter.outputs()
    first = worst(model.spec, outputs, targets, WORST)[0].tolist()
    others = [place for place in evenly_spaced(len(targets), EXAMPLES - len(first)).tolist() if place not in first]
    index = torch.tensor([*first, *others])
    if model.spec.task == "regression":
        true = [number(value) for value in model.spec.in_units(targets[index].double()).flatten().tolist()]
    else:
        true = [model.spec.classes[label] for label in labels(model.spec, targets[index]).tolist()]
    names, stored, encoder = places_of(loader, index), loader.stored(index), model.spec.encoder
    if isinstance(encoder, Vocabulary):
        names = [f"{place}: {encoder.decode(text)}" for place, text in zip(names, stored.tolist(), strict=True)]
    return [*zip(names, stored, true, strict=True)], notes


def _given(
    model: Trained, inputs: Sequence[str], overrides: list[str]
) -> tuple[list[tuple[str, Tensor, str]], list[str]]:
    """Return name and stored example of images or texts, without a truth."""
    encoder = encoder_of(model.spec)
    if model.spec.kind == "image":
        paths, notes = image_paths([*inputs])
        stored = [image for batch in images_like_training(paths[:MOST], encoder, notes) for image in batch]
        names = [printable(path) for path in paths]
    else:
        data, names = with_data(model, overrides, (*OF_TEXTS, "unknown")).data, list[str]()
        for given in inputs:
            names += texts_of(given, len(inputs) == 1, encoder, how(data, OF_TEXTS))[2]
        kept, notes = with_text(names, encoder, data)
        names = [names[place] for place in kept]
        stored = [*encoder.encode(names[:MOST])]
    if len(names) > MOST:
        notes.append(f"the first {MOST} of {len(names):,} inputs")
    return [(name, one, "") for name, one in zip(names, stored, strict=False)], notes
