"""Metrics of regression: `outputs` and `targets` are values `(N, 1)` in the target's units. All are scikit-learn's."""

import torch
from torch import Tensor

from trainer.metrics.sums import Kept, Mean, Statistic, Sums, exact


class MSE(Mean):
    """Mean squared error, in squared units of the target."""

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (exact(outputs) - exact(targets)).square()


class RMSE(MSE):
    """Root of the mean squared error, in units of the target."""

    def _value(self, sums: list[Tensor]) -> Tensor:
        return super()._value(sums).sqrt()


class MAE(Mean):
    """Mean absolute error, in units of the target."""

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (exact(outputs) - exact(targets)).abs()


class MAPE(Mean):
    """Mean absolute error relative to the target, as a fraction; huge where a target is 0."""

    def _values(self, outputs: Tensor, targets: Tensor) -> Tensor:
        y = exact(targets)
        return (exact(outputs) - y).abs() / y.abs().clamp_min(torch.finfo(y.dtype).eps)


class R2(Sums):
    """Coefficient of determination: 1 - residual / total sum of squares; NaN where all targets are equal."""

    def _terms(self, outputs: Tensor, targets: Tensor) -> list[Tensor]:
        y = exact(targets)
        if not self.sums:
            self.origin = y.mean()  # squares of large targets would lose a small spread to rounding
        shifted = y - self.origin
        return [(exact(outputs) - y).square(), shifted.square(), shifted, torch.ones_like(y)]

    def _value(self, sums: list[Tensor]) -> Tensor:
        residual, squares, total, count = sums
        spread = squares - total.square() / count
        return torch.where(spread > 1e-12 * squares, 1 - residual / spread, torch.nan)


class MedianAE(Kept):
    """Median absolute error, in units of the target."""

    def statistic(self, outputs: Tensor, targets: Tensor) -> Statistic:
        """Return the median as a function of how often each example counts: whole numbers `(D, N)`."""
        errors, order = (exact(outputs) - exact(targets)).abs().flatten().sort()

        def median(weights: Tensor) -> Tensor:
            place = weights[:, order].cumsum(1)  # of the last copy of each error
            count = place[:, -1:].long()
            middle = torch.cat([(count + 1) // 2, count // 2 + 1], 1)  # two, or one twice
            found = torch.searchsorted(place, middle.to(place.dtype)).clamp_max(len(errors) - 1)
            return torch.where(count[:, 0] > 0, errors[found].mean(1), torch.nan)

        return median
