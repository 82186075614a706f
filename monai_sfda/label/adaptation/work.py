"""The work of one job, from its request to its version in the store; runs in the queue's thread."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_sfda.errors import OutputError, SfdaError
from monai_sfda.files import write_json
from monai_sfda.guard.verdict import ACCEPT
from monai_sfda.label.adaptation.job_process import end_process, identity_of, start_process
from monai_sfda.label.adaptation.options import AdaptOptions, FineTuneOptions, JobOptions, default_method
from monai_sfda.label.adaptation.outcome import publish_outcome, read_outcome
from monai_sfda.label.adaptation.private_data import (
    DATALIST,
    SCANS,
    Stopped,
    forget_scans,
    forget_weights,
    gather_scans,
    subject_numbers,
    write_datalist,
)
from monai_sfda.label.adaptation.reasons import reason_of
from monai_sfda.label.adaptation.record import Job, Kind
from monai_sfda.label.adaptation.selection import (
    Selection,
    guards_limit,
    require_enough,
    select_labelled,
    select_unlabelled,
)
from monai_sfda.label.adaptation.steps import (
    RUN,
    Step,
    adaptation_steps,
    epochs_of_adaptation,
    epochs_of_tuning,
    source_of,
    tuning_steps,
)
from monai_sfda.label.adaptation.tuning_data import hold_out, remap_labels

PRIVATE, REQUEST, PROCESS, LOG, PREPARED = (
    "private",
    "request.json",
    "process.json",
    "log.txt",
    "prepared.json",
)
OPTIONS: dict[Kind, type[JobOptions]] = {Kind.ADAPT: AdaptOptions, Kind.FINE_TUNE: FineTuneOptions}
GRACE_SECONDS = 20.0
_LOOK_EVERY_SECONDS = 0.3


class JobError(SfdaError):
    """A job's process ended badly; the text is for everybody."""


@dataclass(frozen=True)
class Workplace:
    """What a job's work needs.

    Attributes:
        job: as it was submitted.
        folder: of the job.
        models: that the app serves.
        datastore: of the app.
        automatic: whether an accepted adaptation becomes active at once.
        go_on: whether nobody asked to stop.
        note: takes changes of the record.
    """

    job: Job
    folder: Path
    models: Any
    datastore: Any
    automatic: bool
    go_on: Callable[[], bool]
    note: Callable[..., Any]

    @property
    def private(self) -> Path:
        """The part of the folder that is never served."""
        return self.folder / PRIVATE


def plan(kind: Kind, model: str, options: JobOptions, models: Any, datastore: Any) -> dict[str, Any]:
    """What a job would do, before it starts: the entries of its record that are known already.

    Returns:
        `parent`, `total_epochs`, `studies`, `subjects`, `notes`; the `options` with the bundle's own method
        where none was asked for, and the `selection`, which is private.

    Raises:
        SettingError: when no studies can be used.
        StoreError: when the store lacks the model's source.
    """
    installed = models[model]
    active = installed.active()
    if isinstance(options, AdaptOptions):
        found = select_unlabelled(datastore, model, installed.task, options)
        parent = source_of(installed.store, active)
        method = options.method or default_method(parent.bundle)
        options = options.model_copy(update={"method": method})
        epochs = epochs_of_adaptation(parent.bundle, options)
        limit = guards_limit(found.number_of_subjects)
    else:
        found = select_labelled(datastore, model, options, getattr(options, "min_studies", 1))
        parent, epochs = active, epochs_of_tuning(options)
        limit = hold_out(found).limit
    notes = [*found.notes(), *([limit] if limit else [])]
    if parent.manifest["model_sha256"] != active.manifest["model_sha256"]:
        notes.append(
            f"it starts from version {parent.number}, the source model, and the guard compares with that "
            f"one: whether it is better than the active version {active.number} nobody has measured"
        )
    return {
        "parent": parent.number,
        "total_epochs": epochs,
        "studies": len(found.studies),
        "subjects": found.number_of_subjects,
        "notes": tuple(notes),
        "options": options,
        "selection": found,
    }


def write_request(private: Path, options: JobOptions, selection: Selection) -> None:
    """Keeps what a job was asked, ids included, in its private folder."""
    private.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_json(
        private / REQUEST,
        {
            "options": options.model_dump(),
            "studies": list(selection.studies),
            "subjects": list(selection.subjects),
            "left_out": selection.left_out,
        },
    )


