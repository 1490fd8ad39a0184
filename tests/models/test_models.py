import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from trainer.build.parts import GreyToColour
from trainer.data.tensors import DataSpec
from trainer.models.cnn import SimpleCNN
from trainer.models.googlenet import GoogLeNet, Inception
from trainer.models.linear import Linear, Logistic
from trainer.models.mlp import ACTIVATIONS, INITIALISATIONS, MLP
from trainer.models.resnet import ResidualBlock, ResNet
from trainer.models.rnn import Recurrent

DIGITS, MNIST, COLOUR, TABLE, NAME = (1, 8, 8), (1, 28, 28), (3, 32, 32), (10,), (19,)


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (Linear(TABLE, 1), 11),
        (Logistic(MNIST, 10, "multiclass"), 7_850),
        (MLP(MNIST, 10), 784 * 512 + 512 + 512 * 256 + 256 + 256 * 10 + 10),
        (MLP(TABLE, 1, hidden=[]), 11),
        (SimpleCNN(MNIST, 10), 320 + 18_496 + (64 * 7 * 7 + 1) * 128 + 1_290),
        (MLP(TABLE, 1, hidden=[6, 4], batch_norm=True), 66 + 12 + 28 + 8 + 5),
        (ResNet(MNIST, 10), 352 + 18_560 + 57_728 + 230_144 + 1_290),
        (GoogLeNet(MNIST, 10), 432 + 19_680 + 25_408 + 20_832 + 88 * 49 * 10 + 10),
        (Recurrent(MNIST, 10, kind="rnn"), 28 * 128 + 128 * 128 + 256 + 1_290),
        (Recurrent(MNIST, 10, kind="gru"), 3 * (28 * 128 + 128 * 128 + 256) + 1_290),
        (Recurrent(MNIST, 10, kind="lstm"), 4 * (28 * 128 + 128 * 128 + 256) + 1_290),
        (Recurrent(NAME, 18, vocab_size=57), 57 * 64 + 3 * (64 * 128 + 128 * 128 + 256) + 129 * 18),
        (resnet18(num_classes=10), 11_181_642),
    ],
)
def test_parameter_counts(model, parameters):
    assert count(model) == parameters


@pytest.mark.parametrize("shape", [DIGITS, MNIST, COLOUR, (2, 9, 17), (4, 65, 8)])
@pytest.mark.parametrize("build", [Linear, MLP, SimpleCNN, ResNet, GoogLeNet, Recurrent])
def test_every_model_learns_from_images_of_any_size(build, shape):
    torch.manual_seed(0)
    model = build(shape, 4)
    outputs = model(torch.randn(5, *shape))
    assert outputs.shape == (5, 4)
    nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2, 3, 0])).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_a_cnn_rejects_an_image_that_is_too_small():
    with pytest.raises(ValueError, match="an image of 7 x 30 pixels is too small"):
        SimpleCNN((1, 7, 30), 10, channels=[8, 8, 8])


def test_each_convolution_of_a_cnn_can_have_its_own_settings():
    options = {"channels": [16, 32], "kernel": [5, 3], "stride": [2, 1], "pool": [1, 2], "padding": False}
    model = SimpleCNN(MNIST, 10, **options, batch_norm=True, hidden=64)
    assert count(model) == 57_082
    first = list(model)[:7]
    kinds = [type(layer).__name__ for layer in first]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "MaxPool2d", "BatchNorm2d", "ReLU"]
    assert nn.Sequential(*first)(torch.zeros(2, *MNIST)).shape == (2, 32, 5, 5)
    with pytest.raises(ValueError, match="one for each of channels"):
        SimpleCNN(MNIST, 10, channels=[16, 32], kernel=[5, 3, 3])


def test_pooling_and_relu_commute():
    model = SimpleCNN(MNIST, 10, dropout=0.0)
    images = torch.randn(3, *MNIST)
    pool = nn.MaxPool2d(2)
    swapped = nn.Sequential(model[0], nn.ReLU(), pool, model[3], nn.ReLU(), pool, *list(model)[6:])
    assert torch.equal(model(images), swapped(images))


def test_logistic_regression_suggests_linear_for_a_regression():
    with pytest.raises(ValueError, match="model=linear"):
        Logistic(TABLE, 1, "regression")


def test_a_residual_block_of_zeros_is_its_shortcut():
    block = ResidualBlock(4, 4)
    nn.init.zeros_(block.residual[2][1].weight)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(x), torch.relu(x))


def test_learned_parameters_are_in_the_units_of_the_file():
    torch.manual_seed(0)
    model = Linear((2,), 1)
    mean, std = torch.tensor([10.0, -3.0]), torch.tensor([2.0, 0.5])
    spec = DataSpec(
        "regression",
        (2,),
        feature_names=("a", "b"),
        feature_mean=mean,
        feature_std=std,
        target_mean=100.0,
        target_std=7.0,
    )
    x = torch.randn(20, 2) * std + mean
    expected = spec.in_units(model((x - mean) / std))[:, 0]
    learned = model.learned(spec)
    assert torch.allclose(x @ torch.tensor(learned["w"]) + learned["b"][0], expected, atol=1e-4)


def test_grey_becomes_colour():
    image = torch.randn(2, 1, 3, 3)
    assert torch.equal(GreyToColour()(image), torch.cat([image] * 3, 1))


def test_the_layers_of_an_mlp_are_in_order():
    kinds = [type(layer).__name__ for layer in MLP(TABLE, 1, hidden=[6, 4], activation="tanh", batch_norm=True)]
    assert kinds == ["Flatten", *["Linear", "BatchNorm1d", "Tanh", "Dropout"] * 2, "Linear"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("init", ["default", *INITIALISATIONS])
def test_every_activation_works_with_every_initialisation(activation, init):
    outputs = MLP(TABLE, 3, hidden=[6, 4], activation=activation, init=init)(torch.randn(5, *TABLE))
    assert outputs.shape == (5, 3)
    assert torch.isfinite(outputs).all()


@pytest.mark.parametrize(
    ("init", "deviation"),
    [("normal", 0.01), ("xavier", (2 / (784 + 512)) ** 0.5), ("kaiming", (2 / 784) ** 0.5), ("zeros", 0.0)],
)
def test_weights_are_drawn_with_the_standard_deviation_of_their_paper(init, deviation):
    torch.manual_seed(0)
    layer = MLP(MNIST, 10, init=init)[1]
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.01)
    assert layer.bias.abs().max() == 0


@pytest.mark.parametrize("options", [{"activation": "relo"}, {"init": "he"}])
def test_an_unknown_option_of_an_mlp_lists_the_choices(options):
    with pytest.raises(ValueError, match="expected one of"):
        MLP(TABLE, 1, **options)


def test_an_inception_block_keeps_the_size_and_sees_two_pixels_each_way():
    block = Inception(3).eval()
    x = torch.randn(1, 3, 9, 9, requires_grad=True)
    y = block(x)
    assert y.shape == (1, 88, 9, 9)
    y[0, :, 4, 4].sum().backward()
    seen = x.grad[0].abs().sum(0) > 0
    assert not seen[:2].any()
    assert not seen[:, 7:].any()
    assert seen[2:7, 2:7].any(1).all()
