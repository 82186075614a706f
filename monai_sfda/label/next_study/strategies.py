"""The strategies of `/activelearning`: which study somebody should label or correct next.

All of them leave out labelled studies and those of another modality, and go round: a study that somebody was
given within the last day comes again only when every other one was, so that two people who ask at once
get two. They look at what is written in the datastore and never at a scan, so that they answer at once.
Equals are chosen between by lot.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monai_sfda.errors import SfdaError
from monai_sfda.label.next_study.options import StrategyOptions, chosen_model
from monai_sfda.label.next_study.ranking import novelties
from monai_sfda.label.next_study.scores import Datastore, Score, fits, read_score
from monai_sfda.label.stock import prepare
from monai_sfda.label.studies.scanners import unlabelled_images
from monai_sfda.label.values import read_options

prepare()
from monailabel.interfaces.tasks.strategy import Strategy  # noqa: E402

logger = logging.getLogger(__name__)
_GIVEN_S = 24 * 3600.0
"""So long a study that somebody was given is left to them."""
_choosing = threading.Lock()


@dataclass(frozen=True)
class Study:
    """What a strategy knows of an image.

    Attributes:
        image_id: of the datastore.
        score: by the active version of the model; None for none, or one that is stale.
        given_at: when a strategy last gave it to somebody, seconds since 1970; 0 for never.
        labelled: whether it has a final label.
    """

    image_id: str
    score: Score | None
    given_at: float
    labelled: bool


class NextStudy(Strategy):
    """What all strategies have in common.

    Args:
        app: has `models`.
    """

    title: ClassVar[str]

    def __init__(self, app: Any) -> None:
        super().__init__(self.title)
        self._app = app

    def info(self) -> dict[str, Any]:
        """For `/info`, with the choices of the client's option panel."""
        return {"description": self.title, "config": {"model": list(self._app.models)}}

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """The study to label next, noted in the datastore as given; None when all are labelled.

        Args:
            request: of the client; see `StrategyOptions`.
            datastore: of the app.

        Returns:
            `id`, and under `next_study` why.

        Raises:
            SettingError: for an unknown model or an option of the wrong kind.
        """
        options = read_options(StrategyOptions, request)
        model = chosen_model(self._app.models, options.model)
        with _choosing:
            found = self._choose(options, model, datastore)
            if found is not None:
                _note_given(datastore, found["id"], str(request.get("strategy") or "sfda")[:64])
        return found

    def _choose(self, options: StrategyOptions, model: str, datastore: Datastore) -> dict[str, Any] | None:
        studies = self._studies(model, datastore)
        open_ = [study for study in studies if not study.labelled]
        if not open_:
            return None
        lot = np.random.default_rng(options.seed).permutation(len(open_))
        open_ = [open_[place] for place in lot]
        now = time.time()
        fresh = [study for study in open_ if now - study.given_at > _GIVEN_S]
        if fresh:
            covered = [s for s in studies if s.labelled or now - s.given_at <= _GIVEN_S]
            study, reason = self.choose(fresh, covered)
        else:
            study, reason = min(open_, key=lambda s: s.given_at), "all were given today: the longest ago"
        why: dict[str, Any] = {"model": model, "reason": reason, "unlabelled": len(open_)}
        why["scored"] = sum(s.score is not None and s.score.error is None for s in open_)
        if study.score is not None:
            known = study.score.to_json()
            why |= {
                k: known[k] for k in ("version", "shift", "verdict", "uncertainty", "error") if k in known
            }
        return {"id": study.image_id, "next_study": why}

    @abstractmethod
    def choose(self, fresh: Sequence[Study], covered: Sequence[Study]) -> tuple[Study, str]:
        """One of the studies, and why in words.

        Args:
            fresh: unlabelled, given to nobody today, in the order of the lot; at least one.
            covered: labelled or given to somebody today.
        """

    def _studies(self, model: str, datastore: Datastore) -> list[Study]:
        installed = self._app.models[model]
        active = installed.active()
        sha256 = active.manifest["model_sha256"]
        unlabelled = set(unlabelled_images(datastore, model))
        found = []
        for image_id in sorted(datastore.list_images()):
            info = datastore.get_image_info(image_id)
            if not fits(info, installed.modality):
                continue
            score = read_score(info, model)
            if score is not None and not score.is_of(active.number, sha256):
                score = None
            found.append(Study(image_id, score, _given_at(info), image_id not in unlabelled))
        return found


class ByShift(NextStudy):
    """The study that is most unlike what the model knows, and unlike those that are labelled."""

    title = "Most unlike first: far from what the model knows and from studies labelled already"

    def choose(self, fresh: Sequence[Study], covered: Sequence[Study]) -> tuple[Study, str]:
        """By novelty; of equals the one of the higher score."""
        scored = [(s, s.score.aspects, s.score.shift) for s in fresh if s.score and s.score.shift is not None]
        if not scored:
            return _unscored(fresh)
        known = [s.score.aspects for s in covered if s.score and s.score.shift is not None]
        found = novelties([aspects for _, aspects, _ in scored], known)
        best = max(range(len(scored)), key=lambda i: (found[i], scored[i][2]))
        return scored[best][0], f"the most unlike of {len(scored)} scored studies, novelty {found[best]:.2f}"


class ByUncertainty(NextStudy):
    """The study that the model is the least sure of."""

    title = "Least sure first: highest mean entropy where a structure may be"

    def choose(self, fresh: Sequence[Study], covered: Sequence[Study]) -> tuple[Study, str]:
        """By uncertainty."""
        scored = [(s, s.score.uncertainty) for s in fresh if s.score and s.score.uncertainty is not None]
        if not scored:
            return _unscored(fresh)
        best, uncertainty = max(scored, key=lambda pair: pair[1])
        return best, f"the least sure of {len(scored)} scored studies, uncertainty {uncertainty:.3f}"


class ByLot(NextStudy):
    """Any study."""

    title = "Random"

    def choose(self, fresh: Sequence[Study], covered: Sequence[Study]) -> tuple[Study, str]:
        """The first of the lot."""
        return fresh[0], f"by lot, of {len(fresh)} studies"


def strategies(app: Any) -> dict[str, Strategy]:
    """See `monai_sfda.label.next_study.strategies_of`."""
    return {"domain_shift": ByShift(app), "uncertainty": ByUncertainty(app), "random": ByLot(app)}


def _unscored(fresh: Sequence[Study]) -> tuple[Study, str]:
    """Where no study has a score: by lot, those that could not be scored last."""
    study = next((s for s in fresh if s.score is None or s.score.error is None), fresh[0])
    return study, "by lot, as no study has a score of the active version: run the scoring"


def _note_given(datastore: Datastore, image_id: str, strategy: str) -> None:
    """Notes as MONAI Label's endpoint will, which adds to whom, before somebody else asks."""
    there = datastore.get_image_info(image_id).get("strategy")
    given = {**(there if isinstance(there, Mapping) else {}), strategy: {"ts": int(time.time())}}
    try:
        datastore.update_image_info(image_id, {"strategy": given})
    except (OSError, SfdaError) as error:  # a datastore that cannot be written still gives studies
        logger.warning("it could not be noted that a study was given (%s)", type(error).__name__)


def _given_at(info: Mapping[str, Any]) -> float:
    """When any strategy last gave the image to somebody, as MONAI Label notes it."""
    given = info.get("strategy")
    if not isinstance(given, Mapping):
        return 0.0
    times = [entry.get("ts", 0) for entry in given.values() if isinstance(entry, Mapping)]
    return float(max((t for t in times if isinstance(t, (int, float))), default=0))
