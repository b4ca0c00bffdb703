from __future__ import annotations

import os
import socket

import pytest

from servelab.engines import ports
from servelab.errors import ServelabError


def test_a_free_port_can_be_bound_and_is_not_one_to_avoid(monkeypatch):
    port = ports.free_port()
    assert port in ports.RANGE and ports.is_free(port)
    monkeypatch.setattr(ports, "RANGE", range(port, port + 1))
    monkeypatch.setattr(ports.random, "sample", lambda population, n: list(population))
    with pytest.raises(ServelabError, match="No port stayed free"):
        ports.free_port(avoid={port})


def test_a_taken_port_names_its_holder():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.holder(port).startswith(f"another program (pid {os.getpid()}, ")
