"""The one place where a port is chosen. Every server of the course listens on 127.0.0.1 only."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Collection

import psutil

from servelab.errors import ServelabError
from servelab.i18n import _

HOST = "127.0.0.1"
RANGE = range(18000, 28000)  # below the range from which the system takes ports for outgoing connections


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(avoid: Collection[int] = ()) -> int:
    """A port that is free now and not in `avoid`. Another program may still take it first: whoever starts a server
    tries again then.

    Raises:
        ServelabError: hundreds of ports were tried and all are taken.
    """
    for port in random.sample(RANGE, 300):
        if port not in avoid and is_free(port):
            return port
    raise ServelabError(_("No port stayed free on this machine: give one with `port=`."))


def holder(port: int) -> str:
    """Who listens on `port`, for a message: `pid 4121, jupyter-lab`, or `another program` if it cannot be told."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid:
                name = psutil.Process(connection.pid).name()
                return _("another program (pid {pid}, {name})").format(pid=connection.pid, name=name)
    return _("another program")
