"""Local services that tests control one process at a time: `sightline up` and `down` need only all of them at once."""

import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from infra.local.home import Home
from infra.local.kafka import LocalKafka
from infra.local.state import write_state
from infra.local.valkey import LocalValkey
from infra.process import daemons
from infra.process.daemons import ProcessRef

KILL_TIMEOUT_S = 10.0


class ControlledKafka(LocalKafka):
    """A local Kafka whose brokers start, stop and die one by one, and may advertise the ports of proxies.

    `data_dirs` puts a broker's topics into another folder.
    """

    def __init__(
        self,
        home: Home,
        *,
        jars_home: Home,
        data_dirs: Mapping[int, Path] | None = None,
        properties: Mapping[str, str] | None = None,
        heap_mib: int | None = None,
    ) -> None:
        super().__init__(home, jars_home=jars_home, properties=properties)
        self._data_dirs = dict(data_dirs or {})
        self._heap_mib = heap_mib or self._heap_mib

    def advertise(self, ports: Mapping[int, int]) -> None:
        """Let brokers give clients another port on 127.0.0.1, that of a proxy, from a broker's next start on."""
        with self._home.lock():
            for broker_id, port in ports.items():
                self._write(replace(self.broker(broker_id), advertised_port=port))

    def start_broker(self, broker_id: int, timeout_s: float = 90.0) -> None:
        """Start one broker on the ports that it had, and wait until it answers."""
        with self._home.lock():
            write_state(self._home.path, self._adopt(self._state()))
            if self.pid(broker_id) is None:
                self._format([broker_id])
                self._spawn(broker_id)
        self.wait_ready([broker_id], timeout_s)

    def stop_broker(self, broker_id: int, timeout_s: float = 15.0) -> None:
        """Stop one broker; its partitions get other leaders first. It counts as stopped and not as crashed."""
        with self._home.lock():
            self._stop([broker_id], timeout_s)

    def kill_broker(self, broker_id: int) -> None:
        """kill -9, as in a crash: the state still lists the broker as started. Returns when the process has ended."""
        _kill(self.broker(broker_id).process)

    def _data_dir(self, broker_id: int) -> Path:
        return self._data_dirs.get(broker_id, super()._data_dir(broker_id))


class ControlledValkey(LocalValkey):
    """A local Valkey that can be killed."""

    def kill(self) -> None:
        """kill -9, as in a crash: the state still lists the server as started. Returns when the process has ended."""
        valkey = self._state().valkey
        _kill(valkey.process if valkey else None)


def _kill(process: ProcessRef | None) -> None:
    if process:
        daemons.send(process, signal.SIGKILL)
        assert daemons.wait_gone([process], KILL_TIMEOUT_S) == [], f"{process} survived SIGKILL"
