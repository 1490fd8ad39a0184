"""What makes two jobs the same job."""

from __future__ import annotations

import hashlib
import json

from omegaconf import DictConfig

from trainer.runs.resume import FREE_IN_SWEEP, values_of

NOT_HASHED = {"resume", "dry_run", *FREE_IN_SWEEP}


def config_hash(cfg: DictConfig) -> str:
    """Of all that makes a run what it is."""
    text = json.dumps({k: v for k, v in values_of(cfg).items() if k not in NOT_HASHED}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
