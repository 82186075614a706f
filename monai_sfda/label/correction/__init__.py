"""Correction of a segmentation by a radiologist's scribbles and clicks, one structure at a time.

`infer_tasks_of` gives MONAI Label's server three tasks a model: `<model>_scribbles` (3D Slicer's scribbles),
`<model>_clicks` (landmarks for one or several structures, as the DeepEdit panels of 3D Slicer and OHIF send
them) and `<model>_grow` (foreground and background clicks for the chosen structure, as 3D Slicer's Deepgrow
panel sends them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monailabel.interfaces.tasks.infer_v2 import InferTask

SCRIBBLES, CLICKS, GROW = "scribbles", "clicks", "grow"
"""Endings of the tasks' names, after the model's name and an underscore."""


def infer_tasks_of(app: Any) -> dict[str, InferTask]:
    """The correction tasks of all models that the app serves, by name.

    Args:
        app: has `models`, a mapping of names to `InstalledModel` with `load`.
    """
    from monai_sfda.label.stock import prepare

    prepare()
    from monai_sfda.label.correction.clicks import ClickTask
    from monai_sfda.label.correction.scribbles import ScribbleTask

    tasks: dict[str, InferTask] = {}
    for name in app.models:
        tasks[f"{name}_{SCRIBBLES}"] = ScribbleTask(app.models, name)
        tasks[f"{name}_{CLICKS}"] = ClickTask(app.models, name)
        tasks[f"{name}_{GROW}"] = ClickTask(app.models, name, one_structure=True)
    return tasks
