"""Whether scans drift away from what a model knows, one after the other: two sequential tests.

Both are a cumulative sum over the scans in the order of their acquisition: one kind of scan raises it, the
others lower it, never below 0; at a threshold it is an alarm. How likely a false alarm is follows exactly,
from the finite Markov chain that the sum is. One test asks whether too many scans are not familiar. It is as
good as the reference: one of few subjects calls hardly any scan strange. The other (`RISING`) asks whether
scores are higher than those of the site's own scans before, and needs no reference, but some scans before the
change.

Sources: Page 1954 (Biometrika 41), the cumulative sum; Reynolds and Stoumbos 1999 (Journal of Quality
Technology 31), of one trial after the other, with steps in whole numbers; Brook and Evans 1972 (Biometrika
59), the Markov chain.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.errors import SettingError


@dataclass(frozen=True)
class Drift:
    """What the test says of a sequence of scans.

    Attributes:
        scans: number of them.
        strange: how many raised the sum.
        levels: the cumulative sum after each scan.
        alarm: number of the scan, from 1, at which the threshold was first reached; None when it never was.
            A test that has alarmed stays so: later scans take nothing back.
        began: number of the scan from which the change is most likely, the first after the sum was last 0.
    """

    scans: int
    strange: int
    levels: tuple[int, ...]
    alarm: int | None
    began: int | None

    @property
    def detected(self) -> bool:
        """Whether the model drifts."""
        return self.alarm is not None


@dataclass(frozen=True)
class DriftTest:
    """A one-sided test of the share p of strange scans.

    S_t = max(0, S_{t-1} + u) for a strange scan, max(0, S_{t-1} - 1) for any familiar one; an
    alarm at S_t >= h. With u = log(p1 / p0) / log((1 - p0) / (1 - p1)), rounded to a whole number, the sum
    follows the log likelihood ratio of p1 against p0. h is the smallest threshold that keeps the probability
    of any alarm in the first `horizon` scans at or below `false_alarm` while p is `usual_share`; a smaller p
    makes it rarer yet.

    Scans are taken as independent of each other: ten series of one examination are no ten scans.

    Args:
        usual_share: p0, the most that are strange though nothing has changed. Of scans that are not familiar
            the reference's own intervals allow less than 2% over all aspects (docs/domain_shift.md); the rest
            is for scans that vary more than those few that it was made of.
        drifted_share: p1, the share that should be found soonest.
        false_alarm: probability.
        horizon: scans.

    Raises:
        SettingError: unless 0 < usual_share < drifted_share < 1, 0 < false_alarm < 1 and horizon >= 1.
    """

    usual_share: float = 0.05
    drifted_share: float = 0.25
    false_alarm: float = 0.025
    horizon: int = 1000

    def __post_init__(self) -> None:
        if not (0 < self.usual_share < self.drifted_share < 1):
            raise SettingError(
                f"usual_share {self.usual_share} and drifted_share {self.drifted_share} make no test",
                remedy="use 0 < usual_share < drifted_share < 1",
            )
        if not (0 < self.false_alarm < 1 and self.horizon >= 1):
            raise SettingError(
                f"a false alarm with probability {self.false_alarm} in {self.horizon} scans makes no test",
                remedy="use a probability between 0 and 1, and at least one scan",
            )

    @cached_property
    def step(self) -> int:
        """u: so many other scans outweigh a strange one; at least 1."""
        up = math.log(self.drifted_share / self.usual_share)
        down = math.log((1 - self.usual_share) / (1 - self.drifted_share))
        return max(1, round(up / down))

    @cached_property
    def threshold(self) -> int:
        """The threshold h."""
        high = 1
        while self.alarm_probability(self.horizon, self.usual_share, high) > self.false_alarm:
            high *= 2
        low = high // 2
        while high - low > 1:  # the probability falls as the threshold rises
            middle = (low + high) // 2
            if self.alarm_probability(self.horizon, self.usual_share, middle) > self.false_alarm:
                low = middle
            else:
                high = middle
        return high

    def alarm_probability(self, scans: int, share: float, threshold: int | None = None) -> float:
        """The exact probability of an alarm in the first `scans` scans, of which a share is strange.

        Args:
            scans: number of them.
            share: probability of each, independent of the others.
            threshold: None for the test's own.
        """
        limit = self.threshold if threshold is None else threshold
        at = np.zeros(limit)
        at[0] = 1.0
        for _ in range(scans):
            after = np.zeros(limit)
            after[:-1] = (1 - share) * at[1:]
            after[0] += (1 - share) * at[0]
            after[self.step :] += share * at[: max(limit - self.step, 0)]
            at = after
        return float(1 - at.sum())

    def mean_scans_to_alarm(self, share: float) -> float:
        """The mean number of scans until an alarm while a share of them is strange, from a sum of 0."""
        limit = self.threshold
        stay: NDArray[np.float64] = np.zeros((limit, limit))
        for level in range(limit):
            stay[level, max(level - 1, 0)] += 1 - share
            if level + self.step < limit:
                stay[level, level + self.step] += share
        return float(np.linalg.solve(np.eye(limit) - stay, np.ones(limit))[0])

    def __call__(self, strange: Sequence[bool]) -> Drift:
        """Tests a sequence.

        Args:
            strange: of each scan in the order of acquisition, whether it is.
        """
        levels: list[int] = []
        alarm: int | None = None
        began: int | None = None
        level, zero_at = 0, 0
        for number, is_strange in enumerate(strange, start=1):
            level = level + self.step if is_strange else max(0, level - 1)
            levels.append(level)
            if alarm is None and level >= self.threshold:
                alarm, began = number, zero_at + 1
            if level == 0:
                zero_at = number
        return Drift(len(levels), sum(map(bool, strange)), tuple(levels), alarm, began)

    def to_json(self) -> dict[str, Any]:
        """The test and its exact rates."""
        return {
            "usual_share": self.usual_share,
            "drifted_share": self.drifted_share,
            "step": self.step,
            "threshold": self.threshold,
            "horizon": self.horizon,
            "false_alarm_probability": round(self.alarm_probability(self.horizon, self.usual_share), 4),
            "mean_scans_to_false_alarm": round(self.mean_scans_to_alarm(self.usual_share)),
            "mean_scans_to_find_drifted_share": round(self.mean_scans_to_alarm(self.drifted_share), 1),
        }


RISING = DriftTest(usual_share=0.2, drifted_share=0.6)
"""Of `among_highest`: under no change each scan is with a probability of at most a fifth."""


def among_highest(scores: Sequence[float], share: float = RISING.usual_share) -> list[bool]:
    """Of each score, whether it is among the highest share of those up to it, itself included.

    While the scans are exchangeable, the rank of the t-th among the first t is uniform and independent of all
    ranks before (Renyi 1962, Colloquium on Combinatorial Methods in Probability Theory): it is so with
    probability floor(share t) / t, whatever the scores' distribution. Equal scores count as higher ones
    before.

    Args:
        scores: in the order of acquisition.
        share: of the scores that are the highest.
    """
    before: list[float] = []
    found = []
    for number, score in enumerate(scores, start=1):
        higher = len(before) - bisect.bisect_left(before, score)
        found.append(higher < math.floor(share * number + 1e-9))
        bisect.insort(before, score)
    return found


def in_words(unfamiliar: Drift, rising: Drift, test: DriftTest) -> str:
    """What both tests found, for people.

    Args:
        unfamiliar: of the scans that are not familiar.
        rising: of the scores.
        test: that found `unfamiliar`.
    """
    share = (
        f"{unfamiliar.strange} of {unfamiliar.scans} scans in order are not like those that the model knows"
    )
    alarms = [
        f"{what}, alarm at scan {drift.alarm}, the change began near scan {drift.began}"
        for what, drift in (("too many unfamiliar scans", unfamiliar), ("scores have risen", rising))
        if drift.detected
    ]
    if alarms:
        return f"the model drifts: {'; '.join(alarms)}; {share}"
    least = math.ceil(test.threshold / test.step)
    if unfamiliar.scans < least:
        return f"too few scans to say whether the model drifts: {unfamiliar.scans}, where {least} could alarm"
    return f"no drift seen: {share}"
