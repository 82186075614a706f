"""The models that a run's pictures and tables show side by side, and how they are called."""

from __future__ import annotations

from monai_sfda.evaluation.comparison import UNADAPTED

BEFORE, AFTER, PUBLISHED = "before", "after", "published"
LAST = "last"
"""Of the guard's candidates, the weights that the method ended with."""


def moment_titles(chosen: str | None) -> dict[str, str]:
    """Moment to its title, in the order of the run.

    `before` is the unadapted model, `after` the method as it ended, and `published` the guard's choice where
    it is neither.

    Args:
        chosen: the candidate that is published; None where no guard has chosen.

    >>> moment_titles("epoch_0004")
    {'before': 'before', 'published': 'epoch 4 (published)', 'after': 'after (not published)'}
    """
    if chosen is None:
        return {BEFORE: BEFORE, AFTER: AFTER}
    if chosen == UNADAPTED:
        return {BEFORE: "before (published)", AFTER: "after (not published)"}
    if chosen == LAST:
        return {BEFORE: BEFORE, AFTER: "after (published)"}
    return {
        BEFORE: BEFORE,
        PUBLISHED: f"{candidate_title(chosen)} (published)",
        AFTER: "after (not published)",
    }


def candidate_title(name: str) -> str:
    """A candidate's name for people.

    >>> candidate_title("epoch_0012"), candidate_title("last")
    ('epoch 12', 'last')
    """
    word, _, number = name.partition("_")
    return f"{word} {int(number)}" if number.isdecimal() else name
