"""What `dltrain` does beside training: each command is a module here, with a `USAGE` and a function `main(given)`.

Nothing here imports torch; a command does where it needs it.
"""

from __future__ import annotations

COMMANDS = {  # as it is typed -> its module, and what it does
    "eval": ("evaluate", "measure a trained model again, on its own test split or on other data"),
    "predict": ("predict", "what a trained model says about images, rows of a table or texts"),
    "export": ("export", "write a trained model as a file that needs no dltrain"),
    "runs": ("runs", "a table of all runs, the newest at its end"),
    "compare": ("compare", "runs beside each other: what differs, and their results"),
    "reproduce": ("reproduce", "run again what was run, and say whether it gives the same"),
    "find-lr": ("find_lr", "train while the learning rate rises, and suggest one by how the loss falls"),
    "explain": ("explain", "one batch forward and backward: each node, its value and its gradient"),
}
