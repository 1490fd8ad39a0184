"""Where Hydra looks for plugins, and nowhere else; it imports every file here each time that it starts."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Search(Sweeper):
    """What Hydra calls for `hydra/sweeper=optuna`; see `trainer.sweep.search.search`."""

    def __init__(self, **options: Any) -> None:
        """The options are read from the config, where they have been checked."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """As Hydra wants it: once, before the sweep."""
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs that the arguments stand for."""
        from trainer.sweep.search import search

        assert self.config
        assert self.hydra_context
        assert self.launcher
        search(arguments, self.config, self.hydra_context.config_loader, self.launcher)
