"""A soak test: random faults for a given time, then the final count. `make soak MINUTES=20 RATE=50 MODEL=null`.

Prints each fault, and at the end one JSON object. Exit code 1 when a frame is lost or another promise is broken.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.cluster import cluster as new_cluster
from tests.faults.rig import Rig
from tests.faults.rig import rig as new_rig

STAGES = ("stream", "infer", "stream-2", "infer-2")
# Longer outages have test cases of their own.
FROZEN_S = (2.0, 25.0)
AWAY_S = (1.0, 12.0)
CALM_S = (2.0, 10.0)
FLOW_TIMEOUT_S = 180.0
# That a stop takes at most 10 s is tested elsewhere; here the longest stop is only reported.
STOP_S = 60.0
SETTLE_S = 300.0

Harm = Callable[[Rig], str]


def kill_process(rig: Rig) -> str:
    name = rig.rng.choice(STAGES)
    rig.keepers[name].kill()
    return f"kill -9 of {name}"


def freeze_process(rig: Rig) -> str:
    name, seconds = rig.rng.choice(STAGES), rig.rng.uniform(*FROZEN_S)
    rig.keepers[name].signal(signal.SIGSTOP)
    rig.wait(seconds)
    rig.keepers[name].signal(signal.SIGCONT)
    return f"SIGSTOP of {name} for {seconds:.0f} s"


def roll_process(rig: Rig) -> str:
    name = rig.rng.choice(STAGES)
    rig.keepers[name].restart(STOP_S)
    return f"SIGTERM of {name}"


def leave_and_join(rig: Rig) -> str:
    name, seconds = rig.rng.choice(("infer-2", "stream-2")), rig.rng.uniform(*AWAY_S)
    rig.keepers[name].stop(STOP_S)
    rig.wait(seconds)
    rig.keepers[name].start()
    return f"{name} left for {seconds:.0f} s"


def kill_broker(rig: Rig) -> str:
    kind = rig.rng.choice(("a broker", "the controller"))
    broker = rig.rng.choice(list(rig.cluster.broker_lines)) if kind == "a broker" else rig.cluster.controller()
    seconds = rig.rng.uniform(*AWAY_S)
    rig.cluster.kafka.kill_broker(broker)
    rig.wait(seconds)
    rig.cluster.start_broker(broker)
    rig.cluster.wait_in_sync(FLOW_TIMEOUT_S)
    return f"kill -9 of {kind} ({broker}), back after {seconds:.0f} s"


def kill_all_brokers(rig: Rig) -> str:
    for broker in rig.cluster.broker_lines:
        rig.cluster.kafka.kill_broker(broker)
    rig.wait(rig.rng.uniform(*AWAY_S))
    rig.cluster.heal()
    rig.cluster.wait_in_sync(FLOW_TIMEOUT_S)
    return "kill -9 of all brokers"


def kill_redis(rig: Rig) -> str:
    seconds = rig.rng.uniform(*AWAY_S)
    rig.cluster.valkey.kill()
    rig.wait(seconds)
    rig.cluster.forget_cache()
    rig.cluster.start_valkey()
    return f"Redis killed for {seconds:.0f} s, back empty"


def slow_redis(rig: Rig) -> str:
    rig.cluster.redis_line.delay(1.0)
    rig.wait(rig.rng.uniform(*AWAY_S))
    rig.cluster.redis_line.restore()
    return "Redis answers after 2 s"


def hang_redis(rig: Rig) -> str:
    rig.cluster.redis_line.hold()
    rig.wait(rig.rng.uniform(*AWAY_S))
    rig.cluster.redis_line.restore()
    return "Redis hangs"


def bad_line(rig: Rig) -> str:
    broker, line = rig.rng.choice(list(rig.cluster.broker_lines.items()))
    what, seconds = rig.rng.choice(("delay", "hold", "refuse")), rig.rng.uniform(*AWAY_S)
    if what == "delay":
        line.delay(rig.rng.uniform(0.05, 0.5), 0.2)
    elif what == "hold":
        line.hold()
    else:
        line.refuse()
    rig.wait(seconds)
    line.restore()
    return f"line to broker {broker}: {what} for {seconds:.0f} s"


def cut_lines(rig: Rig) -> str:
    lines = list(rig.cluster.broker_lines.values())
    for _ in range(rig.rng.randint(1, 10)):
        rig.rng.choice(lines).cut(0.5)
        rig.wait(rig.rng.uniform(0.1, 1.0))
    return "connections reset"


# Weights: what happens more often in production happens more often here.
TO_STAGES: Mapping[Harm, int] = {kill_process: 6, freeze_process: 2, roll_process: 4, leave_and_join: 3}
AROUND: Mapping[Harm, int] = {
    kill_broker: 3,
    kill_all_brokers: 1,
    kill_redis: 1,
    slow_redis: 1,
    hang_redis: 1,
    bad_line: 3,
    cut_lines: 2,
}
# With `around` no fault hits the stages themselves: each runs long enough to show whether its memory grows.
HARMS: Mapping[str, Mapping[Harm, int]] = {"all": {**TO_STAGES, **AROUND}, "around": AROUND, "none": {}}


def soak(
    rig: Rig, minutes: float, rate_per_s: float, model: str, harms: Mapping[Harm, int], say: Callable[[str], None]
) -> dict[str, Any]:
    """Inject faults one by one, and wait after each until frames flow again. Returns the report, with `faults`."""
    for name in STAGES:
        rig.keep(name, name.partition("-")[0], "--model", model, ready=False)
    rig.wait_ready()
    until_s = time.monotonic() + minutes * 60
    rig.send(rate_per_s=rate_per_s, sources=8, repeat_share=0.1, poison_share=0.01)
    rig.wait_flowing(FLOW_TIMEOUT_S)
    done: Counter[str] = Counter()
    faults: list[str] = []
    try:
        while time.monotonic() < until_s:
            if harms:
                say(harm_once(rig, harms, done))
            rig.wait(rig.rng.uniform(*CALM_S))
    except AssertionError as error:
        faults.append(str(error))
        rig.cluster.heal()
    try:
        rig.settle(SETTLE_S)
    except AssertionError as error:
        faults.append(str(error))
    return report(rig, done, faults)


def harm_once(rig: Rig, harms: Mapping[Harm, int], done: Counter[str]) -> str:
    """Inject one fault and wait until frames flow again; returns what it was, in words."""
    harm = rig.rng.choices(list(harms), list(harms.values()))[0]
    what = harm(rig)
    rig.harm_is_over()
    rig.wait_flowing(FLOW_TIMEOUT_S)
    done[harm.__name__] += 1
    return f"{what}; frames flow again after {rig.recoveries_s()[-1]:.1f} s"


def report(rig: Rig, done: Counter[str], faults: list[str]) -> dict[str, Any]:
    row = asdict(rig.row()) if rig.ledger else {}
    recover_s = rig.recoveries_s()
    ends = {name: Counter(end.code for end in keeper.ended_by_itself) for name, keeper in rig.keepers.items()}
    return {
        **row,
        "ok": not faults,
        "faults": faults,
        "seed": rig.seed,
        "harms": dict(done),
        "recover_s": {"max": max(recover_s, default=None), "mean": sum(recover_s) / max(1, len(recover_s))},
        "longest_stop_s": max((taken for keeper in rig.keepers.values() for taken in keeper.stops_s), default=None),
        "ended_by_themselves": {name: dict(codes) for name, codes in ends.items()},
        "last_words": {
            name: keeper.ended_by_itself[-1].stderr[-500:]
            for name, keeper in rig.keepers.items()
            if keeper.ended_by_itself
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description="Random faults, then the count of every frame.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=50.0, help="frames a second")
    parser.add_argument("--model", default="null")
    parser.add_argument("--harm", choices=HARMS, default="all", help="around: not to the stages, which live on")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    words = parser.parse_args()
    started_s = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started_s:7.1f} s  {line}", file=sys.stderr, flush=True)

    # SIGTERM ends the run as Ctrl-C does, so that everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say(f"seed {words.seed}")
    case = f"soak, harm {words.harm}, {words.minutes:g} min at {words.rate:g} frames/s, model {words.model}"
    with (
        tempfile.TemporaryDirectory(prefix="sightline-soak-") as folder,
        new_cluster(Path(folder), random.Random(words.seed)) as cluster,
        new_rig(case, cluster, words.seed) as rig,
    ):
        found = soak(rig, words.minutes, words.rate, words.model, HARMS[words.harm], say)
    print(json.dumps(found))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
