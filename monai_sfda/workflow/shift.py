"""`monai-sfda shift`: how far the scans of a folder are from what a model knows, and which to label first."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from monai_sfda.data.acquisition import acquired, modified
from monai_sfda.data.case import Case
from monai_sfda.data.content import content_of
from monai_sfda.data.plausibility import doubt
from monai_sfda.data.scan import Scan
from monai_sfda.engines.progress import progress_bar
from monai_sfda.engines.volumes import write_case_numbers
from monai_sfda.errors import DataError, SettingError
from monai_sfda.errors import nearest as nearest_names
from monai_sfda.files import remove_leftovers, write_atomically, write_json
from monai_sfda.guard.aspects import ASPECTS
from monai_sfda.guard.drift import RISING, Drift, DriftTest, among_highest, in_words
from monai_sfda.guard.familiarity import FAMILIAR
from monai_sfda.guard.triage import A_KIND_OF_ITS_OWN, triage
from monai_sfda.release import package_versions
from monai_sfda.workflow.known_model import KnownModel, known_model
from monai_sfda.workflow.run_folder import is_phantom
from monai_sfda.workflow.shift_page import shift_page
from monai_sfda.workflow.steps import exclusive

logger = logging.getLogger(__name__)
ACQUIRED, MODIFIED, LISTED = "acquired", "modified", "listed"
ORDERS = {
    ACQUIRED: "the acquisition times of their DICOM headers",
    MODIFIED: "the times at which their files were last written",
    LISTED: "their names",
}
_KIND = "monai_sfda domain-shift scores"
_SCORED = "scored"


def score_scans(
    model: Path,
    scans: Path,
    out: Path,
    *,
    domain: str = "target",
    device: str | None = None,
    order: str | None = None,
    since: datetime | None = None,
    test: DriftTest | None = None,
) -> dict[str, Any]:
    """Scores every scan of a folder and writes `shift.json`, `shift.csv`, `shift.html` and `cases.csv`.

    What was scored is kept scan by scan in `scored/`, by a hash of its values and of the weights: the same
    command goes on with what is missing, and scores new scans of the folder alone. A bad scan stops no other.

    Args:
        model: a release, a bundle, or a run folder with one inside.
        scans: a plain folder of scans.
        out: folder to write.
        domain: whose preprocessing the scans get.
        device: where to compute; None: a GPU where there is one.
        order: the scans' order in time for the test of drift, of `ORDERS`; None: by acquisition where all
            headers have it, else by name.
        since: scans before are left out of the test of drift, e.g. from before the model was active.
        test: of the share of scans that are not familiar; None for the default one.

    Returns:
        What `shift.json` holds. It names cases by number and holds no date.

    Raises:
        DataError: when the folder holds no scan, or none could be scored.
        SettingError: for an unknown order, or `since` where no scan has a time.
        ReleaseError, CheckpointError, OutputError: see their texts.
    """
    if order is not None and order not in ORDERS:
        raise SettingError(
            f"order '{order}' is unknown", remedy=f"use {' or '.join(nearest_names(order, ORDERS))}"
        )
    known = known_model(model, scans, domain=domain, device=device)
    cases = known.dataset.cases
    with exclusive(out, lambda: logger.warning("another process works in this folder: waiting")):
        remove_leftovers(out / _SCORED)
        found = _score_all(known, cases, out / _SCORED)
        by, places = time_order(cases, order, since)
        result = _result(known, found, by, places, test or DriftTest(), phantom=is_phantom(scans))
        write_case_numbers(out, cases, scans)
        write_atomically(out / "shift.csv", _table(result).encode())
        write_json(out / "shift.json", result)
        write_atomically(out / "shift.html", shift_page(result).encode())
    if all("error" in scan for scan in result["scans"]):
        raise DataError(
            f"none of {len(cases)} scans could be scored, the first because {result['scans'][0]['error']}",
            remedy=result["scans"][0]["remedy"],
        )
    return result


def _score_all(known: KnownModel, cases: Sequence[Case], folder: Path) -> list[dict[str, Any]]:
    """What is known of each scan, in the order of the cases; what is there is not computed again."""
    found: list[dict[str, Any]] = []
    with progress_bar("score") as progress:
        for done, case in enumerate(cases, start=1):
            try:
                found.append({"case": case.number, **_score(known, case, folder)})
            except DataError as error:
                logger.error("case %d: %s: %s", case.number, error.what, error.remedy)
                found.append({"case": case.number, "error": error.what, "remedy": error.remedy})
            progress(done, len(cases))
    return found


def _score(known: KnownModel, case: Case, folder: Path) -> dict[str, Any]:
    scan, _ = known.dataset.read(case)
    record = folder / f"{_identity(known, scan)}.json"
    if record.is_file():
        try:
            stored: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
            if stored["versions"] == package_versions():
                return {k: v for k, v in stored.items() if k != "versions"}
        except (ValueError, KeyError, TypeError):
            logger.warning("case %d: its record cannot be read; it is scored again", case.number)
    try:
        entry: dict[str, Any] = known.score(scan).to_json()
    except RuntimeError as error:
        raise DataError(
            f"the network cannot take a scan of {scan.array.shape[0]} channels "
            f"({str(error).splitlines()[0]})",
            path=case.image[0],
            remedy="give scans with the channels that the model was trained with",
        ) from error
    unlike = doubt(scan.array, known.dataset.task.domain(known.dataset.domain).kind)
    if unlike is not None:
        entry["warning"] = unlike
    write_json(record, entry | {"versions": package_versions()})
    return entry


def _identity(known: KnownModel, scan: Scan) -> str:
    """Of a scan's values and geometry, whatever its files are called, and of the model that scores it."""
    digest = hashlib.sha256(f"{known.sha256} {known.dataset.domain} {content_of(scan.array)}".encode())
    digest.update(scan.affine.tobytes())
    return digest.hexdigest()[:32]


