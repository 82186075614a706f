"""Whether the studies drift away from what the active version of a model knows.

The tests are those of `monai-sfda shift` (`monai_sfda.guard.drift`), over the scores in the datastore, of the
studies since the version became active, in their order in time. Numbers of studies are all that is told.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from monai_sfda.errors import SfdaError
from monai_sfda.guard.drift import DriftTest
from monai_sfda.guard.reference_file import find_reference
from monai_sfda.label.models import InstalledModel
from monai_sfda.label.models.installed import DOMAIN
from monai_sfda.label.next_study.scores import Datastore, Score, fits, read_score
from monai_sfda.label.next_study.times import ORDERS, in_time
from monai_sfda.store import Version
from monai_sfda.store.active import Active
from monai_sfda.store.reader import ACTIVE
from monai_sfda.workflow.shift import drift_of

ACTIVATION, EVER = "activation", "ever"
INTENDED_USE = "research; not for diagnosis"
_MOST_CACHED = 64
Infos = Mapping[str, Mapping[str, Any]]


def drift_of_model(
    installed: InstalledModel,
    datastore: Datastore,
    *,
    order: str | None = None,
    since: str = ACTIVATION,
    infos: Infos | None = None,
) -> dict[str, Any]:
    """The drift of a model's studies, as `/sfda/drift` answers it.

    Args:
        installed: the model.
        datastore: of the app.
        order: `acquired` or `arrived`; None: by acquisition where it is known of all, else by arrival.
        since: `activation`: studies from before the version became active are left out; `ever`: none are.
        infos: what the datastore knows of its images; None: it is asked.

    Returns:
        Numbers of studies, the tests, and under `scans` the place, score and verdict of each one that was
        tested. `drift` is None where no drift can be told, and `words` say why.
    """
    active = installed.active()
    infos = infos_of(datastore) if infos is None else infos
    scores = {
        i: _current(info, installed.name, active)
        for i, info in infos.items()
        if fits(info, installed.modality)
    }
    known = {i: s for i, s in scores.items() if s is not None and s.shift is not None}
    start = None if since == EVER else _activated_at(installed)
    by, chosen, before = in_time(datastore, list(known), infos, order, start)
    scans = [
        {"place": place, "score": known[i].shift, "verdict": known[i].verdict}
        for place, i in enumerate(chosen, start=1)
    ]
    compared, why = _compared_with(active)
    drift = None if why else _tested(scans)
    return {
        "model": installed.name,
        "title": installed.task.title,
        "version": active.number,
        "guard": active.verdict,
        "compared_with": compared,
        "order": by,
        "order_in_words": ORDERS[by],
        "since": since,
        "studies": len(scores),
        **_numbers(scores),
        "before": before,
        "tested": len(scans) if drift is not None else 0,
        "verdicts": dict(Counter(str(scan["verdict"]) for scan in scans)),
        "drift": drift,
        "words": why or str((drift or {})["words"]),
        "scans": scans,
        "intended_use": INTENDED_USE,
    }


def scores_of_model(installed: InstalledModel, datastore: Datastore) -> dict[str, Any]:
    """How many studies are scored and what the scores are, without saying of which study.

    Args:
        installed: the model.
        datastore: of the app.
    """
    active = installed.active()
    everything = infos_of(datastore).values()
    infos = [info for info in everything if fits(info, installed.modality)]
    scores = dict(enumerate(_current(info, installed.name, active) for info in infos))
    stale = sum(
        scores[i] is None and read_score(info, installed.name) is not None for i, info in enumerate(infos)
    )
    found = [score for score in scores.values() if score is not None]
    return {
        "model": installed.name,
        "version": active.number,
        "studies": len(infos),
        "other_modality": len(everything) - len(infos),
        **_numbers(scores),
        "stale": stale,
        "verdicts": dict(Counter(s.verdict for s in found if s.verdict is not None)),
        "shift": sorted((s.shift for s in found if s.shift is not None), reverse=True),
        "uncertainty": sorted((s.uncertainty for s in found if s.uncertainty is not None), reverse=True),
        "errors": dict(Counter(s.error for s in found if s.error is not None)),
        "intended_use": INTENDED_USE,
    }


def summary(app: Any) -> dict[str, Any]:
    """See `monai_sfda.label.next_study.summary_of`."""
    keys = ("version", "studies", "scored", "unscored", "failed", "tested", "words")
    found: dict[str, Any] = {}
    infos = infos_of(app.datastore())
    for name in app.models:
        try:
            one = drift_of_model(app.models[name], app.datastore(), infos=infos)
        except SfdaError as error:  # of one model, as a damaged store has it; the others are told of
            found[name] = {"error": error.what}
            continue
        found[name] = {key: one[key] for key in keys}
        found[name]["drift"] = None if one["drift"] is None else one["drift"]["detected"]
        found[name]["verdicts"] = one["verdicts"]
    return found


def infos_of(datastore: Datastore) -> dict[str, dict[str, Any]]:
    """What a datastore knows of each of its images."""
    return {i: datastore.get_image_info(i) for i in datastore.list_images()}


def _current(info: Mapping[str, Any], model: str, active: Version) -> Score | None:
    """The score of the active version; None for none, or a stale one."""
    score = read_score(info, model)
    return (
        score if score is not None and score.is_of(active.number, active.manifest["model_sha256"]) else None
    )


def _numbers(scores: Mapping[Any, Score | None]) -> dict[str, int]:
    there = [score for score in scores.values() if score is not None]
    failed = sum(score.error is not None for score in there)
    return {"scored": len(there) - failed, "failed": failed, "unscored": len(scores) - len(there)}


def _activated_at(installed: InstalledModel) -> datetime:
    """When the active version became active; UTC."""
    active = Active.read(installed.store.root / installed.name / ACTIVE, installed.name)
    return datetime.fromisoformat(str(active.change["at"]).replace("Z", "+00:00"))


_references: OrderedDict[str, tuple[dict[str, Any] | None, str]] = OrderedDict()
_tests: OrderedDict[tuple[tuple[float, str], ...], dict[str, Any]] = OrderedDict()
_lock = threading.Lock()


def _compared_with(version: Version) -> tuple[dict[str, Any] | None, str]:
    """The scans that a version knows, and why no drift can be told; an empty text where it can."""
    with _lock:
        if version.manifest_sha256 in _references:
            return _references[version.manifest_sha256]
    reference, missing = find_reference(version.bundle / "models" / "model.pt")
    if reference is None:
        found: tuple[dict[str, Any] | None, str] = None, f"no drift can be told: {missing}"
    else:
        about = {"domain": reference.domain, "scans": reference.scans, "subjects": reference.subjects}
        found = about, ""
        if reference.domain != DOMAIN:
            found = (
                about,
                "no drift can be told: the version was not adapted to these studies, a shift is expected",
            )
    with _lock:
        _references[version.manifest_sha256] = found
        while len(_references) > _MOST_CACHED:
            _references.popitem(last=False)
    return found


def _tested(scans: list[dict[str, Any]]) -> dict[str, Any]:
    """The tests of drift; those of the same scores are not computed again."""
    key = tuple((float(scan["score"]), str(scan["verdict"])) for scan in scans)
    with _lock:
        if key in _tests:
            return _tests[key]
    found = drift_of([scans], DriftTest())
    with _lock:
        _tests[key] = found
        while len(_tests) > _MOST_CACHED:
            _tests.popitem(last=False)
    return found
