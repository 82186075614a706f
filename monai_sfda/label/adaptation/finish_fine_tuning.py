"""The last step of a fine-tuning, a process of its own: compares the tuned weights with those before on
held-out corrected studies, and writes the run folder that the store takes.

No guard without labels judges here, since there are labels: the verdict rests on the held-out subjects, whom
the tuning has not seen, and says `unsure` where they are too few.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from monai_sfda.data.case import Case
from monai_sfda.data.listing import list_cases
from monai_sfda.data.reading import read_case
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.before_after import compare_on_target
from monai_sfda.engines.handlers import read_history
from monai_sfda.engines.volumes import Segmenter, VolumeSegmentation, write_case_numbers
from monai_sfda.errors import NoScansError, SfdaError
from monai_sfda.evaluation.metrics import StructureScore, score_case
from monai_sfda.evaluation.report_warnings import counted
from monai_sfda.files import file_sha256, whole_file, write_json
from monai_sfda.guard.reference_file import REFERENCE_FILE, find_reference, reference_file
from monai_sfda.guard.verdict import ACCEPT, REJECT, UNSURE
from monai_sfda.label.adaptation.tuning_data import FEWEST_HELD_OUT
from monai_sfda.label.adaptation.tuning_report import write_tuning_report
from monai_sfda.release import MANIFEST, package_versions
from monai_sfda.workflow.bundle_folder import adapted_models, write_bundle
from monai_sfda.workflow.error_line import install
from monai_sfda.workflow.run_folder import is_phantom, write_pictures

METHOD, TITLE = "fine_tune", "Fine-tuning on corrected labels"
CLEAR_GAIN, CLEAR_LOSS = 0.01, 0.05
"""Gain in mean Dice from which the tuned version is called better; loss of one structure that forbids it."""
logger = logging.getLogger(__name__)


def finish(settings: Mapping[str, Any]) -> None:
    """Compares, judges and writes the run folder.

    Args:
        settings: as `steps.tuning_steps` wrote them.

    Raises:
        SfdaError: when something cannot be read or written.
    """
    bundle, out, weights = (Path(settings[name]) for name in ("bundle", "out", "weights"))
    arguments = settings["arguments"]
    before, after = (
        _segmenter(bundle, path, arguments) for path in (bundle / "models" / "model.pt", weights)
    )
    dataset, configuration = _dataset(bundle, arguments)
    scans, datalist = Path(arguments["dataset_dir"]), Path(arguments["datalist"])
    held_out = _held_out(dataset, scans, datalist)
    logger.info("comparing on held-out studies: %d", len(held_out))
    scores = {name: _scores(s, held_out, dataset) for name, s in (("before", before), ("after", after))}
    verdict, reasons, found = judge(scores["before"], scores["after"], len({c.subject for c in held_out}))
    pictures = compare_on_target(
        before.network,
        after.network,
        dataset,
        None,
        device=after.device,
        batch_size=after.inferer.batch_size,
        seed=int(arguments["seed"]),
    )
    out.mkdir(parents=True, exist_ok=True)
    listed = dataset.list()
    record = {
        "schema_version": 1,
        "task": dataset.task.name,
        "domain": "target",
        "modalities": {side: dataset.task.domain(side).modality for side in ("source", "target")},
        "phantom": is_phantom(dataset.root),
        "method": METHOD,
        "title": TITLE,
        "source": "supervised training on labels that people of the site have corrected",
        "settings": {name: arguments[name] for name in ("max_epochs", "learning_rate", "seed")}
        | {"guard": {"enabled": False}, "parent_version": settings["parent"]},
        "source_model_sha256": file_sha256(bundle / "models" / "model.pt"),
        "adapted_sha256": file_sha256(weights),
        "model_sha256": file_sha256(weights),
        "target_images": len(listed.cases),
        "target_subjects": len({case.subject for case in listed.cases}),
        "split": "train",
        "split_source": "corrected labels of the app's datastore, split by subject",
        "split_missing_subjects": 0,
        "data_warnings": [*listed.warnings, *dataset.doubts],
        "source_data_read": False,
        "target_labels_read": True,
        "target_labels_used": [f"corrected labels of {counted(len(listed.cases), 'scan')}"],
        "verdict": verdict,
        "reasons": reasons,
        "guard": {"enabled": False},
        "held_out": found,
        **pictures.record,
        "history": [
            {"iteration": i, "name": n, "value": v} for i, n, v in read_history(Path(arguments["output_dir"]))
        ],
        "versions": package_versions(),
        "intended_use": "research; not for diagnosis",
    }
    write_case_numbers(out, listed.cases, dataset.root)
    for name in ("model.pt", "adapted.pt"):
        with whole_file(out / name) as beside:
            beside.write_bytes(weights.read_bytes())
    write_pictures(out / "figures", pictures.pictures)
    models = _models(bundle, out / "model.pt", _reference(weights, out))
    write_bundle(out / "bundle", bundle, configuration, models, method=METHOD)
    write_json(out / "adaptation.json", record)
    write_tuning_report(out / "report.html", record, pictures.pictures)
    logger.info("fine-tuned: %s", verdict)


def judge(
    before: Sequence[StructureScore], after: Sequence[StructureScore], subjects: int
) -> tuple[str, list[str], dict[str, Any]]:
    """The verdict from scores of held-out studies.

    `reject` where the mean Dice fell; `accept` where it rose by `CLEAR_GAIN` on `FEWEST_HELD_OUT` subjects or
    more and no structure lost `CLEAR_LOSS`; `unsure` otherwise.

    Args:
        before, after: of the same studies and structures.
        subjects: behind them.

    Returns:
        Verdict, reasons in words, and the numbers for the record.
    """
    if not subjects:
        words = (
            "no study was held out (that needs labels of at least 3 subjects): nobody knows which is better"
        )
        return UNSURE, [words], {"subjects": 0, "gain": None, "dice": {}}
    dice = {
        name: (_mean(before, name), _mean(after, name)) for name in dict.fromkeys(s.structure for s in before)
    }
    both = {name: (b, a) for name, (b, a) in dice.items() if b is not None and a is not None}
    numbers: dict[str, Any] = {"subjects": subjects, "gain": None, "dice": dice}
    if not both:
        return UNSURE, ["the held-out studies show none of the structures"], numbers
    means = [sum(pair[k] for pair in both.values()) / len(both) for k in (0, 1)]
    gain = numbers["gain"] = means[1] - means[0]
    reasons = [
        f"mean Dice on {counted(subjects, 'held-out subject')}: {means[0]:.3f} before, {means[1]:.3f} after"
    ]
    lost = {name: b - a for name, (b, a) in both.items() if b - a >= CLEAR_LOSS}
    reasons += [f"{name.replace('_', ' ')} lost {100 * loss:.1f} Dice points" for name, loss in lost.items()]
    if gain < 0:
        return REJECT, [*reasons, "the tuned weights are worse on studies that they have not learnt"], numbers
    if subjects < FEWEST_HELD_OUT:
        return UNSURE, [*reasons, "one subject is too few to be sure"], numbers
    if lost or gain < CLEAR_GAIN:
        return UNSURE, [*reasons, "the gain is not clear"], numbers
    return ACCEPT, reasons, numbers


def _mean(scores: Sequence[StructureScore], structure: str) -> float | None:
    values = [s.dice for s in scores if s.structure == structure and s.dice is not None]
    return sum(values) / len(values) if values else None


def _segmenter(bundle: Path, weights: Path, arguments: Mapping[str, Any]) -> Segmenter:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    for key, value in {
        "bundle_root": str(bundle),
        "dataset_dir": arguments["dataset_dir"],
        "checkpoint": str(weights),
        "domain": "target",
        "device": arguments["device"],
        "largest_component": False,
    }.items():
        parser[key] = value
    run = parser.get_parsed_content("evaluator")
    if not isinstance(run, VolumeSegmentation):
        raise SfdaError("the bundle cannot segment", remedy="publish a bundle that this package wrote")
    return run.segmenter()


def _dataset(bundle: Path, arguments: Mapping[str, Any]) -> tuple[StackDataset, dict[str, Any]]:
    """The stacks that were learnt from, and the configuration of the training."""
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "train.json"))
    for key, value in arguments.items():
        if key != "config_file":
            parser[key] = value
    configuration = dict(parser.get())
    dataset = parser.get_parsed_content("train#dataset")
    assert isinstance(dataset, StackDataset)
    dataset.prepare(lambda done, total: None)
    return dataset, configuration


def _held_out(dataset: StackDataset, scans: Path, datalist: Path) -> tuple[Case, ...]:
    try:
        return list_cases(dataset.task, "target", "val", scans, datalist=datalist, labels=True).cases
    except NoScansError:
        return ()


def _scores(segmenter: Segmenter, cases: Sequence[Case], dataset: StackDataset) -> list[StructureScore]:
    scores: list[StructureScore] = []
    for case in cases:
        scan, label = read_case(case, dataset.task, "target", with_label=True)
        assert label is not None
        scores += score_case(case.number, segmenter(scan), label, scan.spacing_mm, dataset.task.labels)
    return scores


def _reference(weights: Path, out: Path) -> Path | None:
    """What the scans that the tuned weights know are like, where there were enough for that."""
    reference, _ = find_reference(weights)
    if reference is None:
        return None
    write_json(out / REFERENCE_FILE, reference_file(reference, file_sha256(weights)))
    return out / REFERENCE_FILE


def _models(bundle: Path, weights: Path, reference: Path | None) -> dict[str, Path]:
    """What `models/` of the tuned bundle holds: as an adapted one, with the source's parts of its parent."""
    parent = bundle / "models"
    release = parent if (parent / MANIFEST).is_file() else None
    inherited = {} if release else {p.name: p for p in sorted(parent.glob("source_*")) if p.is_file()}
    return adapted_models(weights, release, reference) | inherited


def main(path: str) -> None:
    """Reads the settings that the server wrote, and finishes the run."""
    install()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    torch.set_grad_enabled(False)
    finish(json.loads(Path(path).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1])
