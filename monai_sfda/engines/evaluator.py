"""Scores a checkpoint against labels: on whole volumes in physical units, or as a paper did."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from monai_sfda.catalog import PublishedProtocol
from monai_sfda.data.case import Case
from monai_sfda.data.content import content_of, refuse_copies
from monai_sfda.engines.progress import progress_bar
from monai_sfda.engines.published_protocol import check_protocol, score_as_published
from monai_sfda.engines.volumes import VolumeRun, write_case_numbers
from monai_sfda.errors import DataError
from monai_sfda.evaluation.metrics import StructureScore, centre_blob, score_case
from monai_sfda.evaluation.summary import Distances, summarise, write_metrics, write_summary
from monai_sfda.evaluation.summary_table import summary_table
from monai_sfda.files import file_sha256

logger = logging.getLogger(__name__)


class VolumeEvaluator(VolumeRun):
    """Scores a checkpoint on the labelled scans of a split.

    Writes `metrics.csv`, `summary.json` (with the SHA-256 of the weights file) and `cases.csv`; for tasks
    with a centre-blob baseline also `summary_centre_blob.json`.

    Args:
        protocol: a published protocol of the task, which may look at the labels of this split to crop and to
            choose slices; None or the task's own name: whole volumes in physical units.
        arguments: of every run over volumes, see `VolumeRun`.
    """

    def __init__(self, *arguments: Any, protocol: str | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.protocol = protocol

    def run(self) -> dict[str, Any]:
        """Scores every case and writes the results; returns the summary.

        Raises:
            DataError, CheckpointError, SettingError, OutputError: see their texts; nothing is written then.
        """
        task, side = self.dataset.task, self.dataset.task.domain(self.dataset.domain)
        published = task.published_protocol(self.protocol)
        if published is not None:
            check_protocol(published, self.dataset.domain, self.largest_component)
            if published.looks_at_labels:
                logger.warning(
                    "protocol '%s' of %s looks at the labels of these scans to choose what is scored",
                    published.name,
                    published.paper,
                )
        segmenter = self.segmenter()
        checkpoint_sha256 = file_sha256(Path(str(self.checkpoint)))
        listed = self.dataset.list()
        for warning in listed.warnings:
            logger.warning(warning)
        scores: list[StructureScore] = []
        blobs: list[StructureScore] = []
        contents: list[tuple[Case, str]] = []
        distances: Distances = {name: {} for name in (published.distances if published else ())}
        with progress_bar("evaluate") as progress:
            for done, case in enumerate(listed.cases, start=1):
                scan, label = self.dataset.read(case)
                if not task.pictures:  # a scan that is there twice would count twice
                    contents.append((case, content_of(scan.array)))
                    refuse_copies(contents)
                if label is None:
                    raise DataError(
                        "the scan has no label to evaluate against",
                        path=case.image[0],
                        remedy="give its label",
                    )
                if published is not None:
                    try:
                        found = score_as_published(published, segmenter, scan, label, task, case.number)
                    except DataError as error:
                        raise DataError(
                            error.what, path=case.label, root=case.root, remedy=error.remedy
                        ) from error
                    scores += found.scores
                    for name, values in found.distances.items():
                        distances[name] |= {(case.number, what): value for what, value in values.items()}
                else:
                    spacing = None if task.pictures else scan.spacing_mm
                    prediction = segmenter(scan)
                    scores += score_case(case.number, prediction, label, spacing, task.labels, task.regions)
                    if "centre_blob" in task.baselines and side.crop_margin_mm is not None:
                        blob = centre_blob(scan.shape, scan.spacing_mm, side.crop_margin_mm)
                        blobs += score_case(
                            case.number, blob, label, scan.spacing_mm, task.labels, task.regions
                        )
                progress(done, len(listed.cases))
        protocol = self._described(published) | {"split_source": listed.split_source}

        def summary_of(rows: list[StructureScore], more: Distances, **settings: Any) -> dict[str, Any]:
            return summarise(
                rows,
                task=task.name,
                domain=self.dataset.domain,
                split=listed.split,
                cases=len(listed.cases),
                protocol=protocol | settings,
                regions=[region.name for region in task.regions],
                pooled=task.pictures,
                distances=more,
                mean_of=published.mean_of if published else (),
            )

        summary = summary_of(scores, distances) | {"checkpoint_sha256": checkpoint_sha256}
        write_metrics(self.output_dir / "metrics.csv", scores, distances)
        if blobs:
            write_summary(
                self.output_dir / "summary_centre_blob.json",
                summary_of(blobs, {}, baseline="centre_blob", margin_mm=side.crop_margin_mm),
            )
        write_case_numbers(self.output_dir, listed.cases, self.dataset.folder)
        write_summary(self.output_dir / "summary.json", summary)
        logger.info(
            "evaluated; metrics.csv and summary.json are in the output folder\n%s", summary_table(summary)
        )
        return summary

    def _described(self, published: PublishedProtocol | None) -> dict[str, Any]:
        """The protocol with all its settings, beginning with its name."""
        if published is not None:
            return published.to_json()
        return {"name": self.dataset.task.own_protocol, "largest_component": self.largest_component}
