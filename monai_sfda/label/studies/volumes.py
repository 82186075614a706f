"""Ids of the volumes of one series (echoes, phases), which stay whatever arrives later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monai_sfda.label.studies.ids import Pseudonyms
from monai_sfda.label.studies.records import Records


class VolumeIds:
    """Which id each volume of a series was given.

    A volume is known again by one of its images, its anchor, kept as a pseudonym. Counting the volumes would
    give the first echo's id to an earlier one that arrives later, and its labels with it.

    Args:
        records: of the anchors.
        pseudonyms: of the images.
    """

    def __init__(self, records: Records, pseudonyms: Pseudonyms) -> None:
        self.records, self.pseudonyms = records, pseudonyms

    def ids(self, series: str, volumes: Sequence[Sequence[str]], another: Callable[[str], str]) -> list[str]:
        """The volumes' ids.

        Args:
            series: id of the series, and of the first volume of it that was ever seen.
            volumes: SOPInstanceUIDs of each volume.
            another: makes the id of a further volume from its anchor.
        """
        known = dict(self.records.get(series).get("anchors") or {})
        marks = [sorted(self.pseudonyms.name("image", uid) for uid in volume) for volume in volumes]
        ids = [next((i for i, anchor in known.items() if anchor in volume), "") for volume in marks]
        changed = False
        for place, volume in enumerate(marks):
            if not ids[place] or ids[place] in ids[:place]:
                alone = len(volumes) == 1 or not known
                ids[place] = series if alone and series not in ids else another(volume[0])
                known[ids[place]] = volume[0]
                changed = True
        if changed:
            self.records.update(series, {"anchors": known})
        return ids