def time_order(
    cases: Sequence[Case], order: str | None, since: datetime | None
) -> tuple[str, dict[int, int]]:
    """Which order the scans are in, and the place of each case number in it, from 1.

    Scans of the same time keep the order of their names. Those before `since` have no place.

    Raises:
        SettingError: when the order asked for cannot be had, or `since` is given and there are no times.
    """
    times: dict[int, datetime] = {}
    if order in (None, ACQUIRED):
        times = {case.number: time for case in cases if (time := acquired(case)) is not None}
        if order == ACQUIRED and len(times) < len(cases):
            raise SettingError(
                f"{len(cases) - len(times)} of {len(cases)} scans do not say when they were acquired",
                remedy=f"use --order {MODIFIED} or --order {LISTED}",
            )
    elif order == MODIFIED:
        times = {case.number: modified(case) for case in cases}
    if len(times) < len(cases):
        if since is not None:
            raise SettingError(
                "since is given, and the scans have no times",
                remedy=f"add --order {MODIFIED}, or leave it out",
            )
        return LISTED, {case.number: place for place, case in enumerate(cases, start=1)}
    numbers = sorted(
        (number for number, time in times.items() if since is None or time >= since),
        key=lambda number: (times[number], number),
    )
    return order or ACQUIRED, {number: place for place, number in enumerate(numbers, start=1)}


def _result(
    known: KnownModel,
    found: Sequence[dict[str, Any]],
    by: str,
    places: Mapping[int, int],
    test: DriftTest,
    *,
    phantom: bool,
) -> dict[str, Any]:
    reference = known.score.reference
    shift_expected = reference.domain != known.dataset.domain
    scored = [scan for scan in found if "error" not in scan]
    chosen = triage([scan["aspects"] for scan in scored])
    for rank, (position, novelty) in enumerate(zip(chosen.order, chosen.novelty, strict=True), start=1):
        nearest = chosen.nearest[position]
        scored[position] |= {
            "label_rank": rank,
            "novelty": round(novelty, 3),
            "nearest_case": None if nearest is None else scored[nearest]["case"],
        }
    for scan in found:
        scan["place"] = places.get(scan["case"])
    return {
        "schema_version": 1,
        "kind": _KIND,
        "task": known.dataset.task.name,
        "domain": known.dataset.domain,
        "model_sha256": known.sha256,
        "compared_with": {
            "domain": reference.domain,
            "scans": reference.scans,
            "subjects": reference.subjects,
            "shift_expected": shift_expected,
        },
        "verdicts": dict(Counter(scan["verdict"] for scan in scored)),
        "label_first": [
            scored[position]["case"]
            for position, novelty in zip(chosen.order, chosen.novelty, strict=True)
            if novelty > A_KIND_OF_ITS_OWN
        ],
        "order": by,
        "drift": None if shift_expected else drift_of([in_order(found)], test),
        "scans": list(found),
        "phantom": phantom,
        "versions": package_versions(),
        "intended_use": "research; not for diagnosis",
    }


