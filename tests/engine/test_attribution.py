"""Integrated gradients satisfy the axioms of their paper, and have the values of closed forms."""

import pytest
import torch
from torch import nn

from trainer.engine.attribution import TOLERANCE, embedded, evidence, integrated_gradients
from trainer.errors import ConfigError
from trainer.models.cnn import SimpleCNN
from trainer.models.mlp import MLP
from trainer.models.rnn import Recurrent
from trainer.trained.export import portable

GIVEN, BLANK = torch.tensor([2.0, 3.0, -1.0]), torch.zeros(3)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x @ torch.tensor([1.0, -2.0, 0.5]), [2.0, -6.0, -0.5]),
        (lambda x: x[:, 0] * x[:, 1], [3.0, 3.0, 0.0]),  # half of the product each
        (lambda x: x[:, 0] ** 2 * x[:, 1], [8.0, 4.0, 0.0]),  # in proportion to the powers
        (lambda x: x[:, 2].exp(), [0.0, 0.0, torch.tensor(-1.0).exp().item() - 1]),
    ],
)
def test_attributions_are_those_of_the_closed_form(function, expected):
    found = integrated_gradients(function, GIVEN, BLANK)
    assert found.values.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.said - found.blank == pytest.approx(sum(expected), abs=1e-6)
    assert found.gap < 1e-6


def test_from_another_blank_input_only_the_differences_count():
    found = integrated_gradients(lambda x: x[:, 0] * x[:, 1], GIVEN, torch.tensor([2.0, 1.0, 5.0]))
    assert found.values.tolist() == pytest.approx([0.0, 4.0, 0.0])


@pytest.mark.parametrize(
    "make", [SimpleCNN, lambda *shape: MLP(*shape, batch_norm=True), Recurrent], ids=["cnn", "mlp", "gru of rows"]
)
def test_attributions_are_complete(make):
    torch.manual_seed(0)
    model, image = make((1, 12, 12), 3).eval(), torch.randn(1, 12, 12)
    for chosen in range(3):
        found = integrated_gradients(lambda x, c=chosen: evidence(model(x), c), image, torch.zeros_like(image))
        with torch.no_grad():
            said, blank = (float(evidence(model(x[None]), chosen)) for x in (image, torch.zeros_like(image)))
        assert (found.said, found.blank) == pytest.approx((said, blank), abs=1e-5)
        assert float(found.values.sum()) == pytest.approx(said - blank, rel=TOLERANCE)
        assert found.values.shape == image.shape


def test_points_are_added_until_the_attributions_are_complete():
    sizes = []

    def step(x):  # its slope is seen by few points
        sizes.append(len(x))
        return torch.sigmoid(200 * (x[:, 0] - 1.234))

    found = integrated_gradients(step, GIVEN, BLANK)
    assert found.gap <= TOLERANCE
    assert found.values.tolist() == pytest.approx([1, 0, 0], abs=TOLERANCE)
    assert sum(sizes) > 100


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_evidence_is_the_log_odds_of_a_class(chosen):
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chance = logits.softmax(1)[:, chosen]
    torch.testing.assert_close(evidence(logits, chosen), (chance / (1 - chance)).log())
    if chosen < 2:
        chance = torch.cat([1 - logits[:, :1].sigmoid(), logits[:, :1].sigmoid()], 1)[:, chosen]
        torch.testing.assert_close(evidence(logits[:, :1], chosen), (chance / (1 - chance)).log())


class WithPositions(nn.Module):
    """Adds the embeddings of tokens and of their places."""

    def __init__(self):
        super().__init__()
        self.words, self.places, self.head = nn.Embedding(9, 4), nn.Embedding(6, 4), nn.Linear(4, 3)

    def forward(self, tokens):
        return self.head(torch.tanh(self.words(tokens) + self.places(torch.arange(tokens.shape[1]))).mean(1))


@pytest.mark.parametrize("kind", ["gru", "lstm bidirectional", "cell", "positions"])
def test_attributions_of_tokens_are_complete_and_padding_has_none(kind):
    torch.manual_seed(0)
    tokens = torch.tensor([3, 5, 5, 2, 0, 0])
    model = WithPositions() if kind == "positions" else None
    if model is None:
        options = {"kind": kind.split()[0].replace("cell", "gru"), "cell": kind == "cell"}
        model = Recurrent((6,), 3, vocab_size=9, bidirectional="bidirectional" in kind, **options)
    model = portable(model)
    with embedded(model, tokens) as (vectors, of_vectors):
        torch.testing.assert_close(of_vectors(vectors[None]), model(tokens[None]))
        found = integrated_gradients(lambda batch: evidence(of_vectors(batch), 1), vectors, torch.zeros_like(vectors))
    with torch.no_grad():
        said = float(evidence(model(tokens[None]), 1))  # no hook is left
    assert found.said == pytest.approx(said, abs=1e-5)
    assert float(found.values.sum()) == pytest.approx(found.said - found.blank, rel=TOLERANCE)
    each = found.values.sum(1)
    assert bool((each[:4] != 0).all())
    if kind != "positions":  # there, padding has a vector like any token
        assert each[4:].tolist() == [0, 0]


def test_a_model_that_embeds_no_tokens_is_an_error():
    class Counts(nn.Module):
        def forward(self, tokens):
            return tokens.float().mean(1, keepdim=True)

    with (
        pytest.raises(ConfigError, match=r"Counts looks its tokens up in no torch\.nn\.Embedding"),
        embedded(Counts(), torch.tensor([1, 2])),
    ):
        pass
