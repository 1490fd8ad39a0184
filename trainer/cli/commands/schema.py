"""`dltrain schema`: print a JSON schema of the configs in conf/experiment."""

import json
import math
from typing import Any

from trainer.cli.settings import Settings, Usage
from trainer.cli.shorthand import OWN
from trainer.config.keys import SLOTS
from trainer.config.schema import KNOBS, groups

USAGE = Usage(settings={}, examples=("dltrain schema > dltrain.schema.json",))
KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def main(given: Settings) -> None:
    """Print the schema."""
    print(json.dumps(schema(), indent=2))


def schema() -> dict[str, Any]:
    """Return a JSON schema (draft 2020-12) of a config: the knobs, and which options the defaults list may choose."""
    properties: dict[str, Any] = {}
    for name, knob in KNOBS.items():
        *outer, last = name.split(".")
        place = properties
        for part in outer:
            place = place.setdefault(part, {"type": "object", "properties": {}, "additionalProperties": False})
            place = place["properties"]
        place[last] = _of_knob(knob)
    options = groups(str(OWN) if OWN.is_dir() else None)
    choices = [
        {
            "type": "object",
            "properties": {f"override /{slot}": {"enum": [*options[slot]]}},
            "additionalProperties": False,
        }
        for slot in SLOTS
    ]
    properties |= {slot: {"type": "object", "description": f"settings of the {slot}"} for slot in SLOTS}
    properties |= {"defaults": {"type": "array", "items": {"anyOf": [*choices, {"type": "string"}]}}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dltrain",
        "type": "object",
        "properties": properties | {"hydra": {"type": "object"}},
        "additionalProperties": False,
    }


def _of_knob(knob: Any) -> dict[str, Any]:
    rule = knob.metadata
    found: dict[str, Any] = {"description": rule["about"]}
    kind = KINDS.get(type(knob.default))
    if rule["choices"]:
        return found | {"enum": [*rule["choices"], *([False] if "off" in rule["choices"] else [])]}
    if kind and kind != "string":
        found["type"] = [kind, "string"] if knob.default == math.inf else kind  # inf is text in JSON
    if rule["least"] > -math.inf:
        found["exclusiveMinimum" if rule["least"] in rule["never"] else "minimum"] = rule["least"]
    if rule["most"] < math.inf:
        found["exclusiveMaximum" if rule["most"] in rule["never"] else "maximum"] = rule["most"]
    return found if knob.default in (None, math.inf) else found | {"default": knob.default}
