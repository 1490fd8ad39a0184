import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainer.data.augment import Augment, _affine, _resample

ALL = {"shift": 2, "flip": 0.5, "crop": 0.2, "rotation": 20, "noise": 0.1, "cutout": 4, "mixup": 0.4}
HEIGHT, WIDTH = 20, 31


def augmented(inputs, targets=None, *, epoch=1, batch=0, **options):
    targets = torch.zeros(len(inputs), dtype=torch.int64) if targets is None else targets
    return Augment(**{"seed": 3, "num_classes": 10, **options})(inputs.clone(), targets, epoch, batch)


def coordinates(num_images=200):
    """Return images whose two channels hold the column and row of each pixel, from the centre."""
    columns = torch.arange(WIDTH).expand(HEIGHT, WIDTH) - (WIDTH - 1) / 2
    rows = torch.arange(HEIGHT)[:, None].expand(HEIGHT, WIDTH) - (HEIGHT - 1) / 2
    return torch.stack((columns, rows)).repeat(num_images, 1, 1, 1)


def slopes(images):
    """Return how far neighbours in the middle were apart: (B, 2, 2), columns and rows, along a row and down."""
    middle = images[:, :, HEIGHT // 2, WIDTH // 2]
    return torch.stack(
        (images[:, :, HEIGHT // 2, WIDTH // 2 + 1] - middle, images[:, :, HEIGHT // 2 + 1, WIDTH // 2] - middle), 2
    )


def test_without_options_nothing_is_copied():
    inputs, targets = coordinates(2), torch.zeros(2)
    found = Augment(seed=0)(inputs, targets, 1, 0)
    assert found[0] is inputs
    assert found[1] is targets


def test_a_shift_moves_whole_pixels_exactly():
    before = coordinates()
    after, _ = augmented(before, shift=3)
    shift = (before - after)[:, :, HEIGHT // 2, WIDTH // 2, None, None]  # (B, 2, 1, 1)
    edge = before[0, :, -1, -1, None, None]
    assert torch.equal(after, (before - shift).clamp(-edge, edge))
    for numbers in shift[:, :, 0, 0].unbind(1):
        assert torch.bincount((numbers + 3).int()).min() >= 200 / 7 / 2  # all seven shifts about equally often


def test_mirroring_twice_restores_the_image():
    before = coordinates()
    once, _ = augmented(before, flip=1)
    assert torch.equal(once, before.flip(3))
    assert torch.equal(augmented(once, flip=1)[0], before)
    some, _ = augmented(before, flip=0.25)
    assert 0.15 < (some != before)[:, 0, 0, 0].float().mean() < 0.35


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_matches_torch(turns):
    before, one, zero = torch.randn(4, 3, 9, 9), torch.ones(4), torch.zeros(4)
    maps = _affine(angle=one * turns * math.pi / 2, scale=one, mirror=one, x=zero, y=zero, ratio=1)
    assert torch.allclose(_resample(before, maps, "bilinear"), before.rot90(turns, (2, 3)), atol=1e-5)


def test_a_rotation_keeps_distances_and_the_centre_of_an_oblong_image():
    before = coordinates()
    after, _ = augmented(before, rotation=30)
    near = before[0].norm(dim=0) <= HEIGHT / 2 - 1  # never rotated out of the image
    assert torch.allclose(after.norm(dim=1)[:, near], before.norm(dim=1)[:, near], atol=1e-4)
    angles = torch.atan2(slopes(after)[:, 1, 0], slopes(after)[:, 0, 0]).rad2deg()
    assert -30 <= angles.min() < -25
    assert 25 < angles.max() <= 30


def test_a_crop_is_a_window_of_the_same_proportions_inside_the_image():
    after, _ = augmented(coordinates(), crop=0.4)
    scale = slopes(after)[:, 0, 0]
    assert torch.allclose(slopes(after), scale[:, None, None] * torch.eye(2), atol=1e-4)
    assert 0.6 <= scale.min() < 0.65
    assert 0.95 < scale.max() <= 1
    for found, side in ((after[:, 0, 0], WIDTH), (after[:, 1, :, 0], HEIGHT)):  # (B, side)
        start = found[:, 1] - 1.5 * scale + side / 2  # from the second pixel, the first inside the edge
        place = (start / (side - scale * side))[scale < 0.95]  # between one edge, 0, and the other, 1
        assert -1e-3 <= place.min() < 0.1
        assert 0.9 < place.max() <= 1 + 1e-3


def test_combined_options_compose_what_each_draws_alone():
    options = {"rotation": 180, "crop": 0.2, "flip": 0.5}
    turn, size, mirror = (slopes(augmented(coordinates(), **{name: most})[0]) for name, most in options.items())
    found = slopes(augmented(coordinates(), shift=2, **options)[0])
    assert torch.allclose(found, turn @ size @ mirror, atol=1e-4)
    drawn = torch.stack((torch.atan2(turn[:, 1, 0], turn[:, 0, 0]), size[:, 0, 0], mirror[:, 0, 0]))
    assert drawn.corrcoef().fill_diagonal_(0).abs().max() < 0.2


@pytest.mark.parametrize("shape", [(100, 300), (100, 3, 10, 10)])
def test_noise_has_its_standard_deviation(shape):
    before = torch.randn(shape)
    noise = augmented(before, noise=0.3)[0] - before
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.flatten(1).corrcoef().fill_diagonal_(0).abs().max() < 0.4  # independent between examples


@pytest.mark.parametrize("side", [4, 5])
def test_cutout_zeroes_a_square_centred_in_the_image(side):
    cut = augmented(torch.ones(500, 3, HEIGHT, WIDTH), cutout=side)[0] == 0
    assert torch.equal(cut[:, 0], cut[:, 2])
    heights, widths = cut[:, 0].any(2).sum(1), cut[:, 0].any(1).sum(1)
    assert torch.equal(cut[:, 0].sum((1, 2)), heights * widths)
    for found, sides in ((heights, HEIGHT), (widths, WIDTH)):
        assert found.min() == (side + 1) // 2
        assert found.max() == side
        assert (found == side).float().mean().item() == pytest.approx((sides - side + 1) / sides, abs=0.05)
    assert cut[:, 0].any(0).all()  # every pixel can be cut out


def test_mixup_mixes_targets_like_inputs():
    classes = torch.arange(50) % 10
    inputs, targets = augmented(F.one_hot(classes).float(), classes, mixup=1)
    assert torch.equal(inputs, targets)
    assert torch.allclose(targets.sum(1), torch.ones(50))
    assert (targets.amax(1) < 1).all()
    values = torch.randn(50, 1)
    inputs, targets = augmented(values.expand(50, 8), values, mixup=1, num_classes=0)
    assert torch.equal(inputs, targets.expand(50, 8))
    assert targets.mean().item() == pytest.approx(values.mean().item(), abs=1e-6)


def test_the_mixup_share_is_beta_distributed():
    pair = torch.tensor([[0.0], [1.0]])
    shares = torch.cat([augmented(pair, batch=batch, mixup=0.4)[0][:1] for batch in range(1000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.05)


def test_augmentation_depends_only_on_seed_epoch_and_batch():
    images, targets = torch.randn(16, 3, 12, 12), torch.arange(16) % 10
    state = torch.get_rng_state(), str(np.random.get_state())
    first = augmented(images, targets, **ALL)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert str(np.random.get_state()) == state[1]
    torch.rand(1)
    for found, again in zip(first, augmented(images, targets, **ALL), strict=True):
        assert torch.equal(found, again)
    for other in ({"epoch": 2}, {"batch": 1}, {"seed": 4}):
        found = augmented(images, targets, **{**ALL, **other})
        assert not torch.equal(found[0], first[0])
        assert not torch.equal(found[1], first[1])


def test_cutout_does_not_depend_on_other_options():
    ones = torch.ones(50, 1, 12, 12)
    assert torch.equal(augmented(ones, cutout=3)[0], augmented(ones, cutout=3, shift=2, flip=0.5)[0])


def test_the_memory_layout_has_no_effect_and_targets_are_not_changed():
    images, targets = torch.randn(16, 3, 12, 10), torch.arange(16) % 10
    expected = augmented(images, targets, **ALL)
    found = augmented(images.to(memory_format=torch.channels_last), targets, **ALL)
    assert torch.allclose(found[0], expected[0], atol=1e-6)
    assert torch.equal(targets, torch.arange(16) % 10)
    values = torch.arange(16.0)[:, None]
    augmented(images, values, **ALL)
    assert torch.equal(values, torch.arange(16.0)[:, None])


@pytest.mark.parametrize("wrong", [{"flip": 1.1}, {"crop": 1}, {"noise": -1}, {"mixup": math.inf}, {"shift": math.nan}])
def test_a_number_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a number"):
        Augment(seed=0, **wrong)