def in_order(scans: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The scans that were scored and have a place in time, in that order."""
    placed = [scan for scan in scans if "error" not in scan and scan.get("place") is not None]
    return sorted(placed, key=lambda scan: scan["place"])


def drift_of(runs: Sequence[Sequence[Mapping[str, Any]]], test: DriftTest) -> dict[str, Any]:
    """The tests of drift over the scans of several runs, one after the other, as in `shift.json`."""
    sequence = [scan for run in runs for scan in run]
    unfamiliar = test([scan["verdict"] != FAMILIAR for scan in sequence])
    rising = RISING(among_highest([scan["score"] for scan in sequence]))
    return {
        "detected": unfamiliar.detected or rising.detected,
        "words": in_words(unfamiliar, rising, test),
        "scans": len(sequence),
        "unfamiliar": _drift_json(unfamiliar, test),
        "rising": _drift_json(rising, RISING),
    }


def _drift_json(drift: Drift, test: DriftTest) -> dict[str, Any]:
    return {
        "strange": drift.strange,
        "alarm": drift.alarm,
        "began": drift.began,
        "levels": list(drift.levels),
        "test": test.to_json(),
    }


def drift_over(files: Sequence[Path], test: DriftTest | None = None) -> dict[str, Any]:
    """The tests of drift over several `shift.json`, in the order given.

    Args:
        files: each a `shift.json` or the folder that holds it; all of one model.
        test: of the share of scans that are not familiar; None for the default one.

    Raises:
        DataError: when a file is no `shift.json`, of another model than the first, or of a model that was not
            made for the scans.
    """
    results = [_read(path / "shift.json" if path.is_dir() else path) for path in files]
    for path, result in zip(files, results, strict=True):
        for key in ("model_sha256", "domain"):
            if result[key] != results[0][key]:
                raise DataError(
                    f"the scores are of another {'model' if key == 'model_sha256' else key} than the first",
                    path=path.name,
                    remedy="give the scores of one model, oldest first",
                )
        if result["compared_with"]["shift_expected"]:
            raise DataError(
                "the model was not made for these scans: a shift is expected, and no drift can be told",
                path=path.name,
                remedy="give the scores of an adapted model",
            )
    return drift_of([in_order(result["scans"]) for result in results], test or DriftTest())


def _read(path: Path) -> dict[str, Any]:
    """The content of a `shift.json`; a `DataError` that says why where it is none."""
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if result["kind"] != _KIND:
            raise ValueError(f"kind {result['kind']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"no domain-shift scores are there ({type(error).__name__})",
            path=path.name,
            remedy="give a shift.json that shift wrote",
        ) from error
    return result


def _table(result: Mapping[str, Any]) -> str:
    """A row a scan, the one of the highest score first, bad ones last."""
    text = io.StringIO()
    names = [name for name in ASPECTS if any(name in scan.get("aspects", ()) for scan in result["scans"])]
    columns = ("case", "score", "verdict", "label_rank", "novelty", "nearest_case", "place", "error")
    rows = csv.writer(text)
    rows.writerow((*columns, *names, "reasons"))
    for scan in sorted(result["scans"], key=lambda scan: (-scan.get("score", -1.0), scan["case"])):
        values = ["" if scan.get(column) is None else scan[column] for column in columns]
        aspects = [scan.get("aspects", {}).get(name, "") for name in names]
        rows.writerow((*values, *aspects, "; ".join(scan.get("reasons", ()))))
    return text.getvalue()
