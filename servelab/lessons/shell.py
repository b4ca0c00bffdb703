"""What a lesson does to the notebook's shell: errors in one sentence, no noise, one look."""

from __future__ import annotations

import logging
import os
import warnings
from types import TracebackType
from typing import Any

from servelab.errors import ServelabError

NOISY = ("vllm", "torch", "transformers", "huggingface_hub", "urllib3", "httpx", "httpcore", "asyncio", "aiohttp")
QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def _sentence(
    shell: Any, kind: type[BaseException], error: BaseException, _trace: TracebackType, tb_offset: int | None = None
) -> None:
    """Show a ServelabError as its sentence. The cell still fails, so a run of the whole notebook stops here."""
    shell._showtraceback(kind, error, [f"\x1b[31m{error}\x1b[0m"])


def catch_errors() -> None:
    """From now on a `ServelabError` that leaves a cell is one red sentence, without a traceback."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((ServelabError,), _sentence)


def hush() -> None:
    """Keep the engines' warnings and log lines out of the notebook; the learner's own warnings stay."""
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category)
    for name in NOISY:
        warnings.filterwarnings("ignore", module=rf"{name}(\..*)?")
        logging.getLogger(name).setLevel(logging.ERROR)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def prepare() -> None:
    """Everything at once, with the figures' look."""
    from servelab.figures import style

    catch_errors()
    hush()
    style.use()