def work(place: Workplace) -> None:
    """Does a job: prepares the data, runs the steps that are not done, publishes.

    Raises:
        Stopped: when somebody asked for it.
        SfdaError: why it cannot be done.
    """
    steps = prepare(place)
    for step in steps:
        if not step.is_done:
            run_step(place, step)
    run = place.private / RUN
    outcome = read_outcome(run, place.job.kind)
    version, activated = publish_outcome(place.models.store.root, place.job, run, automatic=place.automatic)
    place.note(
        version=version.number,
        verdict=outcome.verdict,
        verdict_reasons=outcome.reasons,
        gain=outcome.gain,
        gain_name=outcome.gain_name,
        activated=activated,
    )
    forget_scans(place.private)
    if place.job.kind is Kind.FINE_TUNE or outcome.verdict == ACCEPT:
        forget_weights(place.private)


def prepare(place: Workplace) -> list[Step]:
    """Links and checks the scans, unless a run before did, and makes the steps."""
    private, kind = place.private, place.job.kind
    installed = place.models[place.job.model]
    options, selection = read_request(private, kind)
    parent = installed.version(place.job.parent)
    if not ((private / PREPARED).is_file() and (private / SCANS).is_dir()):
        selection, paths = gather_scans(private, place.datastore, selection, installed.task, place.go_on)
        if kind is Kind.FINE_TUNE:
            selection, lists = remap_labels(
                private / SCANS,
                place.datastore,
                selection,
                paths,
                installed.name,
                installed.task,
                place.go_on,
            )
            require_enough(selection, getattr(options, "min_studies", 1), "labelled")
            write_datalist(private, lists, labels=installed.task.labels)
        else:
            require_enough(selection, getattr(options, "min_studies", 1), "unlabelled")
            subjects = subject_numbers(selection)
            items = [{"image": paths[study], "subject": subjects[study]} for study in selection.studies]
            write_datalist(private, {"target_train": items})
        said = [note for note in place.job.notes if note.startswith("it starts from")]
        notes = (*_notes(kind, selection), *said)
        place.note(studies=len(selection.studies), subjects=selection.number_of_subjects, notes=notes)
        write_json(private / PREPARED, {"studies": len(selection.studies)})
    elif not (private / DATALIST).is_file():
        raise OutputError("the job's list of studies is gone", remedy="start a new job")
    if isinstance(options, AdaptOptions):
        return adaptation_steps(private, parent, options, place.job.device)
    assert isinstance(options, FineTuneOptions)
    return tuning_steps(private, parent, options, place.job.device)


def run_step(place: Workplace, step: Step) -> None:
    """Runs a step's process to its end.

    Raises:
        Stopped: when somebody asked to stop; the process and all it started are gone then.
        JobError: when it ended badly, with a reason for everybody.
    """
    if not place.go_on():
        raise Stopped
    log = place.private / LOG
    process = start_process(step.words, place.job.id, log, place.private)
    try:
        identity = identity_of(process.pid)
        write_json(place.private / PROCESS, {} if identity is None else identity.to_json())
        while True:
            try:
                code = process.wait(_LOOK_EVERY_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if not place.go_on():
                    raise Stopped from None
    except BaseException:
        end_process(process, place.job.id, GRACE_SECONDS)
        raise
    if code != 0 or not step.is_done:
        raise JobError(reason_of(code, log), remedy="mend the cause and resume the job, or start another")


def read_request(private: Path, kind: Kind) -> tuple[JobOptions, Selection]:
    """What `write_request` kept.

    Raises:
        OutputError: when it cannot be read.
    """
    try:
        content: Mapping[str, Any] = json.loads((private / REQUEST).read_text(encoding="utf-8"))
        options = OPTIONS[kind].model_validate(content["options"])
        selection = Selection(
            tuple(content["studies"]), tuple(content["subjects"]), dict(content["left_out"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"what the job was asked cannot be read ({type(error).__name__})", remedy="start a new job"
        ) from error
    return options, selection


def _notes(kind: Kind, selection: Selection) -> tuple[str, ...]:
    subjects = selection.number_of_subjects
    limit = guards_limit(subjects) if kind is Kind.ADAPT else hold_out(selection).limit
    return (*selection.notes(), *([limit] if limit else []))
