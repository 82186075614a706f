"""The MONAI Label app: puts the parts together and answers what MONAI Label's server asks an app."""

from __future__ import annotations

import atexit
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import monai_sfda
from monai_sfda.catalog import BACKGROUND
from monai_sfda.errors import SettingError, SfdaError, nearest
from monai_sfda.label import adaptation, correction, next_study
from monai_sfda.label.adaptation.jobs import Jobs
from monai_sfda.label.models import Models, publish_bundles
from monai_sfda.label.segmentation import UncertaintyMaps, segmentation_tasks
from monai_sfda.label.segmentation.batch import BatchSegmentation
from monai_sfda.label.segmentation.result import INTENDED_USE
from monai_sfda.label.segmentation.task import SegmentationTask
from monai_sfda.label.settings import AppSettings
from monai_sfda.label.stock import prepare
from monai_sfda.label.studies import Credentials, open_datastore
from monai_sfda.label.values import flag
from monai_sfda.store import ModelStore

prepare()

from monailabel.config import settings as stock_settings  # noqa: E402
from monailabel.interfaces.app import MONAILabelApp  # noqa: E402
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag  # noqa: E402
from monailabel.interfaces.tasks.infer_v2 import InferTask  # noqa: E402
from monailabel.interfaces.tasks.scoring import ScoringMethod  # noqa: E402
from monailabel.interfaces.tasks.strategy import Strategy  # noqa: E402
from monailabel.interfaces.tasks.train import TrainTask  # noqa: E402

logger = logging.getLogger(__name__)
_SESSION_NAME = re.compile(r"[0-9A-Za-z-]{1,64}")

NAME = "monai_sfda"
DESCRIPTION = (
    "Segmentation by models that were adapted to this site's scans without labels; correction, adaptation, "
    f"and which study comes next. For {INTENDED_USE}."
)


