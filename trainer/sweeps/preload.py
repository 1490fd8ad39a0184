"""Import what most jobs need, in the server that they are forked from.

The garbage collector is off meanwhile, and leaves all of it alone afterwards: jobs then share its memory, and start
training without collecting it. Each job turns the collector on again.
"""

import gc
from importlib import import_module

gc.disable()
for name in (
    "trainer.training",
    "trainer.view.board.writing",
    "sklearn.datasets",
    "sklearn.linear_model",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
):
    import_module(name)
gc.freeze()
