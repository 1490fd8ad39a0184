"""What makes two jobs the same job."""

from __future__ import annotations

import hashlib
import json

from omegaconf import DictConfig, OmegaConf

from trainer.config.keys import flat
from trainer.runs.resume import FREE_IN_SWEEP

NOT_HASHED = {"resume", "dry_run", *FREE_IN_SWEEP}


def config_hash(cfg: DictConfig) -> str:
    """Of all that makes a run what it is."""
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    found = flat(OmegaConf.to_container(plain, resolve=True))
    text = json.dumps({k: v for k, v in found.items() if k not in NOT_HASHED}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
