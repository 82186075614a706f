"""The models that a run's pictures and tables show side by side, and how they are called."""

from __future__ import annotations

from monai_sfda.candidate_names import LAST, UNADAPTED, candidate_title

BEFORE, AFTER, PUBLISHED = "before", "after", "published"


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
