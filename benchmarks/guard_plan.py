"""The runs of the guard's calibration: which world, method, size and harm each has.

The design goes by rounds. A round has every task and method of both halves once, in a shuffled order; kinds
and sizes are dealt from shuffled decks, so that every prefix of the plan is nearly balanced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monai_sfda.guard.split import number_kept_back
from monai_sfda.methods import StepSettings, find_method

TASKS = ("abdomen", "cardiac", "brain_modality", "brain_grade", "spine", "street")
HALVES = {"development": 100, "held_out": 200}
"""Half of the population to its first world's seed."""
ROUNDS_A_WORLD = 8
PARTS = ("development", "held_out")
HELD_OUT_FROM = 203
"""Seed of the first world by which nothing is chosen. The held-out half's worlds before it judged a first
calibration; once looked at, they are no test any more and belong to the development part.
"""

METHODS: dict[str, dict[str, Any]] = {
    "sfs": {"learning_rate": 5e-5, "adam_eps": 1e-8, "keras_eps": False, "points": 1024, "projections": 50},
    "mas3": {"learning_rate": 5e-5, "adam_eps": 1e-8, "keras_eps": False, "points": 1024, "projections": 50},
    "osuda": {"learning_rate": 1e-5, "time_constant": 40.0},
    "adaent": {"learning_rate": 1e-4},
    "adabn": {},
    "tent": {"learning_rate": 1e-4},
    "mean_teacher": {"learning_rate": 1e-4, "ema": 0.97},
}
"""Settings of the ordinary runs: about those of the bundles' small.json."""

