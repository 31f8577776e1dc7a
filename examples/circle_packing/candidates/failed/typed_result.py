"""Square grid with a filler circle, returned as a well-typed object."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Circle:
    x: float
    y: float
    r: float


@dataclass
class Packing:
    circles: list = field(default_factory=list)

    @property
    def score(self) -> float:
        return sum(circle.r for circle in self.circles)

    def add(self, x: float, y: float, r: float) -> None:
        self.circles.append(Circle(x, y, r))


def pack(n: int) -> Packing:
    packing = Packing()
    for k in range(25):
        packing.add(0.1 + 0.2 * (k % 5), 0.1 + 0.2 * (k // 5), 0.1)
    gap = 0.1 * (2**0.5 - 1)  # the hole between four circles
    for k in range(n - 25):
        packing.add(0.2 + 0.2 * k, 0.2, gap)
    return packing
