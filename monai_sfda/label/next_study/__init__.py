"""Which study to label or correct next, and whether the studies drift away from what a model knows.

Nothing heavy is imported before it is used: the app's parts are reached through these functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monailabel.interfaces.tasks.scoring import ScoringMethod
    from monailabel.interfaces.tasks.strategy import Strategy

    from monai_sfda.guard.familiarity import Familiarity
    from monai_sfda.label.next_study.scores import Datastore


def strategies_of(app: Any) -> dict[str, Strategy]:
    """The strategies of `/activelearning`, the default first: `domain_shift`, `uncertainty`, `random`.

    Args:
        app: that serves the models; has `models` (see `monai_sfda.label.models.Models`) and `datastore()`.
    """
    from monai_sfda.label.next_study.strategies import strategies

    return strategies(app)


def scorings_of(app: Any) -> dict[str, ScoringMethod]:
    """The scoring methods of `/scoring`: `score_<model>` for each model of the app.

    Args:
        app: as in `strategies_of`.
    """
    from monai_sfda.label.next_study.scoring import scorings

    return scorings(app)


def start(app: Any, *, score_every: float = 0.0) -> None:
    """Starts to score new studies again and again; does nothing for an interval of 0.

    Args:
        app: as in `strategies_of`; all of its parts are there.
        score_every: minutes between two looks for studies without a score of the active version.
    """
    from monai_sfda.label.next_study.runs import runs_of

    runs_of(app).every(60 * score_every)


def close(app: Any, *, patience: float = 30.0) -> bool:
    """Ends scoring, in the midst of a scan if need be; returns whether all of it has ended in time.

    Args:
        app: as in `strategies_of`.
        patience: seconds to wait at most.
    """
    from monai_sfda.label.next_study.runs import runs_of

    return runs_of(app).close(patience)


def summary_of(app: Any) -> dict[str, Any]:
    """For `/info`: of each model how many studies are scored, their verdicts, and the drift in words.

    Numbers of studies only; takes milliseconds.

    Args:
        app: as in `strategies_of`.
    """
    from monai_sfda.label.next_study.drift import summary

    return summary(app)


def record_familiarity(
    datastore: Datastore, image_id: str, *, model: str, version: int, sha256: str, familiarity: Familiarity
) -> None:
    """Writes what an inference has seen of its own scan into the datastore, at no extra cost.

    An uncertainty that is there for the same version stays; one that is not there is found by the next run
    of scoring.

    Args:
        datastore: of the image.
        image_id: of the scan.
        model: name of the model.
        version, sha256: of the model that segmented it, and of its weights.
        familiarity: of the scan.
    """
    from monai_sfda.label.next_study.scores import record

    record(datastore, image_id, model=model, version=version, sha256=sha256, familiarity=familiarity)
