"""Models that were handed over as bundles come into the store when the app starts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from monai_sfda.catalog import find_task
from monai_sfda.errors import SettingError, SfdaError
from monai_sfda.store import SOURCE, ModelRun, ModelStore, Version, read_run

logger = logging.getLogger(__name__)


def publish_bundles(bundles: Path, store: ModelStore) -> list[Version]:
    """Publishes the models of a folder that the store has not yet.

    A model that the store knows by the hash of its weights is left as it is; another source model of a task
    that is there already becomes a version that waits for its activation. A folder that cannot be published
    is logged, and the others are.

    Args:
        bundles: a folder of bundles whose `models/` hold a release, of run folders of train.json and
            adapt.json, or one of these itself.
        store: to publish into.

    Raises:
        SettingError: when there is no such folder.
    """
    if not bundles.is_dir():
        raise SettingError("--conf bundles names no folder", remedy="give the folder of the MONAI bundles")
    runs: list[tuple[Path, ModelRun]] = []
    for folder in [bundles, *sorted(path for path in bundles.iterdir() if path.is_dir())]:
        if not _may_hold_a_model(folder):
            continue
        try:
            runs.append((folder, read_run(folder)))
        except SfdaError as error:
            logger.warning("folder %s is not published: %s: %s", folder.name, error.what, error.remedy)
    published: list[Version] = []
    # Sources first: what was adapted from them needs them there.
    for folder, run in sorted(runs, key=lambda found: found[1].kind != SOURCE):
        try:
            name = model_name(run)
            if _known(store, run):
                continue
            published.append(store.publish(folder, model=name))
            logger.info("published folder %s as version %d of '%s'", folder.name, published[-1].number, name)
        except SfdaError as error:
            logger.error("folder %s is not published: %s: %s", folder.name, error.what, error.remedy)
    return published


def model_name(run: ModelRun) -> str:
    """What a handed-over model is called in the store: its task, and its modalities where it has chosen any.

    Raises:
        SettingError: when its task is not in the catalog.
    """
    path = run.files["bundle/configs/inference.json"]
    try:
        configuration = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        configuration = {}
    task = find_task(run.task)
    chosen = [configuration.get(f"{side}_modality") for side in ("source", "target")]
    own = [task.source.modality, task.target.modality]
    wanted = [modality or default for modality, default in zip(chosen, own, strict=True)]
    parts = [run.task] if wanted == own else [run.task, *wanted]
    return "_".join(parts).lower()


def _may_hold_a_model(folder: Path) -> bool:
    return (
        any((folder / place / "models" / "model.pt").is_file() for place in (".", "bundle"))
        or (folder / "adaptation.json").is_file()
    )


def _known(store: ModelStore, run: ModelRun) -> bool:
    """Whether a version with these weights, made in this way, is in the store, under whatever name."""
    if not (store.root / "store.json").is_file():
        return False
    return any(
        version.manifest["model_sha256"] == run.about["model_sha256"] and version.kind == run.kind
        for name in store.models()
        for version in store.versions(name)
    )
