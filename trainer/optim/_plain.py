"""Make an optimizer that does not import torch's compiler.

torch keeps torch.compile out of `add_param_group`, `state_dict`, `load_state_dict` and `step` by wrappers. Each of them
imports `torch._dynamo` when it is first called: 900 modules and 1.2 s, which a script pays with its first optimizer. A
run that compiles nothing need not pay them, and compiled.py calls what is within the wrapper of `step` itself.
"""

import inspect
from types import MethodType
from typing import Any
from weakref import proxy

import torch
from torch.optim import Optimizer

WRAPPED = ("add_param_group", "state_dict", "load_state_dict")


def create(kind: type[Optimizer], **arguments: Any) -> Optimizer:
    """Return `kind(**arguments)` with the methods inside torch's wrappers; a user's own methods stay.

    The wrappers of `step` also call hooks and a profiler, which takes half of the time of a small model's step.
    """
    made = kind.__new__(kind, **arguments)
    inherited = [name for name in WRAPPED if getattr(kind, name) is getattr(Optimizer, name)]
    plain = {name: inspect.unwrap(getattr(Optimizer, name)) for name in inherited}
    if kind.__module__.startswith("torch.optim."):
        plain["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    # Bound weakly: an optimizer in a cycle would keep the weights and their moments until garbage is collected.
    vars(made).update({name: MethodType(method, proxy(made)) for name, method in plain.items()})
    kind.__init__(made, **arguments)
    return made
