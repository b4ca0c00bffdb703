"""nbgrader reads this file when one of its commands or panels is started in this folder."""

from pathlib import Path

from autograder.config import configure

configure(get_config(), Path(__file__).parent)  # noqa: F821  traitlets puts get_config here
