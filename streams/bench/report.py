"""What a benchmark answers, and what it was asked."""

from dataclasses import dataclass, field

from streams.bench.measure import machine


@dataclass(frozen=True, slots=True)
class Options:
    """`frames` per measured run, `repeats` of each pair; `model` is what the worker runs."""

    frames: int = 1500
    repeats: int = 3
    model: str = "efficientnet-lite0"
    seconds: float = 20.0


@dataclass(slots=True)
class Report:
    """Ratios are the promise, figures explain them; both by telling names with units."""

    name: str
    ratios: dict[str, float] = field(default_factory=dict)
    figures: dict[str, object] = field(default_factory=dict)
    # ratio -> (">=" or "<=", goal), from the design; a ratio without a goal is for information.
    goals: dict[str, tuple[str, float]] = field(default_factory=dict)

    def ratio(self, name: str, value: float, sign: str = "", goal: float = 0.0) -> None:
        self.ratios[name] = round(value, 3)
        if sign:
            self.goals[name] = (sign, goal)

    def reached(self, name: str) -> bool | None:
        """Whether the ratio reached its goal; None where it has none."""
        if name not in self.goals:
            return None
        sign, goal = self.goals[name]
        return self.ratios[name] >= goal if sign == ">=" else self.ratios[name] <= goal

    def missed(self) -> list[str]:
        """The ratios that did not reach their goals."""
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
