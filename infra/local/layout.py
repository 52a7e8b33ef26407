"""How many brokers there are and on which ports: chosen once, kept, and replaced where another program took a port."""

import base64
import uuid
from dataclasses import replace

from infra.local.state import BrokerState, LocalState
from infra.process.ports import find_ports, port_is_free
from schemas.errors import ConfigError

_BROKER_COUNTS = (1, 3)


def new_layout(state: LocalState, count: int) -> LocalState:
    """A new cluster of `count` brokers on free ports."""
    if count not in _BROKER_COUNTS:
        raise ConfigError(f"--brokers is {count}, but a local Kafka has 1 or 3 brokers")
    ports = find_ports(3 * count)
    brokers = tuple(
        BrokerState(broker_id, client, internal, controller, advertised_port=client)
        for broker_id, client, internal, controller in zip(
            range(1, count + 1), ports[::3], ports[1::3], ports[2::3], strict=True
        )
    )
    return replace(
        state, brokers=brokers, cluster_id=base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    )


def with_free_ports(state: LocalState) -> LocalState:
    """Replaces ports that another program has taken; while any broker runs, all ports stay as they are."""
    if any(broker.process for broker in state.brokers):
        return state
    for broker in state.brokers:
        ports = (broker.client_port, broker.internal_port, broker.controller_port)
        client, internal, controller = (port if port_is_free(port) else find_ports(1, set(ports))[0] for port in ports)
        advertised = client if broker.advertised_port == broker.client_port else broker.advertised_port
        state = state.with_broker(BrokerState(broker.broker_id, client, internal, controller, advertised))
    return state
