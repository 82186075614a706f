"""A whole comparison through the bundles' own commands: unadapted, adapted in several ways, supervised bound.

Every step is the command that a user would type, run as a process of its own; a step whose product is there
is not run again, so that an interrupted comparison goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from monai_sfda.ablations import ABLATIONS, OWN_TRAINING, PRIOR_MATCHING, Arm, SourceTraining
from monai_sfda.candidate_names import LAST
from monai_sfda.evaluation.comparison import ADAPTED, BOUND, UNADAPTED
from monai_sfda.evaluation.moments import PUBLISHED
from monai_sfda.release import MANIFEST
from monai_sfda.workflow.bundle_commands import BundleCommands
from monai_sfda.workflow.refit import refit_prototypes
from monai_sfda.workflow.report import read_record
from monai_sfda.workflow.source_model import RECORD as SOURCE_RECORD
from monai_sfda.workflow.source_model import UNADAPTED as UNADAPTED_MODEL
from monai_sfda.workflow.steps import exclusive, run_step

logger = logging.getLogger(__name__)
SFS_ARMS = ABLATIONS["class_proportions"].arms
BOUND_RUN = "train_target"


@dataclass
class Experiment:
    """One data set, one seed, several arms.

    Attributes:
        task: name in the catalog.
        data: data set in its official layout, or anything with `datalist`.
        out: folder of all runs.
        seed: of training and adaptation.
        arms: ways to adapt.
        bundles: folder that holds the bundles.
        configs: stacked last, `small.json` by default.
        common: overrides of every command.
        protocol: that results are evaluated by; None: the task's own. Others have folders of their own, so
            that the same runs may be evaluated by several.
        guard: whether the guard keeps scans back and judges each run; what it publishes is then evaluated
            beside the method's last weights. Without it the methods adapt to all scans.
        announce: called with each step's title and, when it ends, its seconds.
        prepare: called first, while nobody else works in `out`; e.g. to write phantoms.
    """

    task: str
    data: Path
    out: Path
    seed: int = 0
    arms: Sequence[Arm] = SFS_ARMS
    bundles: Path | None = None
    configs: Sequence[str] = ("small.json",)
    common: Mapping[str, Any] | None = None
    protocol: str | None = None
    guard: bool = False
    announce: Callable[[str, float | None], None] = lambda title, seconds: None
    prepare: Callable[[], None] = lambda: None
    _lock: int | None = field(default=None, init=False, repr=False)

    @property
    def commands(self) -> BundleCommands:
        """What runs the steps."""
        return BundleCommands(
            task=self.task,
            data=self.data,
            out=self.out,
            seed=self.seed,
            bundles=self.bundles,
            configs=self.configs,
            common=self.common or {},
            announce=self.announce,
            lock=self._lock,
        )

    def run(self) -> None:
        """Runs what is missing; `results.results_table` then has the numbers."""

        def waiting() -> None:
            logger.warning(
                "waiting: an earlier run, or a step that it left behind, is at work in this folder"
            )

        with exclusive(self.out, waiting) as self._lock:
            self.prepare()
            self.commands.claim_folder()
            for arm in self.arms:
                if arm.training.needs_source:
                    self._run_arm_with_source(arm)
                else:
                    self._run_arm(arm)
            for needs_source in dict.fromkeys(arm.training.needs_source for arm in self.arms):
                self._train_bound(needs_source)

    def _run_arm(self, arm: Arm) -> None:
        training, run = self.training_of(arm), self.run_folder(arm)
        self._train(training)
        self._evaluate(
            _unadapted_title(training),
            self._evaluated(_unadapted_folder(training)).name,
            self.out / training.folder / "release" / "model.pt",
        )
        if arm.rho is not None:
            self._refit(training, arm.rho)
        self.commands.run(
            f"adapt: {arm.title}",
            (arm.configuration, *self.configs),
            run / "adaptation.json",
            release=self.release_of(arm),
            method=arm.method,
            output_dir=run,
            **{**arm.overrides, "guard#enabled": self.guard},
        )
        self._evaluate(arm.title, self.test_folder(arm).name, run / "adapted.pt")
        self._evaluate_published(arm, None)

    def _run_arm_with_source(self, arm: Arm) -> None:
        """`uda.json`, whose two stages are two steps, and whose runs bring the bundle that scores them."""
        training, run = self.training_of(arm), self.run_folder(arm)
        source = self.out / training.folder
        self._train(training)
        self._evaluate(
            _unadapted_title(training),
            self._evaluated(_unadapted_folder(training)).name,
            source / UNADAPTED_MODEL,
            source,
        )
        self.commands.run(
            f"adapt: {arm.title}",
            ("uda.json", *self.configs),
            run / "adaptation.json",
            method=arm.method,
            source_model=source,
            output_dir=run,
            **{**arm.overrides, "guard#enabled": self.guard},
        )
        self._evaluate(arm.title, self.test_folder(arm).name, run / "adapted.pt", run)
        self._evaluate_published(arm, run)

    def training_of(self, arm: Arm) -> SourceTraining:
        """The arm's source training; the configuration's own where the arm asks for nothing else."""
        overrides = arm.training.overrides
        as_configured = all(
            _is_set_to(self.commands.configured(key), value) for key, value in overrides.items()
        )
        if as_configured and not arm.training.needs_source:
            return OWN_TRAINING
        return arm.training

    def run_folder(self, arm: Arm) -> Path:
        """Where the arm's adaptation is."""
        return self.out / replace(arm, training=self.training_of(arm)).run

    def test_folder(self, arm: Arm) -> Path:
        """Where the arm's evaluation is."""
        run = self.run_folder(arm)
        return self._evaluated(f"{run.name}_test")

    def guard_of(self, arm: Arm) -> dict[str, Any] | None:
        """What the guard said of the arm's run, `adaptation.json`'s entry; None where it did not judge."""
        if not self.guard:
            return None
        guard: dict[str, Any] = read_record(self.run_folder(arm))["guard"]
        return guard

    def published_folder(self, arm: Arm) -> Path:
        """Where the evaluation of what the guard published of the arm's run is."""
        guard = self.guard_of(arm)
        if guard is None or guard["chosen"] == LAST:
            return self.test_folder(arm)
        if guard["chosen"] == UNADAPTED:
            return self.unadapted_folder(arm)
        return self._evaluated(f"{self.run_folder(arm).name}_published_test")

    def _evaluate_published(self, arm: Arm, run: Path | None) -> None:
        """Evaluates what the guard published where it is neither the unadapted model nor the last weights."""
        folder = self.published_folder(arm)
        if folder not in (self.test_folder(arm), self.unadapted_folder(arm)):
            model = self.run_folder(arm) / "model.pt"
            self._evaluate(f"{arm.title}, published", folder.name, model, run)

    def unadapted_folder(self, arm: Arm) -> Path:
        """Where the evaluation of the model that the arm adapts is."""
        return self._evaluated(_unadapted_folder(self.training_of(arm)))

    def bound_test_folder(self, needs_source: bool) -> Path:
        """Where the evaluation of the bound of such arms is."""
        return self._evaluated(f"bound_{PRIOR_MATCHING.name}" if needs_source else "bound")

    def _evaluated(self, folder: str) -> Path:
        """The folder of an evaluation by the protocol."""
        return self.out / (folder if self.protocol is None else f"{folder}_{self.protocol}")

    def release_of(self, arm: Arm) -> Path:
        """The release that the arm adapts."""
        name = "release" if arm.rho is None else f"release_rho_{arm.rho:g}"
        return self.out / self.training_of(arm).folder / name

    def results_for(self, arm: Arm) -> dict[str, Path]:
        """Evaluations to show in an arm's report."""
        folders = {
            UNADAPTED: self.unadapted_folder(arm),
            ADAPTED: self.test_folder(arm),
            BOUND: self.bound_test_folder(arm.training.needs_source),
        }
        published = self.published_folder(arm)
        return folders if published in folders.values() else {**folders, PUBLISHED: published}

    def device(self) -> str:
        """Where the steps compute, as the configurations choose it."""
        given = (self.common or {}).get("device")
        return str(given) if given is not None else "cuda" if torch.cuda.is_available() else "cpu"

    def _train(self, training: SourceTraining) -> None:
        folder = self.out / training.folder
        if training.needs_source:
            self.commands.run(
                f"train on the source: {training.title}",
                ("uda.json", *self.configs),
                folder / SOURCE_RECORD,
                stage="source",
                output_dir=folder,
                **training.overrides,
            )
            return
        self.commands.run(
            f"train on the source: {training.title}" if training.name else "train on the source",
            ("train.json", *self.configs),
            folder / "release" / MANIFEST,
            domain="source",
            output_dir=folder,
            **training.overrides,
        )

    def _train_bound(self, needs_source: bool) -> None:
        """Training on the target's labels; for prior matching its own source model is fine-tuned."""
        folder = self.out / bound_run(needs_source)
        title = "train the bound on the target's labels"
        if not needs_source:
            self.commands.run(
                title,
                ("train.json", *self.configs),
                folder / "release" / MANIFEST,
                domain="target",
                output_dir=folder,
            )
            self._evaluate(BOUND, self.bound_test_folder(False).name, folder / "release" / "model.pt")
            return
        self._train(PRIOR_MATCHING)
        source = self.out / PRIOR_MATCHING.folder
        self.commands.run(
            f"{title}: {PRIOR_MATCHING.title}",
            ("train.json",),
            folder / "release" / MANIFEST,
            run=source,
            checkpoint=source / UNADAPTED_MODEL,
            domain="target",
            output_dir=folder,
        )
        self._evaluate(BOUND, self.bound_test_folder(True).name, folder / "release" / "model.pt", source)

    def _refit(self, training: SourceTraining, rho: float) -> None:
        source, name = self.out / training.folder, f"release_rho_{rho:g}"
        datalist = (self.common or {}).get("datalist")

        def work() -> None:
            refit_prototypes(
                source / "release",
                source / name,
                rho=rho,
                dataset_dir=self.data,
                datalist=None if datalist is None else Path(datalist),
                device=self.device(),
            )

        run_step(
            self.out,
            f"{training.folder}_{name}",
            f"fit the prototypes again: rho {rho:g}",
            source / name / MANIFEST,
            {"rho": f"{rho:g}"},
            work,
            self.announce,
        )

    def _evaluate(self, title: str, folder: str, checkpoint: Path, run: Path | None = None) -> None:
        """Evaluates with the task's bundle, or with the one in a run's folder, whose network it has."""
        self.commands.run(
            f"evaluate: {title}",
            ("train.json", "evaluate.json", *(self.configs if run is None else ())),
            self.out / folder / "summary.json",
            run=run,
            checkpoint=checkpoint,
            domain="target",
            split="test",
            output_dir=self.out / folder,
            **({} if self.protocol is None else {"protocol": self.protocol}),
        )


def _is_set_to(configured: Any, wanted: Any) -> bool:
    """Whether a configuration has a value already; of a section, the entries wanted."""
    if isinstance(configured, Mapping) and isinstance(wanted, Mapping):
        return wanted.items() <= configured.items()
    return bool(configured == wanted)


def _unadapted_title(training: SourceTraining) -> str:
    return f"{UNADAPTED}, {training.title}" if training.name else UNADAPTED


def _unadapted_folder(training: SourceTraining) -> str:
    return f"unadapted_{training.name}" if training.name else "unadapted"


def training_title(needs_source: bool) -> str:
    """How the source model of an arm is called that does, or does not, need source data to adapt."""
    return (PRIOR_MATCHING if needs_source else OWN_TRAINING).title


def bound_run(needs_source: bool) -> str:
    """Folder of the bound's training for such arms."""
    return f"{BOUND_RUN}_{PRIOR_MATCHING.name}" if needs_source else BOUND_RUN
