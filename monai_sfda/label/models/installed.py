"""A model of the store, with its task of the catalog."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from monai_sfda.catalog import Task, find_task, without_background
from monai_sfda.errors import StoreError
from monai_sfda.store import ModelStore, Version

DOMAIN = "target"
"""Whose preprocessing scans of the site get: they are the target's, whatever version segments them."""


@dataclass(frozen=True)
class InstalledModel:
    """A model that can be served.

    Attributes:
        name: in the store, and of its tasks in the app.
        task: of the catalog, between the modalities that the bundle was made for.
        store: where the versions are.
    """

    name: str
    task: Task
    store: ModelStore

    @staticmethod
    def find(store: ModelStore, name: str) -> InstalledModel:
        """The model of that name.

        Raises:
            StoreError: when it is not in the store, or its bundle's configuration cannot be read.
            SettingError: when its task is not in the catalog.
        """
        return InstalledModel(name, task_of(store.active(name)), store)

    @property
    def labels(self) -> dict[str, int]:
        """The structures' names and indices 1..K, in the order of the indices."""
        found = without_background(self.task.labels)
        return dict(sorted(found.items(), key=lambda item: item[1]))

    @property
    def modality(self) -> str:
        """Of the scans that it takes: `MR` or `CT`."""
        return self.task.domain(DOMAIN).kind

    def active(self) -> Version:
        """The version that is active now; read from the store at each call."""
        return self.store.active(self.name)

    def version(self, number: int | None = None) -> Version:
        """One version; None: the active one.

        Raises:
            StoreError: when there is none of that number.
        """
        return self.active() if number is None else self.store.version(self.name, number)

    def versions(self) -> list[Version]:
        """All versions whose manifest can be read, oldest first."""
        return self.store.versions(self.name)


def task_of(version: Version) -> Task:
    """The task that a version's bundle was made for; reads its configuration as text and runs nothing.

    Raises:
        StoreError: when the configuration cannot be read or names no task.
        SettingError: when the catalog has no such task or modality.
    """
    try:
        text = (version.bundle / "configs" / "inference.json").read_text(encoding="utf-8")
        configuration: dict[str, Any] = dict(json.loads(text))
        name = str(configuration["task"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"the configuration of version {version.number} of '{version.model}' cannot be read "
            f"({type(error).__name__})",
            remedy="put the version's folder back from a backup, or roll back",
        ) from error
    source, target = (configuration.get(f"{side}_modality") for side in ("source", "target"))
    return find_task(name).with_modalities(source, target)