class SfdaApp(MONAILabelApp):
    """The app.

    Args:
        app_dir: its folder: the store, jobs and downloads lie in it unless the settings say otherwise.
        studies: a folder of scans, or the address of a PACS's DICOMweb service.
        conf: what `--conf` gives, see `AppSettings`.
        credentials: for the PACS; None: those of MONAI Label's own settings, if any.

    Attributes:
        settings: typed.
        models: that are served.
        maps: uncertainty maps for those who have asked for them.
        jobs: adaptations.

    Raises:
        SettingError: for a setting that is unknown or wrong.
        StoreError: when the store cannot be read.
        DataError: when the folder of studies is missing.
    """

    def __init__(
        self,
        app_dir: str,
        studies: str,
        conf: Mapping[str, str] | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        conf = dict(conf or {})
        self.settings = AppSettings.read(conf, app_dir)
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        if self.settings.bundles is not None:
            publish_bundles(self.settings.bundles, ModelStore(self.settings.store))
        self.models = Models.open(self.settings)
        if not self.models:
            logger.warning("no model is served: publish one into the store, or give --conf bundles")
        self.maps = UncertaintyMaps()
        self._credentials = credentials or _stock_credentials()
        self.jobs = Jobs(
            self.settings.jobs,
            models=self.models,
            datastore=self.datastore,
            activation=self.settings.activation,
            device=self.models.device,
        )
        super().__init__(
            str(app_dir), studies, conf, name=NAME, description=DESCRIPTION, version=monai_sfda.__version__
        )
        # MONAI Label would start a process for each; the app scores in a thread of its own when asked to.
        self._auto_update_scoring = False
        next_study.start(self, score_every=self.settings.score_every)
        self._closed = False
        atexit.register(self.close)  # MONAI Label's own server does not tell an app that it ends

    def init_datastore(self) -> Datastore:
        """The studies, whatever holds them."""
        return open_datastore(
            self.studies,
            cache=self.settings.cache,
            tasks={name: installed.task for name, installed in self.models.items()},
            credentials=self._credentials,
            cache_gb=self.settings.cache_gb,
        )

    def init_infers(self) -> dict[str, InferTask]:
        """A segmentation a model, then the corrections."""
        return {**segmentation_tasks(self.models, self.maps), **correction.infer_tasks_of(self)}

    def init_trainers(self) -> dict[str, TrainTask]:
        """The adaptations first: clients show the first trainer."""
        return adaptation.trainers_of(self)

    def init_strategies(self) -> dict[str, Strategy]:
        """Which study comes next."""
        return next_study.strategies_of(self)

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """What writes the scores of the studies."""
        return next_study.scorings_of(self)

    def init_batch_infer(self) -> BatchSegmentation:
        """Many studies, one after the other."""
        return BatchSegmentation()

    def info(self) -> dict[str, Any]:
        """As MONAI Label's, with what the studies' scores say and which models are not served, and why."""
        found: dict[str, Any] = super().info()
        # A viewer that puts clicks into the background needs it among a task's labels; it is no structure.
        found["labels"] = [name for name in found["labels"] if name != BACKGROUND]
        try:
            found["next_study"] = next_study.summary_of(self)
        except SfdaError as error:  # one unreadable model must not take all the others away from the clients
            found["next_study"] = {"error": error.what}
        found["sfda"] = {
            "version": monai_sfda.__version__,
            "not_served": self.models.faults,
            "intended_use": INTENDED_USE,
        }
        return found

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Runs a task on a study.

        Args:
            request: `model`, the task; `image`, a text: the id of a study of the datastore, and nothing else;
                or a `Path` that the server itself has made (an upload, a session's image). With `save_label`
                the result of a study is saved under `label_tag`, in the name of `user`.
            datastore: of the study; None: the app's.

        Returns:
            `label` (the saved label's id, or the file), `tag`, `file` and `params`.

        Raises:
            SettingError: when there is no such task, or an option cannot be had.
            DataError: when there is no such study, or it cannot be read.
        """
        store = datastore if datastore is not None else self.datastore()
        name = str(request.get("model") or "")
        task = self._infers.get(name)
        if task is None:
            near = ", ".join(nearest(name, self._infers)) or "none"
            raise SettingError(f"there is no model '{name[:80]}'", remedy=f"use one of: {near}")
        image = request.get("image")
        study = image if isinstance(image, str) and not self._is_session(request) else None
        if study is not None:
            image = store.get_image_uri(study)
        save = flag("save_label", request.get("save_label"))
        ready = {**request, "image": image, "description": task.description}
        if isinstance(task, SegmentationTask):
            result = task.run(ready)
            file, said = result.file, result.parameters
        else:
            result = None
            file, said = task(ready)
        tag = DefaultLabelTag.ORIGINAL.value
        label: str | None = file
        if study is not None and file and save:
            tag = str(getattr(request.get("label_tag"), "value", request.get("label_tag")) or tag)
            label = self._save(request, study, file, tag, said, store)
        if study is not None:
            self._note(study, said, store)
            if result is not None:
                self._remember(result, study, store)
        return {"label": label, "tag": tag, "file": file, "params": said}

    def next_sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The study that a strategy chooses; empty when there is none.

        Raises:
            SettingError: when there is no such strategy.
        """
        name = str(request.get("strategy") or next(iter(self._strategies), ""))
        strategy = self._strategies.get(name)
        if strategy is None:
            near = ", ".join(nearest(name, self._strategies))
            raise SettingError(f"there is no strategy '{name[:80]}'", remedy=f"use one of: {near}")
        found = strategy(dict(request), self.datastore())
        return dict(found) if found and found.get("id") else {}

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Nothing: the ids, which MONAI Label logs here, may say who the patient is."""

    def close(self) -> None:
        """Ends what runs: adaptations, scoring; takes the uncertainty maps away. Only once."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self.jobs.close()
        next_study.close(self)
        self.maps.close()
        if hasattr(self.datastore(), "close"):
            self.datastore().close()

    def _is_session(self, request: Mapping[str, Any]) -> bool:
        """Whether the request's image is the file that MONAI Label's own server has kept for a session."""
        session = request.get("session")
        sessions = self.sessions()
        if sessions is None or not isinstance(session, Mapping):
            return False
        name = str(session.get("name"))
        kept = sessions.get_session(name) if _SESSION_NAME.fullmatch(name) else None
        return kept is not None and kept.image == request.get("image")

    def _save(
        self,
        request: Mapping[str, Any],
        study: str,
        file: str,
        tag: str,
        said: Mapping[str, Any],
        store: Datastore,
    ) -> str:
        """Saves a result as a label, its values named: a correction may have put another structure first.

        Raises:
            SfdaError: when it cannot be saved; the file is taken away, as nobody will be sent it.
        """
        names = sorted(dict(said.get("label_names") or {}).items(), key=lambda item: item[1])
        about = {
            "model": said.get("model", request.get("model")),
            "model_version": said.get("model_version"),
            "label_info": [{"name": label, "idx": index} for label, index in names],
            "saved_by": request.get("user"),
            "params": said,
        }
        try:
            return str(store.save_label(study, file, tag, about))
        except BaseException:
            Path(file).unlink(missing_ok=True)
            raise

    def _note(self, study: str, said: Mapping[str, Any], store: Datastore) -> None:
        """Tells the datastore which version has segmented a study: a later label is its correction."""
        try:
            store.note_segmented(study, said["model"], said["model_version"])
        except Exception as error:
            logger.warning("which version segmented a study could not be noted (%s)", type(error).__name__)

    def _remember(self, result: Any, study: str, store: Datastore) -> None:
        """Writes what an inference by the active version has seen of its study into the datastore."""
        try:
            version = result.loaded.version.number
            if (
                result.familiarity is None
                or version != self.models[result.loaded.installed.name].active().number
            ):
                return
            next_study.record_familiarity(
                store,
                study,
                model=result.loaded.installed.name,
                version=version,
                sha256=result.loaded.sha256,
                familiarity=result.familiarity,
            )
        except Exception as error:
            logger.warning("a score could not be written (%s)", type(error).__name__)


def _stock_credentials() -> Credentials | None:
    """Name and password for the PACS as MONAI Label's own environment has them."""
    user = stock_settings.MONAI_LABEL_DATASTORE_USERNAME or stock_settings.MONAI_LABEL_DICOMWEB_USERNAME
    password = stock_settings.MONAI_LABEL_DATASTORE_PASSWORD or stock_settings.MONAI_LABEL_DICOMWEB_PASSWORD
    return Credentials(user=user, password=password) if user else None
