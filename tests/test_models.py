import pytest
import torch
from torch import nn

from trainer.data.tensors import DataSpec
from trainer.models.adapt import GreyToColour
from trainer.models.cnn import SimpleCNN
from trainer.models.linear import Linear, Logistic
from trainer.models.mlp import MLP
from trainer.models.resnet import ResidualBlock, ResNet

DIGITS, MNIST, COLOUR, TABLE = (1, 8, 8), (1, 28, 28), (3, 32, 32), (10,)


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
        (ResNet(MNIST, 10), 352 + 18_560 + 57_728 + 230_144 + 1_290),
    ],
)
def test_parameter_counts(model, parameters):
    assert count(model) == parameters


@pytest.mark.parametrize("shape", [DIGITS, MNIST, COLOUR, (2, 9, 17)])
@pytest.mark.parametrize("build", [Linear, MLP, SimpleCNN, ResNet])
def test_every_model_learns_from_images_of_any_size(build, shape):
    torch.manual_seed(0)
    model = build(shape, 4)
    outputs = model(torch.randn(5, *shape))
    assert outputs.shape == (5, 4)
    nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2, 3, 0])).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("build", [SimpleCNN, ResNet])
def test_image_models_say_what_fits_a_table(build):
    with pytest.raises(ValueError, match=r"\(10,\).*model=mlp"):
        build(TABLE, 1)


def test_logistic_regression_says_what_fits_a_regression():
    with pytest.raises(ValueError, match="model=linear"):
        Logistic(TABLE, 1, "regression")


def test_a_residual_block_of_zeros_is_its_shortcut():
    block = ResidualBlock(4, 4)
    nn.init.zeros_(block.residual[2][1].weight)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(x), torch.relu(x))


def test_a_linear_model_speaks_in_the_units_of_the_file():
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
