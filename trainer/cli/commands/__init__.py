"""The commands of `dltrain` besides training: each is a module with a `USAGE` and a function `main(given)`.

`main` raises a DltrainError for whatever the user can fix. No module here imports torch at the top; a command does
where it needs it.
"""

COMMANDS = {  # name -> module, help
    "eval": ("evaluate", "evaluate a trained model on its own test split or on other data"),
    "predict": ("predict", "predict for images, rows of a table or texts with a trained model"),
    "export": ("export", "export a trained model as a file that works without dltrain"),
    "runs": ("runs", "list all runs, newest last"),
    "compare": ("compare", "compare runs side by side: what differs, and their results"),
    "reproduce": ("reproduce", "repeat a run, and check that its results are the same"),
    "find-lr": ("find_lr", "train with a rising learning rate, and suggest the best one"),
    "check": ("check", "look for leaks in data: copies, ids, features that tell the target, groups, shifts"),
    "explain": ("explain", "trace one batch forward and backward: each node, its value and its gradient"),
    "importance": ("importance", "show which columns, pixels or words decide what a trained model predicts"),
    "init": ("init", "write a small project with a model, a dataset, a loss and a metric of your own"),
    "completion": ("completion", "print a script that completes command lines in bash, zsh or fish"),
    "schema": ("schema", "print a JSON schema, so that editors check and complete configs"),
}
