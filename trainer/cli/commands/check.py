"""`dltrain check`: look for leaks in a run's data, and show them as text, JSON and pictures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.cli.settings import Setting, Settings, Usage
from trainer.config.schema import names_of
from trainer.errors import DataError
from trainer.view.table import say

if TYPE_CHECKING:
    from trainer.checks.findings import Finding
    from trainer.checks.pool import Pool

USAGE = Usage(
    settings={"json": Setting("true, or --json: print JSON", "false", ("true", "false"))},
    examples=(
        "dltrain check titanic.csv target=Survived   as for training",
        "dltrain check data=fashion_mnist --json",
    ),
    words="a table, texts or a folder of images",
    overrides=True,
)


def main(given: Settings) -> None:
    """Print what is found in the splits that a run would train on, validate and test with.

    Raises:
        DataError: something is found; its code is the command's.
    """
    from trainer.build import parts
    from trainer.checks.check import check
    from trainer.checks.pool import Pool
    from trainer.cli.shorthand import spelled_out
    from trainer.config.check import checked
    from trainer.engine.numerics import seed_everything

    cfg, _ = checked(*spelled_out([*given.words, *given.overrides], given.config_dir))
    name = Path(cfg.data.get("path") or names_of(cfg.hydra)["data"]).name
    seed_everything(cfg.seed, deterministic=False)
    splits, spec = parts.examples(cfg)
    pool = Pool(splits, spec)
    notes = (*spec.notes, *splits.stand_ins)
    found = check(pool)
    if given.values["json"] == "true":
        say(json.dumps(_record(name, pool, notes, found), indent=2, ensure_ascii=False))
    else:
        sizes = ", ".join(f"{size:,} {part}" for part, size in zip(pool.names, pool.sizes, strict=True))
        say(f"data   {name}: {spec.task}, {sizes}", *(f"       {note}" for note in notes), "")
        width = max((len(one.kind) for one in found), default=0)
        say(*(f"{one.kind:{width}}  {one.line()}" for one in found))
        _draw(name, pool, found)
    if found:
        raise DataError(f"{len(found):,} {'findings' if len(found) > 1 else 'finding'} in {name}")
    if given.values["json"] == "false":
        say("nothing found")


def _record(name: str, pool: "Pool", notes: tuple[str, ...], found: list["Finding"]) -> dict[str, Any]:
    return {
        "data": name,
        "examples": dict(zip(pool.names, pool.sizes, strict=True)),
        "notes": [*notes],
        "findings": [one.plain() for one in found],
    }


def _draw(name: str, pool: "Pool", found: list["Finding"]) -> None:
    from trainer.runs.index import new_folder
    from trainer.view.plots import checks
    from trainer.view.words import shown

    if checks.applies(pool, found):
        for path in checks.draw(name, pool, found, new_folder(f"check-{name}")):
            say(f"picture  {shown(path)}")
