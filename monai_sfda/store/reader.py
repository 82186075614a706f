"""Reading a store: no lock, no writing, always one consistent state."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from monai_sfda.errors import StoreError, nearest
from monai_sfda.store.active import Active
from monai_sfda.store.change_log import ChangeLog, read_log
from monai_sfda.store.version import Version

STORE, ACTIVE, LOG, VERSIONS = "store.json", "active.json", "log.jsonl", "versions"
LAYOUT = {"format": "monai_sfda model store", "layout": 1}
_VERSION_NAME = re.compile(r"[0-9]{4,}")


class StoreReader:
    """The models of a site in one folder, to look at; enough for a server that only reads.

    Args:
        root: the store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def models(self) -> list[str]:
        """Names of the models.

        Raises:
            StoreError: when the folder is no store.
        """
        self._require_store()
        return sorted(path.parent.name for path in self.root.glob(f"*/{ACTIVE}"))

    def versions(self, model: str) -> list[Version]:
        """The versions of a model whose manifest can be read, oldest first; `verify` names the others.

        Raises:
            StoreError: when there is no such model.
        """
        return self._read_versions(self._model(model))[0]

    def version(self, model: str, number: int) -> Version:
        """One version.

        Raises:
            StoreError: when there is none, or its manifest cannot be read.
        """
        home = self._model(model)
        try:
            return Version.read(version_folder(home, number), model)
        except FileNotFoundError as error:
            there = ", ".join(str(n) for n in self._numbers(home))
            raise StoreError(
                f"model '{model}' has no version {number}", remedy=f"there are: {there}"
            ) from error

    def active(self, model: str) -> Version:
        """The active version.

        Raises:
            StoreError: when there is no such model, or its files were taken away by hand.
        """
        self._model(model)
        number = self._read_active(model).number
        while True:
            try:
                return self.version(model, number)
            except StoreError:
                # Another process may have activated a later one and pruned this one since.
                if (now := self._read_active(model).number) == number:
                    raise
                number = now

    def previous(self, model: str) -> Version | None:
        """The version that a rollback would activate; None for none."""
        home = self._model(model)
        return self._last_but(self._read_active(model), self._read_versions(home)[0])

    def log(self, model: str) -> ChangeLog:
        """Who changed what when.

        A change whose maker was killed before its line was written gets its line with the next change.
        """
        return read_log(self._model(model) / LOG)

    def verify(self, model: str) -> dict[int, list[str]]:
        """Computes every file's hash again; returns what is wrong by version, nothing for whole ones.

        Raises:
            StoreError: when there is no such model, or which version is active cannot be read.
        """
        recorded = {
            change["version"]: change.get("manifest_sha256")
            for change in self.log(model).changes
            if change["action"] == "publish"
        }
        readable, unreadable = self._read_versions(self._model(model))
        found = {number: [fault] for number, fault in unreadable.items()}
        for version in readable:
            faults = version.faults()
            if recorded.get(version.number) not in (None, version.manifest_sha256):
                faults.append("manifest.json was altered")
            if faults and version.folder.is_dir():  # else pruned meanwhile
                found[version.number] = faults
        number = self._read_active(model).number
        if number not in self._numbers(self.root / model):
            found[number] = ["it is active and is not there"]
        return dict(sorted(found.items()))

    def _require_store(self) -> None:
        try:
            layout = json.loads((self.root / STORE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"no model store: {STORE} is missing",
                path=self.root,
                remedy="check --store; the first 'monai-sfda models publish' makes a store",
            ) from error
        if layout != LAYOUT:
            raise StoreError(
                "the store's layout is unknown",
                path=STORE,
                remedy="install the version of monai_sfda that wrote it",
            )

    def _model(self, model: str) -> Path:
        if model not in (models := self.models()):
            there = f"there are: {', '.join(nearest(model, models))}" if models else "the store is empty"
            raise StoreError(f"no model '{model}' in the store", remedy=there)
        return self.root / model

    def _numbers(self, home: Path) -> list[int]:
        return sorted(
            int(path.name) for path in (home / VERSIONS).iterdir() if _VERSION_NAME.fullmatch(path.name)
        )

    def _read_versions(self, home: Path) -> tuple[list[Version], dict[int, str]]:
        """The versions, and what is wrong with those whose manifest cannot be read."""
        found: list[Version] = []
        unreadable: dict[int, str] = {}
        for number in self._numbers(home):
            folder = version_folder(home, number)
            try:
                found.append(Version.read(folder, home.name))
            except FileNotFoundError:
                if folder.is_dir():  # else pruned since its name was read
                    unreadable[number] = "manifest.json is missing"
            except StoreError as error:
                unreadable[number] = error.what
        return found, unreadable

    @staticmethod
    def _last_but(active: Active, there: Sequence[Version]) -> Version | None:
        """The last version that was active before this one, and that the guard has not rejected."""
        allowed = {version.number: version for version in there if not version.rejected}
        number = active.back(allowed)
        return None if number is None else allowed[number]

    def _read_active(self, model: str) -> Active:
        return Active.read(self.root / model / ACTIVE, model)


def version_folder(home: Path, number: int) -> Path:
    """Where a version of the model in `home` is."""
    return home / VERSIONS / f"{number:04d}"
