"""Every task once: its labels, modalities, official layouts, splits and preprocessing. Imports no torch.

The command line, the readers, the bundles, the phantoms and the documentation all take what they say about a
task from here. A new task is a file and a line in `TASKS`.
"""

from __future__ import annotations

from monai_sfda.catalog.abdomen import ABDOMEN
from monai_sfda.catalog.brain import BRAIN_GRADE, BRAIN_MODALITY
from monai_sfda.catalog.cardiac import CARDIAC
from monai_sfda.catalog.coding import Code, Coding
from monai_sfda.catalog.definitions import (
    BACKGROUND,
    IGNORED,
    Domain,
    Intensity,
    LabelRange,
    Region,
    SeededSplit,
    Structure,
    Task,
    without_background,
)
from monai_sfda.catalog.protocols import Choice, LabelBox, LabelCentre, PublishedProtocol
from monai_sfda.catalog.soft_tissue import SOFT_TISSUE
from monai_sfda.catalog.spine import SPINE
from monai_sfda.catalog.street import STREET, STREET_SYNTHIA_13, STREET_SYNTHIA_16
from monai_sfda.errors import SettingError, nearest

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *(CARDIAC, ABDOMEN, BRAIN_MODALITY, BRAIN_GRADE, SPINE),
        *(STREET, STREET_SYNTHIA_16, STREET_SYNTHIA_13, SOFT_TISSUE),
    )
}


def find_task(name: str | Task) -> Task:
    """The task of that name; a task itself is returned as it is.

    Raises:
        SettingError: when there is none; the message lists the nearest names.
    """
    if isinstance(name, Task):
        return name
    if name not in TASKS:
        raise SettingError(
            f"task '{name}' is unknown", remedy=f"use one of {', '.join(nearest(name, TASKS))}"
        )
    return TASKS[name]


__all__ = [
    "ABDOMEN",
    "BACKGROUND",
    "BRAIN_GRADE",
    "BRAIN_MODALITY",
    "CARDIAC",
    "IGNORED",
    "SOFT_TISSUE",
    "SPINE",
    "STREET",
    "STREET_SYNTHIA_13",
    "STREET_SYNTHIA_16",
    "TASKS",
    "Choice",
    "Code",
    "Coding",
    "Domain",
    "Intensity",
    "LabelBox",
    "LabelCentre",
    "LabelRange",
    "PublishedProtocol",
    "Region",
    "SeededSplit",
    "Structure",
    "Task",
    "find_task",
    "without_background",
]
