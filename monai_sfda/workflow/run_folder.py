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

from monai_sfda.candidate_names import UNADAPTED
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.before_after import Picture, compare_on_target
from monai_sfda.engines.handlers import CHECKPOINT, Row
from monai_sfda.engines.inference import SliceStackInferer
from monai_sfda.engines.progress import progress_bar
from monai_sfda.engines.reference_scans import reference_of_scans
from monai_sfda.engines.volumes import write_case_numbers
from monai_sfda.files import tensor_file, whole_folder, write_atomically, write_json
from monai_sfda.guard import Reference
from monai_sfda.guard.reference_file import REFERENCE_FILE, REFERENCE_KEY, find_reference, reference_file
from monai_sfda.guard.verdict import ACCEPT
from monai_sfda.methods import Method, origin
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import Release, package_versions
from monai_sfda.workflow.bundle_folder import adapted_models, write_bundle
from monai_sfda.workflow.guarding import Decision, Guarding, decide
from monai_sfda.workflow.report import PHANTOM_MANIFEST, report_of_run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What an adaptation came to.

    Attributes:
        method: that adapted.
        before, after: the unadapted and the adapted network, both of the run's network definition.
        unadapted: file of the unadapted network's weights.
        before_sha256: of that file.
        settings: every setting of the run, JSON-ready.
        history: rows of the losses.
        epochs: that the run took; 0 for a method without steps.
        kept: epoch to the weights that were kept at its end for the guard.
        labels_read: what was read of the target's labels, in words.
        reasons: of the verdict, beside the guard's own.
        release: that was adapted; None where there was none.
        source_data_read: whether scans of the source were read.
        more: further entries of the record.
    """

    method: Method[Any]
    before: SegmentationNetwork
    after: SegmentationNetwork
    unadapted: Path
    before_sha256: str
    settings: Mapping[str, Any]
    history: Sequence[Row]
    epochs: int
    kept: Mapping[int, Path] = field(default_factory=dict)
    labels_read: Sequence[str] = ()
    reasons: Sequence[str] = ()
    release: Release | None = None
    source_data_read: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


def write_run_folder(
    out: Path,
    result: RunResult,
    guarding: Guarding,
    *,
    device: torch.device,
    batch_size: int,
    seed: int,
    configuration: dict[str, Any],
    bundle_root: Path,
    release: Path | None,
) -> None:
    """Lets the guard decide, looks at the target with both networks, and writes everything that a run leaves.

    Args:
        out: the run folder.
        result: of the run.
        guarding: the target stacks, and what of them the method saw.
        device, batch_size: where networks are walked over them, and how many slices at once.
        seed: of what is drawn to judge, and of the sample of embeddings.
        configuration: of the run, see `write_bundle`.
        bundle_root: folder of the bundle that was run.
        release: folder of the source release; None where the run had none.

    Raises:
        OutputError: when something cannot be written.
        CheckpointError: when weights that were kept for the guard are missing or damaged.
    """
    method, labels_read, dataset = result.method, result.labels_read, guarding.target
    decision = decide(
        guarding,
        method,
        before=result.before,
        after=result.after,
        unadapted=result.unadapted,
        kept=result.kept,
        epochs=result.epochs,
        release=result.release,
        device=device,
        batch_size=batch_size,
        seed=seed,
    )
    found = compare_on_target(
        result.before.to(device),
        result.after.to(device),
        dataset,
        None if result.release is None else result.release.prototypes,
        device=device,
        batch_size=batch_size,
        seed=seed,
        chosen=decision.chosen if decision.judged else None,
        published=decision.on_the_way,
        guard_scans=guarding.kept_scans,
    )
    last = weights_file(result.after)
    chosen = last if decision.weights is None else decision.weights.read_bytes()
    chosen_sha256 = hashlib.sha256(chosen).hexdigest()
    listed = dataset.list()
    reference = _reference(decision, result.unadapted, dataset, device, batch_size)
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
        "adapted_sha256": hashlib.sha256(last).hexdigest(),
        "model_sha256": chosen_sha256,
        "target_images": len(listed.cases),
        "target_subjects": len({case.subject for case in listed.cases}),
        "split": listed.split,
        "split_source": listed.split_source,
        "split_missing_subjects": len(listed.missing),
        "data_warnings": [*listed.warnings, *dataset.doubts],
        "source_data_read": result.source_data_read,
        "target_labels_read": bool(labels_read),
        "target_labels_used": list(labels_read),
        "verdict": decision.verdict,
        "reasons": list(decision.reasons)
        + [f"a benchmark: the method read target labels ({what})" for what in labels_read]
        + list(result.reasons),
        "guard": decision.record,
        **found.record,
        REFERENCE_KEY: None
        if reference is None
        else {"domain": reference.domain, "subjects": reference.subjects},
        **result.more,
        "history": [{"iteration": i, "name": n, "value": v} for i, n, v in result.history],
        "versions": package_versions(),
        "intended_use": "research; not for diagnosis",
    }
    write_case_numbers(out, listed.cases, dataset.root)
    write_atomically(out / "adapted.pt", last)
    write_atomically(out / "model.pt", chosen)
    write_pictures(out / "figures", found.pictures)
    known = None if reference is None else out / REFERENCE_FILE
    if known is not None and reference is not None:
        write_json(known, reference_file(reference, chosen_sha256))
    models = adapted_models(out / "model.pt", release, known)
    adapted_by = None if decision.chosen == UNADAPTED else method.name
    write_bundle(out / "bundle", bundle_root, configuration, models, method=adapted_by)
    write_json(out / "adaptation.json", record)
    report_of_run(out)
    logger.log(
        logging.INFO if decision.verdict == ACCEPT else logging.WARNING, "guard: %s", decision.in_words
    )
    logger.info(
        "adapted by %s on %d scans; report.html, model.pt and bundle/ are in the output folder",
        method.name,
        len(guarding.adaptation.list().cases),
    )


def _reference(
    decision: Decision, unadapted: Path, dataset: StackDataset, device: torch.device, batch_size: int
) -> Reference | None:
    """What the scans that the published model knows are like; None for too few subjects.

    An adapted model knows the scans of the adaptation, an unadapted one those that the release speaks of.
    """
    if decision.chosen == UNADAPTED:
        reference, _ = find_reference(unadapted)
        return reference
    inferer = SliceStackInferer(batch_size=batch_size, minimum_size=dataset.image_size)
    with progress_bar("reference scans") as progress:
        return reference_of_scans(
            dataset.list().cases,
            dataset.task,
            dataset.domain,
            decision.network,
            dataset.preprocessing,
            inferer,
            device,
            scans="the scans of the adaptation",
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
