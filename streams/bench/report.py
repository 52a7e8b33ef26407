"""The options of a benchmark and its report."""

from dataclasses import dataclass, field

from streams.bench.measure import machine


@dataclass(frozen=True, slots=True)
class Options:
    """`frames` in each measured run, `repeats` of each pair of runs; `model` is the one that the worker runs.

    `seconds`: how long the latency benchmark sends frames.
    """

    frames: int = 1500
    repeats: int = 3
    model: str = "efficientnet-lite0"
    seconds: float = 20.0


@dataclass(slots=True)
class Report:
    """Ratios are what the goals are set for, figures explain them; the names of figures end in their units."""

    name: str
    ratios: dict[str, float] = field(default_factory=dict)
    figures: dict[str, object] = field(default_factory=dict)
    # Name of a ratio -> (">=" or "<=", goal); a ratio without a goal is for information.
    goals: dict[str, tuple[str, float]] = field(default_factory=dict)

    def ratio(self, name: str, value: float, sign: str = "", goal: float = 0.0) -> None:
        self.ratios[name] = round(value, 3)
        if sign:
            self.goals[name] = (sign, goal)

    def reached(self, name: str) -> bool | None:
        """Whether the ratio meets its goal; None when it has no goal."""
        if name not in self.goals:
            return None
        sign, goal = self.goals[name]
        return self.ratios[name] >= goal if sign == ">=" else self.ratios[name] <= goal

    def missed(self) -> list[str]:
        """The names of the ratios that do not meet their goals."""
        return [name for name in self.ratios if self.reached(name) is False]

    def as_json(self) -> dict[str, object]:
        goals = {name: f"{sign} {goal:g}" for name, (sign, goal) in self.goals.items()}
        return {
            "name": self.name,
            "ratios": self.ratios,
            "goals": goals,
            "figures": self.figures,
            "machine": machine(),
        }
