"""From a loss to new weights: scale, accumulate, unscale, clip, step, schedule, average."""

import copy
import inspect
import math
from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from trainer.errors import NumericalError
from trainer.schedules import Schedule

Scheduler = Schedule | LRScheduler


class Update:
    """One change of the weights: `zero_grad`, `backward` once for each micro-batch, then `step`.

    Neutral values: `scaler` disabled, `accumulate=1`, `clip=inf`, `ema=0`.

    Raises:
        ValueError: the optimizer re-evaluates the loss (LBFGS) and the precision is fp16.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: Scheduler,
        *,
        scaler: GradScaler | None = None,
        accumulate: int = 1,
        clip: float = math.inf,
        ema: float = 0.0,
    ) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.scaler = scaler or GradScaler("cpu", enabled=False)
        self.is_scaled = self.scaler.is_enabled()
        self.accumulate, self.clip = accumulate, clip
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.model = model
        self.average = Average(model, ema) if ema else None
        self.num_steps = 0  # updates made
        self.num_skipped = 0  # updates skipped because a gradient overflowed in fp16
        self.loss = self._no_loss = torch.zeros(())
        self.keeps_tensors = False
        self._clipped_norm: Tensor | None = None
        step = optimizer.step
        # Through the weak proxy that optim/_plain.py binds it to, each step would take a microsecond longer.
        self._change = MethodType(step.__func__, optimizer) if isinstance(step, MethodType) else step
        needs = inspect.signature(step).parameters.get("closure")
        self.reevaluates = needs is not None and needs.default is inspect.Parameter.empty
        if self.reevaluates and self.is_scaled:
            raise ValueError(
                f"{type(optimizer).__name__} re-evaluates the loss, which fp16 does not allow; use precision=fp32"
            )

    @property
    def averaged_model(self) -> nn.Module:
        """The model to evaluate and keep: the moving average of the weights, or the model itself."""
        return self.average.module if self.average else self.model

    @property
    def lr(self) -> float:
        """Learning rate of the first parameter group at the next update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def zero_grad(self) -> None:
        """Forget the last gradient and its loss."""
        if self.keeps_tensors:
            torch._foreach_zero_([p.grad for p in self.parameters if p.grad is not None])
        else:
            for parameter in self.parameters:  # the optimizer's own zero_grad costs a tenth of a small model's step
                parameter.grad = None
        self.loss = self._no_loss

    def backward(self, loss: Tensor, share: float = 1.0) -> None:
        """Add the gradient of a mean `loss`, shape `()`, over `share` of the update's examples."""
        part = loss if share == 1 else share * loss  # `loss.backward(share)` would import sympy to compare two shapes
        self.loss = part.detach() if share == 1 else self.loss + part.detach()
        (self.scaler.scale(part) if self.is_scaled else part).backward()

    def step(self, evaluate: Callable[[], Tensor]) -> None:
        """Change the weights by the accumulated gradient.

        `evaluate` recomputes the loss and its gradient for optimizers that search along a line; their first
        evaluation is the known loss. An overflow in fp16 skips the update, its schedule and its average.

        Raises:
            NumericalError: the loss is not finite; nothing was changed. Checked on the CPU only, to avoid a wait.
        """
        self._check_loss(", which was not made")
        if self.is_scaled:
            self.scaler.unscale_(self.optimizer)
        self._clip()
        if self.reevaluates:
            known = [self.loss]
            self.optimizer.step(lambda: known.pop() if known else self._evaluate(evaluate))  # type: ignore[arg-type,return-value]
        elif not self.is_scaled:
            self._change()
        elif not self._scaled_step():
            self.num_skipped += 1
            return
        self._count()

    def keep_tensors(self) -> None:
        """Keep gradients and learning rates in the same tensors from now on, as a compiled graph needs."""
        self.keeps_tensors = True
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        for group in self.optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=self.parameters[0].device)
        self.optimizer._warned_capturable_if_run_uncaptured = True  # else it warns

    def was_made(self, loss: Tensor, clipped_norm: Tensor | None) -> None:
        """Record an update made elsewhere: its loss and, if it clips, the gradient norm before.

        Raises:
            NumericalError: the loss is not finite. Checked on the CPU only, to avoid a wait.
        """
        self.loss, self._clipped_norm = loss, clipped_norm
        self._check_loss("")
        self._count()

    def _count(self) -> None:
        self.num_steps += 1
        self.scheduler.step()
        if self.average:
            self.average.update()

    def _check_loss(self, what: str) -> None:
        if self.loss.is_cpu and not self.is_scaled and not math.isfinite(self.loss):
            raise NumericalError(
                f"the loss is {float(self.loss)} at update {self.num_steps + 1}{what} (lr {self.lr:g}, "
                f"gradient norm {float(self.gradient_norm()):g}); try a smaller optim.lr, or clip=1"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the weights: optimizer, schedule, scaler, counters."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "num_averaged": self.average.num_averaged if self.average else 0,
            "num_steps": self.num_steps,
            "num_skipped": self.num_skipped,
            **({"hosted": self._hosted()} if self.parameters[0].is_cuda else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state; the weights and their average are loaded separately."""
        self.optimizer.load_state_dict(state["optimizer"])
        if (hosted := state.get("hosted")) is not None:
            # torch puts some state on the wrong device, such as that of NAdam and ASGD.
            for values in self.optimizer.state.values():
                for name, value in values.items():
                    if isinstance(value, Tensor):
                        values[name] = value.to("cpu" if name in hosted else self.parameters[0].device)
        self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.num_averaged = state["num_averaged"]
        self.num_steps, self.num_skipped = state["num_steps"], state["num_skipped"]

    def _hosted(self) -> list[str]:
        """Return the names of the optimizer's state that stays on the CPU, such as `step`."""
        states = self.optimizer.state.values()
        return sorted({n for values in states for n, v in values.items() if isinstance(v, Tensor) and v.is_cpu})

    def end_epoch(self, improved: bool) -> None:
        """Tell a schedule that has `end_epoch` whether the monitored metric improved."""
        if listen := getattr(self.scheduler, "end_epoch", None):
            listen(improved)

    def gradient_norm(self) -> Tensor:
        """Return the Euclidean norm of the last gradient before clipping, shape `()`."""
        if self._clipped_norm is not None:
            return self._clipped_norm
        return get_total_norm([p.grad for p in self.parameters if p.grad is not None])

    def _scaled_step(self) -> bool:
        """Step with the scaler and return whether the update was made; an overflow skips it."""
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= scale

    def _clip(self) -> None:
        if self.clip < math.inf:
            self._clipped_norm = clip_grad_norm_(self.parameters, self.clip)

    def _evaluate(self, evaluate: Callable[[], Tensor]) -> Tensor:
        loss = evaluate()
        self._clip()
        return loss


class Average:
    """Exponential moving average of the weights; early on it forgets faster, so that the start leaves no trace.

    Buffers, such as batch norm's, are copied. torch's `AveragedModel` counts in a tensor, so that each of its updates
    waits for the GPU.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(model), decay
        self.num_averaged = 0
        self.averages: list[Tensor] = list(self.module.parameters())
        self.weights: list[Tensor] = list(model.parameters())
        self.buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the current weights; the first time, copy them."""
        keep = min(self.decay, (1 + self.num_averaged) / (10 + self.num_averaged)) if self.num_averaged else 0.0
        torch._foreach_lerp_(self.averages, self.weights, 1 - keep)
        for buffer, present in self.buffers:
            buffer.copy_(present)
        self.num_averaged += 1
