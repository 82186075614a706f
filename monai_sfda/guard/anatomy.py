"""Do the predicted structures have the volumes and places that they have in the release's reference scans?"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from monai_sfda.guard.aspects import measure
from monai_sfda.guard.familiarity import deviation
from monai_sfda.guard.profile import ScanProfile
from monai_sfda.guard.reference import Reference

_SIZES = ("volumes", "shares")
_PLACES = "places_"


def anatomy_signals(
    profile: ScanProfile, reference: Reference, labels: Mapping[str, int], *, pictures: bool = False
) -> dict[str, float]:
    """The signals of anatomy, which no modality changes.

    A deviation is that of `guard.familiarity`: how many half widths of the reference's prediction interval
    a value is from the mean. `volumes` is its mean over the structures' volumes (of pictures: shares),
    `volumes_farthest` the largest; `places` and `places_farthest` are the same over the ways from each
    structure to each other along each axis (of pictures: the places in the picture).

    Args:
        profile: of the scan.
        reference: of the release.
        labels: class names to indices.
        pictures: whether nothing has a size in mm.

    Returns:
        By name; what the reference does not know, and places where fewer than two structures are predicted
        (of pictures: none), are absent.
    """
    measured = measure(profile, reference.centre, labels, pictures=pictures)
    deviations: dict[str, list[float]] = {"volumes": [], "places": []}
    for aspect, levels in reference.levels.items():
        signal = "volumes" if aspect in _SIZES else "places" if aspect.startswith(_PLACES) else None
        if signal is not None:
            values = measured.get(aspect, {})
            deviations[signal] += [
                deviation(aspect, values[part], level) for part, level in levels.items() if part in values
            ]
    found = {}
    for signal, parts in deviations.items():
        if parts:
            found[signal], found[f"{signal}_farthest"] = fmean(parts), max(parts)
    return found
