"""The last step of the setup, run inside the new environment: mend what the engine's wheel left broken, make the
packaged model ready, and Triton's folders where it can run: a grader's sandbox reads them and cannot write them."""

from __future__ import annotations

import sys

from servelab import course, model
from servelab.engines import triton_install
from servelab.engines.vllm import mend_command
from servelab.errors import ServelabError


def main() -> None:
    """All three, in this order; a failure is one sentence on stderr and exit code 1."""
    try:
        mend_command()
        for one in course.load().models:
            if one.packaged:
                model.prepare(one.id)
        triton_install.make_ready()
    except ServelabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
