"""vLLM inside Triton: the model.json for an engine that is set up as `vllm(...)` would set up its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from servelab import course, hardware
from servelab import model as models
from servelab.engines.vllm import check_flags, launch

OF_THE_API = ("host", "port", "served_model_name", "disable_access_log_for_endpoints", "lora_modules", "api_key")


def model_json(folder: Path | None = None, tier: course.Tier | None = None, **flags: Any) -> dict[str, Any]:
    """Engine arguments, and under `environment` the variables, of what `vllm(**flags)` would start on this machine.

    Args:
        folder: of the model; the tier's, unless given.
        tier: this machine's, unless given.
        flags: vLLM's own flags in Python's spelling; those of its API server are left out.

    Raises:
        ServelabError: a flag that vLLM does not have.
    """
    check_flags(flags)
    tier = tier or hardware.tier()
    folder = folder or models.prepare(tier.model, progress=False)
    plan = launch(tier, folder=folder, flags=flags)
    words = plan.command[plan.command.index("serve") + 2 :]
    options: dict[str, Any] = {"model": str(folder)}
    for flag, value in zip(words, [*words[1:], "--"], strict=True):
        if not flag.startswith("--"):
            continue
        name = flag[2:].replace("-", "_")
        if name.removeprefix("no_") not in OF_THE_API:
            options |= (
                {name: _value(value)} if not value.startswith("--") else {name.removeprefix("no_"): name[:3] != "no_"}
            )
    return options | {"environment": plan.env}


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word
