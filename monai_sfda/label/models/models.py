"""All models that the app serves, and the few versions of them that are in memory."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from monai_sfda.errors import SettingError, SfdaError, nearest
from monai_sfda.label.models.installed import InstalledModel
from monai_sfda.label.models.loaded import LoadedModel
from monai_sfda.label.settings import AppSettings
from monai_sfda.store import ModelStore
from monai_sfda.workflow.configuration import check_device

logger = logging.getLogger(__name__)


class Models(Mapping[str, InstalledModel]):
    """The installed models by name, and their loading.

    Args:
        store: of the site.
        names: of the models to serve; None: all.
        device: where they compute when a request does not say; None: a GPU where there is one.
        cached: so many versions stay loaded, the most recently used ones.
        most_voxels: of a scan.

    Attributes:
        store: as given.
        faults: why models of the store are not served, by name.
    """

    def __init__(
        self,
        store: ModelStore,
        names: list[str] | None = None,
        *,
        device: str | None = None,
        cached: int = 4,
        most_voxels: int | None = None,
    ) -> None:
        self.store = store
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        check_device(self.device)
        self.faults: dict[str, str] = {}
        self._most_voxels, self._cached = most_voxels, cached
        self._loaded: OrderedDict[tuple[str, str], LoadedModel] = OrderedDict()
        self._guard = threading.Lock()
        self._loading: dict[tuple[str, str], threading.Lock] = {}
        self._installed = self._find(names)

    @staticmethod
    def open(settings: AppSettings) -> Models:
        """The models that the settings ask for."""
        names = None if "all" in settings.models else settings.models
        return Models(
            ModelStore(Path(settings.store)),
            names,
            device=settings.device,
            cached=settings.cached_models,
            most_voxels=settings.most_voxels,
        )

    def __getitem__(self, name: str) -> InstalledModel:
        return self._installed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._installed)

    def __len__(self) -> int:
        return len(self._installed)

    def installed(self, name: str) -> InstalledModel:
        """The model of that name.

        Raises:
            SettingError: when none of that name is served; the message lists the nearest.
        """
        if name not in self._installed:
            there = (
                f"there are: {', '.join(nearest(name, self._installed))}" if len(self) else "none is served"
            )
            raise SettingError(f"no model '{name}' is served", remedy=there)
        return self._installed[name]

    def load(self, name: str, version: int | None = None, *, device: str | None = None) -> LoadedModel:
        """A version, read from the store or from memory. Which one is active is looked up at each call.

        Args:
            name: of the model.
            version: its number; None: the active one.
            device: where to compute; None: the app's own.

        Raises:
            SettingError: when no such model is served, or the device is not there.
            StoreError: when there is no such version, or it is damaged.
            CheckpointError: when its weights are of another network.
        """
        installed = self.installed(name)
        found = installed.version(version)
        device = device or self.device
        if device != self.device:
            check_device(device)
        key = (found.manifest_sha256, device)
        with self._guard:
            if key in self._loaded:
                self._loaded.move_to_end(key)
                return self._loaded[key]
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            with self._guard:
                if key in self._loaded:
                    return self._loaded[key]
            loaded = LoadedModel.load(installed, found, device, most_voxels=self._most_voxels)
            with self._guard:
                self._loaded[key] = loaded
                self._loading.pop(key, None)
                while len(self._loaded) > self._cached:
                    self._loaded.popitem(last=False)
        return loaded

    def _find(self, names: list[str] | None) -> dict[str, InstalledModel]:
        there = self.store.models() if (self.store.root / "store.json").is_file() else []
        for name in names or ():
            if name not in there:
                known = f"there are: {', '.join(nearest(name, there))}" if there else "the store is empty"
                raise SettingError(f"--conf models names '{name}', which is not in the store", remedy=known)
        found: dict[str, InstalledModel] = {}
        for name in there if names is None else names:
            try:
                installed = InstalledModel.find(self.store, name)
            except SfdaError as error:
                self.faults[name] = error.what
                logger.error("model '%s' is not served: %s: %s", name, error.what, error.remedy)
                continue
            if installed.task.pictures:
                logger.info("model '%s' is for pictures, not for scans, and is not served", name)
                continue
            found[name] = installed
        return found
