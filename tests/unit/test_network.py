from __future__ import annotations

import socket

import pytest
from pytest_socket import SocketConnectBlockedError


def test_tests_reach_loopback_and_nothing_else() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()
    with (
        socket.socket() as client,
        pytest.warns(UserWarning, match="192.0.2.1"),
        pytest.raises(SocketConnectBlockedError),
    ):
        client.connect(("192.0.2.1", 80))
