"""Scribbles: strokes into a structure and beside it correct the model's segmentation of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monai_sfda.errors import SettingError
from monai_sfda.label.correction.known import Known
from monai_sfda.label.correction.label_map import label_file, read_label_map
from monai_sfda.label.correction.refine import Reach, refine
from monai_sfda.label.correction.requests import ScribbleOptions, check_structure, read_roi
from monai_sfda.label.correction.seeds import Seeds
from monai_sfda.label.correction.task import Corrected, CorrectionTask
from monai_sfda.label.models import Models
from monai_sfda.label.values import first, read_options

REACH_MM = 20.0


class ScribbleTask(CorrectionTask):
    """Corrects one structure by scribbles in the client's label map; see `refine` for the method.

    The segmentation to correct is the one in the label map, and the model's own where none is drawn there.
    The other structures stay as they are, but for voxels under a foreground scribble.

    Args:
        models: that the app serves.
        name: of the model.
        more: as of `CorrectionTask`.
    """

    def __init__(self, models: Models, name: str, **more: Any) -> None:
        description = (
            f"Scribbles for {name}: draw foreground into what was missed and background into what is too "
            "much, for the chosen structure; the others stay as they are. Research; not for diagnosis"
        )
        super().__init__(models, name, "scribbles", description, REACH_MM, **more)

    def read(self, request: Mapping[str, Any]) -> ScribbleOptions:
        """The request's options."""
        return read_options(ScribbleOptions, request)

    def correct(self, request: Mapping[str, Any], options: ScribbleOptions, known: Known) -> Corrected:
        """The correction; arguments as of `CorrectionTask.correct`."""
        labels = self.models[self.name].labels
        name = _structure(request, options, labels)
        path = label_file(request)
        scan = known.scan
        roi = read_roi(options.roi, scan.shape)
        drawn = read_label_map(path, scan, labels, options.label_info)
        current = drawn.classes if drawn.drawn else known.classes
        reach = Reach(options.reach_mm or self.reach_mm, options.smoothness)
        seeds = Seeds(drawn.foreground, drawn.background)
        classes = refine(scan, known.probability(labels[name]), current, labels[name], seeds, reach, roi=roi)
        return Corrected(classes, np.asarray(current), [name], name if options.selected_label_name else None)


def _structure(request: Mapping[str, Any], options: ScribbleOptions, labels: Mapping[str, int]) -> str:
    """Which structure the scribbles are for.

    Raises:
        SettingError: when the request names none, or one that the model has not.
    """
    name = options.selected_label_name
    if name is None:
        label = first(request.get("label"))
        name = label if isinstance(label, str) and label in labels else None
    if name is None and len(labels) == 1:
        name = next(iter(labels))
    if name is None:
        raise SettingError(
            "no structure is chosen for the scribbles",
            remedy=f"send selected_label_name, one of {', '.join(labels)}",
        )
    check_structure(name, labels)
    return name
