"""Clicks: a point in a structure, or beside it, corrects a region of the model's segmentation round it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.label.correction.known import Known
from monai_sfda.label.correction.label_map import read_structures
from monai_sfda.label.correction.refine import Reach, refine
from monai_sfda.label.correction.requests import (
    BACKGROUND,
    Clicks,
    LabelMapOptions,
    Point,
    check_inside,
    read_clicks,
)
from monai_sfda.label.correction.seeds import Seeds
from monai_sfda.label.correction.task import Corrected, CorrectionTask
from monai_sfda.label.models import Models
from monai_sfda.label.values import read_options

REACH_MM = 20.0


class ClickTask(CorrectionTask):
    """Corrects structures by clicks; see `refine` for the method.

    A foreground click adds the region round it to its structure, taken from the background and from the
    structure that the click itself lies in; a background click takes the region round it away from the
    clicked structures, and where none is clicked from the one that it lies in. Everything else stays as it
    is. The segmentation to correct is the model's own, or that of a label map that comes along.

    Args:
        models: that the app serves.
        name: of the model.
        one_structure: foreground and background clicks for the chosen structure, as of Deepgrow's panel;
            otherwise clicks for several structures, as of DeepEdit's.
        more: as of `CorrectionTask`.
    """

    def __init__(self, models: Models, name: str, *, one_structure: bool = False, **more: Any) -> None:
        self.one_structure = one_structure
        what = (
            "foreground and background clicks for the chosen structure (3D Slicer)"
            if one_structure
            else "click into parts of structures that were missed, background clicks into what is too much"
        )
        description = f"Clicks for {name}: {what}; all else stays as it is. Research; not for diagnosis"
        type = "deepgrow" if one_structure else "deepedit"
        super().__init__(models, name, type, description, REACH_MM, **more)
        if not one_structure:  # viewers offer background clicks where a task lists it; its value is no mask's
            labels = models[name].labels
            self.labels = {**labels, BACKGROUND: len(labels) + 1}

    def read(self, request: Mapping[str, Any]) -> LabelMapOptions:
        """The request's options; its clicks are checked here too, before the network runs."""
        read_clicks(request, self.models[self.name].labels, one_structure=self.one_structure)
        return read_options(LabelMapOptions, request)

    def correct(self, request: Mapping[str, Any], options: LabelMapOptions, known: Known) -> Corrected:
        """The correction; arguments as of `CorrectionTask.correct`."""
        labels = self.models[self.name].labels
        clicks = read_clicks(request, labels, one_structure=self.one_structure)
        for name, points in {**clicks.foreground, "background": clicks.background}.items():
            check_inside(points, known.scan.shape, name)
        drawn = read_structures(request, known.scan, labels, options.label_info)
        before = known.classes if drawn is None else drawn
        reach = Reach(options.reach_mm or self.reach_mm, options.smoothness)
        classes, structures = before, []
        for name, foreground in clicks.foreground.items():
            background = clicks.background + [
                point for other, points in clicks.foreground.items() if other != name for point in points
            ]
            classes = self._corrected(known, classes, before, name, foreground, background, reach)
            structures.append(name)
        if not structures:
            for name, points in _lying_in(clicks, before, labels).items():
                classes = self._corrected(known, classes, before, name, [], points, reach)
                structures.append(name)
        chosen = clicks.chosen if self.one_structure else None
        return Corrected(classes, before, structures, chosen)

    def _corrected(
        self,
        known: Known,
        classes: NDArray[np.uint8],
        before: NDArray[np.uint8],
        name: str,
        foreground: list[Point],
        background: list[Point],
        reach: Reach,
    ) -> NDArray[np.uint8]:
        target = self.models[self.name].labels[name]
        yielding = {int(before[point]) for point in foreground} - {0, target}
        seeds = Seeds.of_points(foreground, background)
        return refine(known.scan, known.probability(target), classes, target, seeds, reach, yielding=yielding)


def _lying_in(clicks: Clicks, before: NDArray[np.uint8], labels: Mapping[str, int]) -> dict[str, list[Point]]:
    """Background clicks by the structure that they take a region from."""
    if clicks.chosen is not None:
        return {clicks.chosen: clicks.background}
    names = {index: name for name, index in labels.items()}
    found: dict[str, list[Point]] = {}
    for point in clicks.background:
        name = names.get(int(before[point]))
        if name is not None:
            found.setdefault(name, []).append(point)
    return found
