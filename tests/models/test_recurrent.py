"""Recurrent models: padding never matters, and a loop over cells equals torch's layer."""

import pytest
import torch
from torch import nn

from trainer.data import _vocabulary
from trainer.models import rnn
from trainer.models.rnn import Recurrent

KINDS = ("rnn", "gru", "lstm")
VARIANTS = [{}, {"layers": 2}, {"bidirectional": True}, {"layers": 2, "bidirectional": True}, {"cell": True}]


def tokens(*lengths, width):
    """Return one row of tokens per length, padded to `width`."""
    rows = torch.zeros(len(lengths), width, dtype=torch.int32)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = torch.arange(length) % 7 + 2
    return rows


def model(kind, in_shape=(12,), **options):
    torch.manual_seed(0)
    vocabulary = {"vocab_size": 9, "embedding": 5} if len(in_shape) == 1 else {}
    return Recurrent(in_shape, 4, kind=kind, hidden=6, **vocabulary, **options).double()


def test_model_and_data_agree_on_the_padding_token():
    assert rnn.PADDING == _vocabulary.PADDING


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_padding_never_changes_a_result_or_a_gradient(kind, options):
    gradients, outputs = [], []
    for width in (8, 12, 40):
        net = model(kind, (width,), **options)
        outputs.append(net(tokens(3, 8, 1, 5, width=width)))
        outputs[-1].square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for other, gradient in zip(outputs[1:], gradients[1:], strict=True):
        assert torch.equal(other, outputs[0])
        assert all(torch.equal(a, b) for a, b in zip(gradient, gradients[0], strict=True))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_gives_the_same_output_alone_and_next_to_longer_ones(kind, options):
    net = model(kind, **options)
    batch = tokens(3, 12, 1, 5, width=12)
    together = net(batch)
    for row, expected in zip(batch, together, strict=True):
        assert torch.allclose(net(row[None])[0], expected, atol=1e-12)


@pytest.mark.parametrize("in_shape", [(12,), (2, 9, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_over_cells_equals_the_layer(kind, in_shape):
    layer, loop = model(kind, in_shape), model(kind, in_shape, cell=True)
    state = {name.replace("steps.", "cell.").removesuffix("_l0"): w for name, w in layer.state_dict().items()}
    loop.load_state_dict(state)
    inputs = tokens(3, 12, 1, 5, width=12) if len(in_shape) == 1 else torch.randn(4, *in_shape, dtype=torch.float64)
    outputs = [net(inputs) for net in (layer, loop)]
    assert torch.allclose(*outputs, atol=1e-12)
    for found in outputs:
        found.square().sum().backward()
    for a, b in zip(layer.parameters(), loop.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_state_is_that_of_torchs_layer(kind, bidirectional):
    net = model(kind, layers=2, bidirectional=bidirectional)
    batch = tokens(7, 7, width=7)  # nothing is padded
    outputs, _ = net.steps(net.embedding(batch))
    last = torch.cat([outputs[:, -1, :6], outputs[:, 0, 6:]], 1)  # the backward direction ends at the first step
    assert torch.allclose(net(batch), net.head(last), atol=1e-12)


def test_an_image_is_read_row_by_row():
    net = model("gru", (3, 9, 5))
    image = torch.randn(2, 3, 9, 5, dtype=torch.float64)
    rows = torch.stack([image[:, :, row].reshape(2, 15) for row in range(9)], 1)
    assert torch.allclose(net(image), net.head(net.steps(rows)[0][:, -1]), atol=1e-12)


def test_an_empty_text_is_one_step_of_padding():
    net = model("gru")
    assert torch.isfinite(net(tokens(0, 3, width=12))).all()


@pytest.mark.parametrize("options", [{"kind": "transformer"}, {"cell": True, "layers": 2}])
def test_invalid_options_are_rejected(options):
    with pytest.raises(ValueError, match=r"expected one of|one layer"):
        Recurrent((12,), 4, vocab_size=9, **options)


def test_dropout_applies_between_layers_and_before_the_head():
    net = Recurrent((12,), 4, vocab_size=9, layers=2, dropout=0.5)
    assert (net.steps.dropout, net.dropout.p) == (0.5, 0.5)
    assert isinstance(net.embedding, nn.Embedding)
