"""The folder that an adaptation leaves: weights, record, pictures, bundle, report."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.before_after import Picture, compare_on_target
from monai_sfda.engines.handlers import CHECKPOINT, Row
from monai_sfda.engines.inference import SliceStackInferer
from monai_sfda.engines.progress import progress_bar
from monai_sfda.engines.reference_scans import reference_of_scans
from monai_sfda.engines.volumes import write_case_numbers
from monai_sfda.files import tensor_file, whole_folder, write_atomically, write_json
from monai_sfda.guard import Reference
from monai_sfda.guard.reference_file import REFERENCE_FILE, REFERENCE_KEY, reference_file
from monai_sfda.methods import Method, origin
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.prototypes import Prototypes
from monai_sfda.release import package_versions
from monai_sfda.workflow.bundle_folder import adapted_models, write_bundle
from monai_sfda.workflow.report import PHANTOM_MANIFEST, report_of_run

logger = logging.getLogger(__name__)
NOT_JUDGED = "this version has no label-free guard: look at the report before the model is used"


@dataclass(frozen=True)
class RunResult:
    """What an adaptation came to.

    Attributes:
        method: that adapted.
        before, after: the unadapted and the adapted network, both of the run's network definition.
        before_sha256: of the unadapted network's weights file.
        settings: every setting of the run, JSON-ready.
        history: rows of the losses.
        labels_read: what was read of the target's labels, in words.
        reasons: of the verdict, beside the method's own.
        prototypes: of the release, for the figure of the embeddings; None where there is none.
        source_data_read: whether scans of the source were read.
        more: further entries of the record.
    """

    method: Method[Any]
    before: SegmentationNetwork
    after: SegmentationNetwork
    before_sha256: str
    settings: Mapping[str, Any]
    history: Sequence[Row]
    labels_read: Sequence[str] = ()
    reasons: Sequence[str] = ()
    prototypes: Prototypes | None = None
    source_data_read: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


def write_run_folder(
    out: Path,
    result: RunResult,
    dataset: StackDataset,
    *,
    device: torch.device,
    batch_size: int,
    seed: int,
    configuration: dict[str, Any],
    bundle_root: Path,
    release: Path | None,
) -> None:
    """Looks at the target with both networks, and writes everything that a run leaves.

    Args:
        out: the run folder.
        result: of the run.
        dataset: the target stacks that were adapted to.
        device, batch_size: where both networks are walked over them, and how many slices at once.
        seed: of the sample of embeddings.
        configuration: of the run, see `write_bundle`.
        bundle_root: folder of the bundle that was run.
        release: folder of the source release; None where the run had none.

    Raises:
        OutputError: when something cannot be written.
    """
    method, labels_read = result.method, result.labels_read
    found = compare_on_target(
        result.before.to(device),
        result.after.to(device),
        dataset,
        result.prototypes,
        device=device,
        batch_size=batch_size,
        seed=seed,
    )
    weights = weights_file(result.after)
    adapted_sha256 = hashlib.sha256(weights).hexdigest()
    listed = dataset.list()
    reference = _reference_scans(result.after, dataset, device, batch_size)
    record = {
        "schema_version": 1,
        "task": dataset.task.name,
        "domain": dataset.domain,
        "modalities": {side: dataset.task.domain(side).modality for side in ("source", "target")},
        "phantom": is_phantom(dataset.root),
        "method": method.name,
        "title": method.title,
        "source": method.source,
        "method_origin": origin(type(method)),
        "settings": dict(result.settings),
        "source_model_sha256": result.before_sha256,
        "adapted_sha256": adapted_sha256,
        "model_sha256": adapted_sha256,
        "target_images": len(listed.cases),
        "target_subjects": len({case.subject for case in listed.cases}),
        "split": listed.split,
        "split_source": listed.split_source,
        "split_missing_subjects": len(listed.missing),
        "data_warnings": [*listed.warnings, *dataset.doubts],
        "source_data_read": result.source_data_read,
        "target_labels_read": bool(labels_read),
        "target_labels_used": list(labels_read),
        "verdict": "unsure",
        "reasons": [NOT_JUDGED]
        + [f"a benchmark: the method read target labels ({what})" for what in labels_read]
        + list(result.reasons),
        **found.record,
        REFERENCE_KEY: None if reference is None else {"subjects": reference.subjects},
        **result.more,
        "history": [{"iteration": i, "name": n, "value": v} for i, n, v in result.history],
        "versions": package_versions(),
        "intended_use": "research; not for diagnosis",
    }
    write_case_numbers(out, listed.cases, dataset.root)
    write_atomically(out / "adapted.pt", weights)
    write_atomically(out / "model.pt", weights)
    write_pictures(out / "figures", found.pictures)
    known = None if reference is None else out / REFERENCE_FILE
    if known is not None and reference is not None:
        write_json(known, reference_file(reference, adapted_sha256))
    models = adapted_models(out / "model.pt", release, known)
    write_bundle(out / "bundle", bundle_root, configuration, models, method=method.name)
    write_json(out / "adaptation.json", record)
    report_of_run(out)
    logger.info(
        "adapted by %s on %d scans; report.html, model.pt and bundle/ are in the output folder",
        method.name,
        len(listed.cases),
    )


def _reference_scans(
    network: SegmentationNetwork, dataset: StackDataset, device: torch.device, batch_size: int
) -> Reference | None:
    """What the scans that were adapted to are like to the adapted model; None for too few subjects."""
    inferer = SliceStackInferer(batch_size=batch_size, minimum_size=dataset.image_size)
    with progress_bar("reference scans") as progress:
        return reference_of_scans(
            dataset.list().cases,
            dataset.task,
            dataset.domain,
            network,
            dataset.preprocessing,
            inferer,
            device,
            scans="the scans that were adapted to",
            progress=progress,
        )


def warn_of_finished_run(folder: Path, product: str) -> None:
    """Says that a finished run's results will be replaced, which stay until the new ones are whole."""
    if (folder / product).exists() and not (folder / CHECKPOINT).is_file():
        logger.warning("output_dir holds a finished run: its results stay until this one's replace them")


def is_phantom(folder: Path) -> bool:
    """Whether the scans of a folder are phantoms that this package wrote."""
    places = [folder.resolve(), *folder.resolve().parents][:5]
    return any((place / PHANTOM_MANIFEST).is_file() for place in places)


def weights_file(network: torch.nn.Module) -> bytes:
    """A bare state dict as the bytes of a file."""
    return tensor_file({name: t.detach().cpu() for name, t in network.state_dict().items()})


def write_pictures(folder: Path, pictures: list[Picture]) -> None:
    """The pictures and their captions, as a folder that the report is made from."""
    with whole_folder(folder) as beside:
        for picture in pictures:
            (beside / f"{picture.name}.png").write_bytes(picture.png)
        captions = {f"{picture.name}.png": picture.caption for picture in pictures}
        (beside / "captions.json").write_text(json.dumps(captions, indent=2) + "\n", encoding="utf-8")
