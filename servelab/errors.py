"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations


class ServelabError(Exception):
    """A failure told in one sentence that says what to do.

    The command line prints the sentence and exits with 1; a notebook shows it without a traceback.
    """
