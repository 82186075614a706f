"""What a person decides: activation, going back, and publishing what the guard did not want."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_sfda.errors import SettingError, SfdaError
from monai_sfda.label.adaptation.record import Kind, Status
from monai_sfda.label.adaptation.steps import source_of
from monai_sfda.label.models import InstalledModel
from monai_sfda.store import ModelStore, Version


def activate(installed: InstalledModel, number: int, by: str, *, force: bool, reason: str | None) -> Version:
    """Makes a version active, in a user's name.

    Raises:
        StoreError: when it is damaged, or was rejected and is not forced with a reason.
    """
    store = ModelStore(installed.store.root, by=by)
    return store.activate(installed.name, number, force=force, reason=reason)


def roll_back(installed: InstalledModel, by: str, reason: str | None) -> Version:
    """Goes back to the version that was active before, in a user's name.

    Raises:
        StoreError: when there is none.
    """
    return ModelStore(installed.store.root, by=by).rollback(installed.name, reason=reason)


def publish_last_weights(jobs: Any, identifier: str, by: str, reason: str | None) -> Version:
    """Publishes the method's last weights of a run whose unadapted model the guard kept.

    It becomes a version that waits for its activation; the verdict stays what it was, so that a rejected one
    needs force and a reason once more.

    Raises:
        SettingError: when the job is no finished adaptation, or no reason is given.
        StoreError: when its weights are gone.
    """
    job = jobs.job(identifier)
    if job.kind is not Kind.ADAPT or job.status is not Status.DONE:
        raise SettingError("only a finished adaptation has last weights", remedy="choose another job")
    if not reason:
        raise SettingError(
            "a reason is missing", remedy="say why the guard is overruled; the record keeps it"
        )
    store = ModelStore(jobs.models.store.root, by=by)
    version = store.publish(jobs.run_folder(identifier), model=job.model, last_weights=True)
    jobs.remark(identifier, f"{by} published the last weights as version {version.number}: {reason}")
    return version


def described(version: Version, active: int) -> dict[str, Any]:
    """A version for clients and pages: numbers, words, no paths."""
    manifest = version.manifest
    return {
        "version": version.number,
        "kind": version.kind,
        "active": version.number == active,
        "parent": version.parent,
        "method": manifest.get("method"),
        "title": manifest.get("title"),
        "verdict": version.verdict,
        "unadapted_weights": version.is_unadapted,
        "target_labels_read": manifest.get("target_labels_read"),
        "phantom": manifest.get("phantom"),
        "published_at": version.published.get("at"),
        "published_by": version.published.get("by"),
        "model_sha256": manifest.get("model_sha256"),
        "has_report": version.report is not None,
        "intended_use": manifest.get("intended_use"),
    }


def model_described(installed: InstalledModel) -> dict[str, Any]:
    """A model with its versions, the newest first."""
    active = installed.active().number
    previous = installed.store.previous(installed.name)
    return {
        "name": installed.name,
        "title": installed.task.title,
        "modality": installed.modality,
        "structures": list(installed.labels),
        "active": active,
        "rollback_to": None if previous is None else previous.number,
        "source": source_of(installed.store, installed.active()).number,
        "versions": [described(v, active) for v in reversed(installed.versions())],
        "fault": None,
    }


def models_described(models: Mapping[str, InstalledModel]) -> list[dict[str, Any]]:
    """All models; one that cannot be read has a `fault` and no versions, and the others are as they are."""
    found = []
    for installed in models.values():
        try:
            found.append(model_described(installed))
        except SfdaError as error:
            found.append({"name": installed.name, "fault": error.what, "versions": []})
    return found