LAMBDA = {
    "sfs": "swd_weight",
    "mas3": "swd_weight",
    "osuda": "entropy_weight_start",
    "adaent": "ratio_weight",
}
"""Method to the setting that weighs its terms; the others have one term alone."""


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Attributes:
        title: for people.
        cards: how many of it a deck holds.
        settings: whether the method's settings make it, so that a method without steps has none of it.
        wrong: whether something is wrong: a scan or a setting that nobody wants.
    """

    title: str
    cards: int
    settings: bool = False
    wrong: bool = True


KINDS: dict[str, Kind] = {
    "ordinary": Kind("ordinary", 30, wrong=False),
    "rate_5": Kind("learning rate x5", 8, settings=True),
    "rate_20": Kind("learning rate x20", 10, settings=True),
    "rate_100": Kind("learning rate x100", 8, settings=True),
    "lambda_1000": Kind("lambda x1000", 7, settings=True),
    "wrong_sign": Kind("wrong sign of the loss", 7, settings=True),
    "body_part": Kind("another body part", 5),
    "source_scans": Kind("scans of the source's modality", 4),
    "inverted": Kind("inverted contrast", 4),
    "constant": Kind("constant scans", 3),
    "empty": Kind("empty scans", 2),
    "corrupted": Kind("one corrupted scan", 5),
    "rare": Kind("slices that show little of a class", 4),
    "common": Kind("slices that show most of a class", 4),
    "absent": Kind("a structure truly absent", 3, wrong=False),
}
GUARD_SHARE = 0.25
SIZES = (1, 2, 5, 5, 5, 10, 10, 10)
"""Target subjects. Most have three or more: with fewer no verdict is better than `unsure`."""

ABSENT = {"abdomen": "spleen", "cardiac": "left_atrium", "brain_grade": "enhancing_tumour", "street": "car"}
"""Task to the structure that its subjects lack in runs of kind `absent`; a task of one structure has none."""
OTHER_PART = {
    "abdomen": "cardiac",
    "cardiac": "brain_modality",
    "brain_modality": "abdomen",
    "brain_grade": "abdomen",
    "spine": "abdomen",
    "street": "cardiac",
}


@dataclass(frozen=True)
class Run:
    """One adaptation.

    Attributes:
        number: place in the plan.
        half: `development` or `held_out`.
        task: name in the catalog.
        world: seed of the phantoms and of the source model.
        method: name.
        kind: of `KINDS`.
        subjects: target subjects, the guard's among them.
        draw: which of the world's subjects they are: the seed of the choice and of the guard's split.
        steps: of the optimiser.
        rate: factor of the learning rate, beside the kind's.
        frozen: whether batch norm keeps the source's statistics, in methods that can.
        seed: of the adaptation.
    """

    number: int
    half: str
    task: str
    world: int
    method: str
    kind: str
    subjects: int
    draw: int
    steps: int
    rate: float
    frozen: bool
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.number:05d}-{self.task}-{self.method}-{self.kind}-{self.subjects}"

    def to_json(self) -> dict[str, Any]:
        """As it stands in a record."""
        return asdict(self)

    @property
    def part(self) -> str:
        """Whether estimate and thresholds may come from it, or are judged on it: one of `PARTS`."""
        return "held_out" if self.half == "held_out" and self.world >= HELD_OUT_FROM else "development"

    @property
    def guard_subjects(self) -> int:
        """How many the guard has for itself."""
        return number_kept_back(self.subjects, GUARD_SHARE)

    @property
    def method_settings(self) -> dict[str, Any]:
        """Settings of the method, the harmful one among them."""
        settings = dict(METHODS[self.method])
        if self.kind == "lambda_1000":
            name = LAMBDA[self.method]
            default = getattr(find_method(self.method).settings_class(), name)
            settings[name] = 1000 * settings.get(name, default)
        if self.frozen and issubclass(find_method(self.method).settings_class, StepSettings):
            settings["batchnorm_statistics"] = "frozen"
        if "learning_rate" in settings:
            factor = float(self.kind.removeprefix("rate_")) if self.kind.startswith("rate_") else 1.0
            settings["learning_rate"] *= factor * self.rate
        return settings


def fits(kind: str, task: str, method: str, subjects: int) -> bool:
    """Whether there is such a run."""
    if kind == "absent" and task not in ABSENT:
        return False
    if kind == "corrupted" and subjects == 1:
        return False
    if KINDS[kind].settings and method == "adabn":
        return False
    return kind != "lambda_1000" or method in LAMBDA


class _Deck:
    """Cards dealt in a random order; when all are dealt, they are shuffled again."""

    def __init__(self, cards: list[Any], rng: np.random.Generator) -> None:
        self._cards, self._rng = cards, rng
        self._left: list[Any] = []

    def shuffled(self) -> list[Any]:
        return [self._cards[i] for i in self._rng.permutation(len(self._cards))]

    def deal(self, wanted: Any = lambda card: True) -> Any:
        """The next card that is wanted; the others stay where they are."""
        for _ in range(2):
            place = next((i for i, card in enumerate(self._left) if wanted(card)), None)
            if place is not None:
                return self._left.pop(place)
            self._left += self.shuffled()
        raise ValueError("no card of the deck is wanted")


def plan() -> Iterator[Run]:
    """All runs, without end; the same at every call."""
    rng = np.random.default_rng(20261121)
    kinds = {
        half: _Deck([name for name, kind in KINDS.items() for _ in range(kind.cards)], rng) for half in HALVES
    }
    sizes = {half: _Deck(list(SIZES), rng) for half in HALVES}
    cells = [(half, task, method) for half in HALVES for task in TASKS for method in METHODS]
    number, round_ = 0, 0
    while True:
        for place in rng.permutation(len(cells)):
            half, task, method = cells[place]
            subjects = int(sizes[half].deal())
            kind = kinds[half].deal(lambda card, t=task, m=method, s=subjects: fits(card, t, m, s))
            yield Run(
                number,
                half,
                task,
                HALVES[half] + round_ // ROUNDS_A_WORLD,
                method,
                kind,
                subjects,
                draw=int(rng.integers(0, 3)),
                steps=int(rng.choice([48, 80])),
                rate=float(rng.choice([0.5, 1.0, 2.0])),
                frozen=bool(rng.integers(0, 2)),
                seed=HALVES[half] + int(rng.integers(0, 100)),
            )
            number += 1
        round_ += 1
