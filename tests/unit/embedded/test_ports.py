from __future__ import annotations

import socket

import pytest

from agent_service.embedded.ports import PortError, free_port, require_free


def test_a_taken_port_is_named_with_the_setting_that_moves_it():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PortError) as caught:
            require_free("127.0.0.1", port, setting="API")

    assert str(caught.value) == f"port {port} on 127.0.0.1 is taken by another program; set API_PORT in .env"


def test_a_free_port_passes():
    require_free("127.0.0.1", free_port("127.0.0.1"), setting="API")


def test_an_address_of_another_machine_is_told():
    with pytest.raises(PortError, match=r"192\.0\.2\.1 is not an address of this machine; set METRICS_HOST"):
        require_free("192.0.2.1", 9464, setting="METRICS")


def test_port_0_is_refused_since_no_client_would_find_it():
    with pytest.raises(PortError, match="API_PORT is 0"):
        require_free("127.0.0.1", 0, setting="API")
