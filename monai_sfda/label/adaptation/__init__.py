"""Adaptation and fine-tuning as MONAI Label's training: trainers, jobs on disk, sign-off.

`trainers_of` gives the app its train tasks, `jobs.Jobs` runs what they start, `routes.router` answers the
clients and serves the sign-off page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monailabel.interfaces.tasks.train import TrainTask


def trainers_of(app: Any) -> dict[str, TrainTask]:
    """The app's train tasks: every model's adaptation first, since clients show the first, then fine-tunings.

    Args:
        app: with `models` (`monai_sfda.label.models.Models`), `jobs` (`Jobs`) and `datastore()`.
    """
    from monai_sfda.label.adaptation.trainers import make_trainers

    return make_trainers(app)
