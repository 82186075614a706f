"""Every ablation of the papers once: its arms, what it shows, what the paper reports. Imports no torch.

The `monai-sfda benchmark` command, its tables and the documentation take what they say about an ablation
from here. One file a paper; a new ablation is an entry there, a new paper a file and a line here. The runner
changes only for an analysis of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from monai_sfda.ablations import adaent, mas3, osuda, prior_matching, sfs
from monai_sfda.ablations.definitions import (
    OWN_TRAINING,
    PRIOR_MATCHING,
    Ablation,
    Analysis,
    Arm,
    SourceTraining,
)
from monai_sfda.ablations.published import published
from monai_sfda.errors import SettingError, nearest

PAPERS = (sfs, mas3, osuda, adaent, prior_matching)
ABLATIONS: dict[str, Ablation] = {a.name: a for paper in PAPERS for a in paper.ABLATIONS}


def find_ablations(names: tuple[str, ...], task: str) -> list[Ablation]:
    """The ablations of those names, each once, in the registry's order; `all` stands for those of the task.

    Raises:
        SettingError: for an unknown name, with the nearest ones; for `all` where the task has none.
    """
    for name in names:
        if name != "all" and name not in ABLATIONS:
            raise SettingError(
                f"ablation '{name}' is unknown",
                remedy=f"use {', '.join(nearest(name, (*ABLATIONS, 'all')))}",
            )
    of_task = {a.name for a in ABLATIONS.values() if "all" in names and task in a.tasks}
    if "all" in names and not of_task:
        raise SettingError(
            f"no paper's ablation is of task '{task}'", remedy=f"name some of {', '.join(ABLATIONS)}"
        )
    return [a for a in ABLATIONS.values() if a.name in of_task or a.name in names]


def compare_methods(titles: Mapping[str, str], task: str) -> Ablation:
    """The comparison of whole methods, each with the configuration's own settings.

    Args:
        titles: method name to its title.
        task: of the catalog; what the papers print of the methods on it stands beside the table.
    """
    shared = {
        "sfs": sfs.default_sfs("SFS"),
        "adasource": adaent.default_adasource("AdaSource (reads source scans)"),
        "prior_matching": prior_matching.default_prior_matching("prior matching (reads source scans)"),
    }
    arms = tuple(
        shared.get(name, Arm(title, re.sub(r"[^\w.]", "_", name), name)) for name, title in titles.items()
    )
    return Ablation(
        "methods",
        "Methods",
        "Each method with the configuration's settings, between unadapted model and supervised bound.",
        published(task, titles),
        (),
        arms,
    )


__all__ = [
    "ABLATIONS",
    "OWN_TRAINING",
    "PRIOR_MATCHING",
    "Ablation",
    "Analysis",
    "Arm",
    "SourceTraining",
    "compare_methods",
    "find_ablations",
]
