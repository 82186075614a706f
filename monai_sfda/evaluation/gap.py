"""The share of the gap to the supervised bound that adaptation closed, and when there is none to state."""

from __future__ import annotations

from dataclasses import dataclass

_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class Withheld:
    """Why no share is stated.

    Attributes:
        mark: of the footnote.
        short: for a tile.
        text: the footnote.
    """

    mark: str
    short: str
    text: str


NO_ROOM = Withheld(
    "\N{DOUBLE DAGGER}",
    "the bound is no better than unadapted",
    "The bound is no better than the unadapted model here: there is no gap to close.",
)
BELOW_BLOB = Withheld(
    "\N{SECTION SIGN}",
    "the bound does not beat the centre blob",
    "The bound does not beat the centre blob here, which looks at no image: it bounds nothing.",
)


def gap_closed(
    unadapted: float | None, adapted: float | None, bound: float | None, higher: bool
) -> float | None:
    """(adapted - unadapted) / (bound - unadapted); None where the bound is no better than unadapted.

    Args:
        unadapted: mean of one metric before adaptation; None where undefined.
        adapted: the same after it.
        bound: the same of a model trained with labels of the target.
        higher: whether more of the metric is better.

    Returns:
        A share: 0 no gain, 1 the bound reached, negative when adaptation did harm.
    """
    if unadapted is None or adapted is None or bound is None:
        return None
    room = bound - unadapted if higher else unadapted - bound
    gain = adapted - unadapted if higher else unadapted - adapted
    return gain / room if room > _NEGLIGIBLE else None


def why_withheld(
    unadapted: float | None, bound: float | None, blob: float | None, higher: bool
) -> Withheld | None:
    """Why the share says nothing: the bound beats neither the centre blob nor the unadapted model; None when
    it may be stated or a value is undefined.

    Args:
        unadapted, bound: as in `gap_closed`.
        blob: the same of the centre blob; None where there is none.
        higher: as in `gap_closed`.
    """
    if bound is None:
        return None
    sign = 1.0 if higher else -1.0
    if blob is not None and sign * (bound - blob) <= _NEGLIGIBLE:
        return BELOW_BLOB
    if unadapted is not None and sign * (bound - unadapted) <= _NEGLIGIBLE:
        return NO_ROOM
    return None
