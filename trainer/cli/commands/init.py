"""`dltrain init`: write a small project with a model, a dataset, a loss and a metric of one's own."""

from pathlib import Path

from trainer.cli.settings import Setting, Settings, Usage
from trainer.errors import FileSystemError, naming
from trainer.files import write_text
from trainer.view.words import shown

USAGE = Usage(
    settings={"folder": Setting("the folder to write to; created if missing", ".")},
    examples=("dltrain init", "dltrain init folder=my-project"),
    words="the folder, instead of folder=",
)
FILES = {
    "mynet.py": '''"""A model of my own."""

import math

from torch import nn


class Net(nn.Sequential):
    """Two layers: `(B, *in_shape)` -> `(B, out_features)`. Both arguments are filled in from the data."""

    def __init__(self, in_shape, out_features, width=64):
        wide = nn.Linear(math.prod(in_shape), width)
        super().__init__(nn.Flatten(), wide, nn.ReLU(), nn.Linear(width, out_features))
''',
    "mydata.py": '''"""A dataset of my own: a function that makes or reads a DataFrame."""

import numpy as np
import pandas as pd

from trainer.data import from_frame


def circles(num_examples=400, noise=0.1, seed=0, val_fraction=0.1, test_fraction=0.2):
    """Points inside and outside of a circle."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(-1, 1, (2, num_examples))
    inside = x**2 + y**2 + noise * random.normal(size=num_examples) < 0.6
    frame = pd.DataFrame({"x": x, "y": y, "place": np.where(inside, "inside", "outside")})
    return from_frame(frame, "place", seed=seed, val_fraction=val_fraction, test_fraction=test_fraction)
''',
    "myloss.py": '''"""A loss of my own."""

import torch.nn.functional as F


def focal(outputs, targets, gamma=2.0):
    """Focal loss of one logit (Lin et al. 2017): the mean over a batch; easy examples count less."""
    each = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return ((1 - (-each).exp()) ** gamma * each).mean()
''',
    "mymetric.py": '''"""A metric of my own: one number for a whole split. It needs no yaml."""


def cost(outputs, targets, price=5.0):
    """Mean cost of two classes: 1 for a false alarm, `price` for a miss. Logits and targets are (N, 1)."""
    alarm, positive = outputs > 0, targets > 0.5
    return ((alarm & ~positive) + price * (~alarm & positive)).mean()


cost.higher_is_better = False  # to monitor it
''',
    "conf/model/mynet.yaml": "# my own network: width is the number of hidden units\n_target_: mynet.Net\nwidth: 64\n",
    "conf/data/mydata.yaml": """# my own points: inside or outside of a circle
_target_: mydata.circles
num_examples: 400
noise: 0.1
batch_size: 64
val_fraction: 0.1
test_fraction: 0.2
""",
    "conf/loss/myloss.yaml": "# my own loss: gamma 0 is binary cross-entropy\n_target_: myloss.focal\ngamma: 2.0\n",
    "README.md": """# My project

    dltrain model=mynet data=mydata                     my model on my data; configs are in conf/
    dltrain model=mynet data=mydata loss=myloss model.width=128 epochs=30
    dltrain model=mynet data=mydata metrics=[auto,mymetric.cost] monitor=cost
    dltrain -m model=mynet,mlp data=mydata seed=0,1,2   a sweep: which is better?
    dltrain predict last new.csv                        a file with the columns x and y
    dltrain --help model=mynet                          its settings
    tensorboard --logdir outputs

mynet.py, mydata.py, myloss.py and mymetric.py are mine to change. The metric is named on the command line, each of the
others by `_target_` in a yaml of conf/.
""",
}


def main(given: Settings) -> None:
    """Write the files, and say what to do next.

    Raises:
        FileSystemError: one of them exists; nothing is written then.
    """
    folder = Path(given.words[0] if given.words else given.values["folder"]).expanduser()
    if there := [name for name in FILES if (folder / name).exists()]:
        raise FileSystemError(
            f"{(folder / there[0]).absolute()} already exists; choose another folder: dltrain init NAME"
        )
    for name, content in FILES.items():
        file = folder / name
        with naming(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, content)
    place = "" if folder == Path() else f"cd {shown(folder)}; "
    print(f"wrote {', '.join(FILES)}", f"next: {place}dltrain model=mynet data=mydata", sep="\n")
