"""The one place where a port is chosen. Every server of the course listens on 127.0.0.1 only."""

from __future__ import annotations

import socket

import psutil

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that is free now. Another program may still take it first: whoever starts a server tries again then."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def holder(port: int) -> str:
    """Who listens on `port`, for a message: `pid 4121, jupyter-lab`, or `another program` if it cannot be told."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        if listens and connection.pid:
            return f"another program (pid {connection.pid}, {psutil.Process(connection.pid).name()})"
    return "another program"
