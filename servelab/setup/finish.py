"""The last step of the setup, run inside the new environment: mend what the engine's wheel left broken, and make
the packaged model ready."""

from __future__ import annotations

import sys

from servelab import course, model
from servelab.engines.vllm import mend_command
from servelab.errors import ServelabError


def main() -> None:
    """Both, in this order; a failure is one sentence on stderr and exit code 1."""
    try:
        mend_command()
        for one in course.load().models:
            if one.packaged:
                model.prepare(one.id)
    except ServelabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
