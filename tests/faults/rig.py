"""What a fault case works with: a deployment on three brokers, supervised processes, numbered frames, final count."""

import json
import random
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from schemas.coordinates import Coordinates
from tests.faults import ledger as ledgers
from tests.faults import results
from tests.faults.cluster import Cluster
from tests.faults.keeper import Keeper
from tests.faults.outcomes import Watcher
from tests.faults.reading import Reading
from tests.faults.recovery import Moment, flowing_after
from tests.faults.sender import FrameSender, Traffic
from tests.support.deployment import Deployment, deployment
from tests.support.runner import COMMAND, Runner

SETTLE_TIMEOUT_S = 120.0
MEMORY_EVERY_S = 1.0
# Short delays, so that a test does not wait for the default ones.
RETRY_DELAYS_MS = "[300, 1000, 3000]"
VARIABLES = {
    "SIGHTLINE_TOPICS__REPLICATION_FACTOR": "3",
    "SIGHTLINE_TOPICS__MIN_INSYNC_REPLICAS": "2",
    "SIGHTLINE_RETRY__DELAYS_MS": RETRY_DELAYS_MS,
    "SIGHTLINE_LOG__FORMAT": "text",
}


class Rig:
    """Made by `rig(...)`, which also stops everything at the end."""

    def __init__(self, case: str, cluster: Cluster, deployed: Deployment, seed: int) -> None:
        self.case, self.cluster, self.deployed, self.seed = case, cluster, deployed, seed
        self.rng = random.Random(f"{seed}:{case}")
        self.keepers: dict[str, Keeper] = {}
        self.sender: FrameSender | None = None
        self.reading = Reading(self.bootstrap_servers, deployed.topics)
        self.watcher = Watcher(self.bootstrap_servers, deployed.topics)
        self.ledger: ledgers.Ledger | None = None
        self._over: list[Moment] = []
        self._closing = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="memory", daemon=True)
        self._sampler.start()

    @property
    def bootstrap_servers(self) -> str:
        return self.cluster.services.bootstrap_servers

    # -- parts

    def keep(self, name: str, *words: str, ready: bool = True, command: Sequence[str] = COMMAND, **env: str) -> Keeper:
        """Start `sightline <words>` and start it again whenever it ends."""
        keeper = self.keepers[name] = Keeper(name, words, {**self.deployed.env, **env}, command)
        return keeper.start(ready)

    def start_stages(self, model: str = "null") -> None:
        """One stream processor and one worker, both ready."""
        self.keep("stream", "stream", "--model", model, ready=False)
        self.keep("infer", "infer", "--model", model, ready=False)
        self.wait_ready()

    def wait_ready(self) -> None:
        for keeper in self.keepers.values():
            keeper.wait_ready()

    @property
    def stream(self) -> Keeper:
        return self.keepers["stream"]

    @property
    def infer(self) -> Keeper:
        return self.keepers["infer"]

    def send(self, **traffic: Any) -> FrameSender:
        """Numbered frames from now on, as `Traffic` says."""
        self.sender = FrameSender(self.bootstrap_servers, self.deployed.topics.frames, Traffic(**traffic), self.rng)
        return self.sender.start()

    def run(self, *words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself, on this deployment."""
        return Runner(self.deployed.env).run(*words, timeout_s=timeout_s)

    # -- time

    def wait(self, seconds: float) -> None:
        """Sleep, then raise the error of a thread of the rig, if one failed."""
        time.sleep(seconds)
        for error in (self.watcher.error, self.sender.error if self.sender else None):
            if error is not None:
                raise error

    def harm_is_over(self) -> None:
        """The recovery time begins now: call it right after a kill, or when what was taken away is back."""
        self._over.append(Moment.now(self.sender))

    def wait_flowing(self, timeout_s: float = 90.0) -> None:
        """Wait until each source has an outcome of a frame that was sent after this call."""
        since, until_s = Moment.now(self.sender), time.monotonic() + timeout_s
        while flowing_after(since, self.sender, self.watcher) is None:
            if time.monotonic() > until_s:
                raise AssertionError(f"no labels of new frames after {timeout_s:g} s\n{self.words()}")
            self.wait(0.1)

    def wait_labelled(self, places: set[Coordinates], timeout_s: float) -> None:
        """Wait until each of these frames has a label. Works also after `settle`."""
        until_s = time.monotonic() + timeout_s
        while left := places - {label.source for label in self.reading.labels()}:
            if time.monotonic() > until_s:
                raise AssertionError(f"{len(left)} without a label after {timeout_s:g} s: {sorted(map(str, left))[:5]}")
            time.sleep(1.0)

    # -- the count

    def settle(self, timeout_s: float = SETTLE_TIMEOUT_S) -> ledgers.Ledger:
        """Stop sending, await all outcomes, count, compare with `sightline audit`. Fails when a promise is broken."""
        if self.sender is not None:
            self.sender.finish()
        wanted = self.reading.written(self.sender) | (self.sender.acknowledged.keys() if self.sender else set())
        self.watcher.wait_for(lambda: wanted, timeout_s)
        self.watcher.close()
        self.ledger = self.count()
        results.add(self.row(), self.seed)
        self._tell_ends()
        faults = self.ledger.faults + self._audit_faults(self.ledger)
        if faults:
            raise AssertionError(f"seed {self.seed}: " + "; ".join(faults) + "\n" + self.words())
        return self.ledger

    def count(self) -> ledgers.Ledger:
        """Read all topics from the beginning and count."""
        written = self.reading.written(self.sender)
        acknowledged = self.sender.acknowledged if self.sender else {}
        ledger = ledgers.count(acknowledged, written, self.reading.retried(), self.reading.outcomes())
        ledger.nowhere = len(self.sender.unplaced) if self.sender else 0
        return ledger

    def audit(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and JSON of `sightline audit`."""
        done = self.run("audit", "--json", *words)
        assert done.stdout.strip(), f"audit said nothing and ended with {done.returncode}: {done.stderr[-2000:]}"
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    def row(self) -> results.Row:
        """The row of this case in the table of results. Call it only after `settle`."""
        assert self.ledger is not None
        keepers = self.keepers.values()
        return replace(
            results.row_of(self.case, self.ledger, self.recover_s()),
            restarts={keeper.name: keeper.restarts for keeper in keepers},
            ended={keeper.name: len(keeper.ended_by_itself) for keeper in keepers},
            max_mib={keeper.name: round(keeper.memory.max_mib, 1) for keeper in keepers},
            slope_mib_per_min={keeper.name: keeper.memory.slope_mib_per_min() for keeper in keepers},
        )

    def words(self) -> str:
        return "\n".join(keeper.last_words() for keeper in self.keepers.values())

    def close(self) -> None:
        self._closing.set()
        self._sampler.join(5.0)
        for keeper in self.keepers.values():
            keeper.close()

    # -- details

    def recoveries_s(self) -> list[float]:
        """How long each recovery took; one that is not over yet is left out."""
        found = [(over.at_s, flowing_after(over, self.sender, self.watcher)) for over in self._over]
        return [flowing_s - over_s for over_s, flowing_s in found if flowing_s is not None]

    def recover_s(self) -> float | None:
        """The longest recovery; None when there was no fault, or nothing was sent after it."""
        return max(self.recoveries_s(), default=None)

    def _audit_faults(self, ledger: ledgers.Ledger) -> list[str]:
        code, audit = self.audit()
        mine = {
            "frames": ledger.written,
            "labels": ledger.labels,
            "dead": ledger.dead - ledger.both,
            "duplicates": ledger.duplicates,
            "missing_count": len(ledger.lost),
            "ok": not ledger.lost,
        }
        wrong = {name: (audit.get(name), value) for name, value in mine.items() if audit.get(name) != value}
        if (code == 0) != (not ledger.lost):
            wrong["exit code"] = (code, 0 if not ledger.lost else 1)
        return [f"sightline audit says {name} = {found}, counted {own}" for name, (found, own) in wrong.items()]

    def _tell_ends(self) -> None:
        """Print every end of a process that was not caused by a signal of the test."""
        for keeper in self.keepers.values():
            for end in keeper.ended_by_itself:
                last = (end.stderr.strip().splitlines() or ["(nothing)"])[-1]
                print(f"{keeper.name} ended by itself with {end.code} after {end.age_s:.1f} s: {last[:300]}")

    def _sample(self) -> None:
        while not self._closing.wait(MEMORY_EVERY_S):
            for keeper in list(self.keepers.values()):
                keeper.sample_memory()


@contextmanager
def rig(case: str, cluster: Cluster, seed: int, **variables: str) -> Iterator[Rig]:
    """A rig on a healed cluster; everything that it started is stopped at the end."""
    cluster.heal()
    with deployment(cluster.services, **{**VARIABLES, **variables}) as deployed:
        made = Rig(case, cluster, deployed, seed)
        try:
            yield made
        finally:
            if made.sender is not None:
                made.sender.abandon()
            made.watcher.abandon()
            made.close()
            cluster.heal()
