"""When a number may leave a site: how many subjects must be behind it, and how evenly. Needs no torch.

Everything of a release that summarises subjects asks `enough_subjects`: prototypes, class ratios, reference
scans, validation scores. What does not pass is left out, and with it what it could be computed from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# Fewer subjects than this are never summarised in what leaves a site: a mean of one is that one, and from a
# mean and a standard deviation of two both are known.
MINIMUM_SUBJECTS = 3
# A sum that is nearly all one subject's tells that subject's value, however many others are in it.
LARGEST_SHARE = 0.9


def enough_subjects(amounts: Iterable[float], minimum: int = MINIMUM_SUBJECTS) -> bool:
    """Whether a summary of these contributions describes no single subject.

    At least `minimum` subjects contribute, and none of them more than `LARGEST_SHARE` of the whole: the
    threshold rule and the (1, k) dominance rule of statistical disclosure control (Hundepool et al.,
    Statistical Disclosure Control, Wiley 2012, chapter 4).

    Args:
        amounts: of each subject, how much of the summary is its own, such as pixels or scans; zeros do not
            count.
        minimum: smallest number of subjects; 1 where nothing leaves its site, which may then be about one.

    >>> enough_subjects([500, 300, 200]), enough_subjects([500, 300]), enough_subjects([9800, 100, 100])
    (True, False, False)
    """
    given = [amount for amount in amounts if amount > 0]
    if len(given) < max(minimum, 1):
        return False
    return minimum <= 1 or max(given) <= LARGEST_SHARE * sum(given)


def enough_scans(subjects: Iterable[str]) -> bool:
    """`enough_subjects` for a summary in which every scan counts the same.

    Args:
        subjects: of each scan, whose it is.
    """
    return enough_subjects(Counter(subjects).values())
