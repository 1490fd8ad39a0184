import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from trainer.build import parts
from trainer.config.check import checked
from trainer.data.tensors import DataSpec
from trainer.errors import ConfigError
from trainer.losses import BCE, NLL, CrossEntropy, auto, check_fit

COUNTS = [30, 10, 5]
generator = torch.Generator().manual_seed(0)
LOGITS = torch.randn(45, 3, generator=generator)
LABELS = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))
YES = (torch.arange(45) % 3 == 0).float()[:, None]


def test_unweighted_losses_equal_torchs():
    assert CrossEntropy(COUNTS)(LOGITS, LABELS) == nn.CrossEntropyLoss()(LOGITS, LABELS)
    smooth = CrossEntropy(COUNTS, label_smoothing=0.1)
    assert smooth(LOGITS, LABELS) == nn.CrossEntropyLoss(label_smoothing=0.1)(LOGITS, LABELS)
    assert BCE([30, 15])(LOGITS[:, :1], YES) == nn.BCEWithLogitsLoss()(LOGITS[:, :1], YES)
    log_probabilities = LOGITS.log_softmax(1)
    assert NLL(COUNTS)(log_probabilities, LABELS).item() == pytest.approx(
        nn.NLLLoss()(log_probabilities, LABELS).item(), rel=1e-6
    )


def test_smoothing_one_logit_is_smoothing_two_classes_and_the_default_loss_takes_it():
    two = torch.cat([torch.zeros(45, 1), LOGITS[:, :1]], 1)
    expected = nn.CrossEntropyLoss(label_smoothing=0.2)(two, YES.flatten().long()).item()
    assert BCE([30, 15], label_smoothing=0.2)(LOGITS[:, :1], YES).item() == pytest.approx(expected, rel=1e-6)
    assert auto("binary", [30, 15], label_smoothing=0.2)(LOGITS[:, :1], YES).item() == pytest.approx(expected, rel=1e-6)
    given = auto("multiclass", COUNTS, "balanced", 0.1)(LOGITS, LABELS)
    assert given == CrossEntropy(COUNTS, "balanced", 0.1)(LOGITS, LABELS)
    with pytest.raises(ValueError, match="apply to classes"):
        auto("regression", [], "balanced")


def test_nll_accepts_logits_and_log_probabilities():
    loss = NLL(COUNTS, weight=[1, 2, 3])
    assert loss(LOGITS, LABELS).item() == pytest.approx(loss(LOGITS.log_softmax(1), LABELS).item(), rel=1e-6)
    assert loss(LOGITS, LABELS).item() == pytest.approx(
        CrossEntropy(COUNTS, [1, 2, 3])(LOGITS, LABELS).item(), rel=1e-6
    )


def test_a_weight_multiplies_the_loss_of_an_example():
    each = nn.CrossEntropyLoss(reduction="none")(LOGITS, LABELS)
    expected = (each * torch.tensor([1.0, 0.5, 4.0])[LABELS]).sum() / 45
    assert CrossEntropy(COUNTS, [1, 0.5, 4])(LOGITS, LABELS).item() == pytest.approx(expected.item(), rel=1e-6)
    each = nn.BCEWithLogitsLoss(reduction="none")(LOGITS[:, :1], YES)
    expected = (each * torch.where(YES > 0, 3.0, 0.5)).sum() / 45
    assert BCE([30, 15], [0.5, 3])(LOGITS[:, :1], YES).item() == pytest.approx(expected.item(), rel=1e-6)


def test_balanced_weights_equal_scikit_learns_and_add_up_over_batches():
    loss = CrossEntropy(COUNTS, "balanced")
    assert loss.weight.tolist() == pytest.approx(
        compute_class_weight("balanced", classes=np.arange(3), y=LABELS.numpy()).tolist()
    )
    order = torch.randperm(45, generator=torch.Generator().manual_seed(1))
    parts = sum(loss(LOGITS[i], LABELS[i]) * len(i) for i in order.split(7)) / 45
    assert parts.item() == pytest.approx(loss(LOGITS, LABELS).item(), rel=1e-6)


@pytest.mark.parametrize("weight", [None, [1, 0.5, 4]])
@pytest.mark.parametrize("loss", [CrossEntropy, NLL])
def test_one_hot_targets_equal_classes_and_a_mixture_is_a_mean(loss, weight):
    built = loss(COUNTS, weight)
    sure = torch.nn.functional.one_hot(LABELS, 3).float()
    assert built(LOGITS, sure).item() == pytest.approx(built(LOGITS, LABELS).item(), rel=1e-6)
    if weight is None:
        others = LABELS.roll(1)
        mixed = 0.7 * sure + 0.3 * sure.roll(1, 0)
        expected = 0.7 * built(LOGITS, LABELS) + 0.3 * built(LOGITS, others)
        assert built(LOGITS, mixed).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("weight", [[1, 2], [1, 2, -1], [0, 0, 0], "balance", [1, 2, float("nan")]])
def test_invalid_weights_are_rejected(weight):
    with pytest.raises(ValueError, match="weight"):
        CrossEntropy(COUNTS, weight)


@pytest.mark.parametrize(
    ("loss", "task"),
    [
        (CrossEntropy, "regression"),
        (nn.CrossEntropyLoss, "regression"),
        (NLL, "binary"),
        (BCE, "multiclass"),
        (nn.MSELoss, "multiclass"),
        (nn.HuberLoss, "binary"),
    ],
)
def test_a_loss_for_another_task_is_rejected_with_the_fix(loss, task):
    with pytest.raises(ValueError, match=f"this data is {task}; use loss=auto"):
        check_fit(loss, task)


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_the_default_loss_fits_its_task(task):
    check_fit(type(auto(task, [1, 1])), task)


def test_class_counts_come_from_the_training_split():
    cfg, _ = checked(["loss=cross_entropy", "loss.weight=balanced"])
    spec = DataSpec("multiclass", (4,), out_features=3, class_names=("a", "b", "c"))
    assert parts.loss(cfg, spec, LABELS).weight.tolist() == pytest.approx([0.5, 1.5, 3.0])
    spec = DataSpec("binary", (4,), class_names=("no", "yes"))
    cfg, _ = checked(["loss=bce", "loss.weight=balanced"])
    assert parts.loss(cfg, spec, YES).weight.tolist() == pytest.approx([0.75, 1.5])
    with pytest.raises(ConfigError, match="multiclass, and this data is regression"):
        parts.loss(
            OmegaConf.create({"loss": {"_target_": "trainer.losses.NLL"}, "augment": {"mixup": 0}}),
            DataSpec("regression", (4,)),
            YES,
        )
