"""What `dltrain` does beside training: each command is a module here, with a function `main(arguments)`.

Nothing here imports torch; a command does where it needs it.
"""

from __future__ import annotations

COMMANDS = {  # as it is typed -> its module, and what it does
    "eval": ("evaluate", "measure a trained model again, on its own test split or on other data"),
    "predict": ("predict", "what a trained model says about images, rows of a table or texts"),
    "export": ("export", "write a trained model as a file that needs no dltrain"),
    "runs": ("runs", "a table of all runs"),
    "compare": ("compare", "runs beside each other: what differs, and what came of it"),
    "reproduce": ("reproduce", "run again what was run, and say whether it gives the same"),
    "find-lr": ("find_lr", "the learning-rate range test, with its picture and a suggestion"),
    "explain": ("explain", "one batch forward and backward: each node, its value and its gradient"),
}
