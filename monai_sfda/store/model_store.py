"""The store: publish, activate, roll back, prune, verify, whole or not at all, by several processes at once.

Every change is one rename: of a version's folder, of a new model's folder, or of `active.json`. Readers
therefore need no lock. Writers hold the store's lock for that moment alone; a publisher copies before it, in
`incoming/`, under a lock of its own by which the next writer knows what a killed one left behind. The rename
comes before the line of the log: what was changed carries its line, and the next writer adds one that is not
there.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monai_sfda.errors import StoreError
from monai_sfda.files import cannot_write, remove_leftovers, whole_file, write_json
from monai_sfda.store.active import Active
from monai_sfda.store.change_log import Change, append_changes, new_change, read_log
from monai_sfda.store.incoming import Incoming
from monai_sfda.store.lock import locked
from monai_sfda.store.reader import ACTIVE, LAYOUT, LOG, STORE, StoreReader, version_folder
from monai_sfda.store.run import SOURCE, ModelRun, read_run
from monai_sfda.store.version import Version, copy_run, sync_folder, write_manifest, write_synced

logger = logging.getLogger(__name__)

LOCK, INCOMING = "lock", "incoming"
_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class ModelStore(StoreReader):
    """The models of a site in one folder, to look at and to change.

    Args:
        root: the store's folder; the first publication makes it.
        by: who makes changes; the operating system's user by default.
        patience: seconds to wait for another process that holds the store's lock.
    """

    def __init__(self, root: Path, *, by: str | None = None, patience: float = 60.0) -> None:
        super().__init__(root)
        self.by = by or _user()
        self.patience = patience

    def publish(
        self,
        folder: Path,
        *,
        model: str | None = None,
        activate: bool = False,
        force: bool = False,
        reason: str | None = None,
        last_weights: bool = False,
    ) -> Version:
        """Copies a model into the store; it is listed when it is whole.

        The first version of a model is a source model and becomes active. Any other is a candidate until it
        is activated.

        Args:
            folder: output of train.json or adapt.json, or a source bundle with its release.
            model: name in the store; the task's by default.
            activate: make it active at once.
            force, reason: to activate a model that the guard rejected, see `activate`.
            last_weights: publish the method's last weights, whatever the guard chose.

        Raises:
            StoreError: when the folder holds no finished model, or the source of an adapted model is not in
                the store, or it may not be activated.
            OutputError: when it cannot be written; nothing is listed then.
        """
        run = read_run(folder, last_weights=last_weights)
        name = run.task if model is None else model
        if not _MODEL_NAME.fullmatch(name) or name == INCOMING:
            raise StoreError(
                f"'{name}' is no name for a model",
                remedy="use small letters, digits, '_' and '-', at most 64",
            )
        if activate:
            _require_reason(run.rejected, force, reason)
        with self._writing():
            self._parent(name, run)
            claim = Incoming(self.root / INCOMING).claim()
        try:
            try:
                hashes = copy_run(run, claim.folder)
            except OSError as error:
                raise cannot_write(Path(name), error) from error
            with self._writing(name):
                return self._add(name, run, claim.folder, hashes, activate, force, reason)
        finally:
            claim.end()

    def activate(self, model: str, number: int, *, force: bool = False, reason: str | None = None) -> Version:
        """Makes a version active after its hashes were verified; nothing happens when it is already.

        Args:
            model, number: which.
            force: activate it although the guard rejected it; needs a reason.
            reason: kept in the log.

        Raises:
            StoreError: when it is not there or not whole, or was rejected and is not forced with a reason.
            OutputError: when the store cannot be written.
        """
        version = self.version(model, number)
        _require_reason(version.rejected, force, reason)
        self._require_whole(version)
        with self._writing(model):
            version, active = self.version(model, number), self._read_active(model)
            if active.number != number:
                change = new_change(
                    "activate",
                    number,
                    self.by,
                    before=active.number,
                    forced=version.rejected,
                    reason=reason,
                )
                self._make_active(model, active.then(number, change))
        return version

    def rollback(self, model: str, *, reason: str | None = None) -> Version:
        """Makes the version active that was active before, after its hashes were verified.

        Versions that the guard rejected are passed over: that they were active was forced for a reason of its
        own.

        Raises:
            StoreError: when there is none, or it is not whole.
            OutputError: when the store cannot be written.
        """
        with self._writing(model):
            active = self._read_active(model)
            version = self._last_but(active, self.versions(model))
            if version is None:
                raise StoreError(
                    f"no other version of '{model}' was active before version {active.number}",
                    remedy=f"choose one by 'monai-sfda models activate {model} NUMBER'",
                )
            number = version.number
            self._require_whole(version)
            change = new_change("rollback", number, self.by, before=active.number, reason=reason)
            self._make_active(model, Active(number, active.before(number), change))
        return version

    def prune(self, model: str, keep: int = 5) -> list[int]:
        """Removes all versions but the active one, the one to roll back to, source models, and the newest.

        Args:
            model: whose.
            keep: so many of the newest stay, at least 1.

        Returns:
            The numbers removed.

        Raises:
            StoreError: when `keep` is below 1 or there is no such model.
            OutputError: when the store cannot be written.
        """
        if keep < 1:
            raise StoreError(f"{keep} versions cannot be kept", remedy="keep at least the newest: 1 or more")
        with self._writing(model):
            there = self.versions(model)
            active = self._read_active(model)
            kept = [self._last_but(active, there), *there[-keep:]]
            stay = {active.number, *[version.number for version in kept if version is not None]}
            gone = [v for v in there if v.number not in stay and not v.is_source]
            incoming = Incoming(self.root / INCOMING)
            for version in gone:
                incoming.discard(version.folder)
            self._log(model, [new_change("prune", version.number, self.by) for version in gone])
        return [version.number for version in gone]

    # Under the lock.

    @contextmanager
    def _writing(self, model: str | None = None) -> Iterator[None]:
        """Holds the store's lock, after clearing away what killed processes have left.

        Args:
            model: whose log is completed; it need not be there yet.
        """
        if model is not None:
            self._require_store()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.root, error) from error
        with locked(self.root / LOCK, self.patience):
            try:
                remove_leftovers(self.root)
                if not (self.root / STORE).is_file():
                    write_json(self.root / STORE, LAYOUT)
                self._require_store()
                Incoming(self.root / INCOMING).clear()
                if model is not None and (self.root / model / ACTIVE).is_file():
                    remove_leftovers(self.root / model)
                    self._complete_log(model)
                yield
            except OSError as error:
                raise cannot_write(self.root, error) from error

    def _add(
        self,
        model: str,
        run: ModelRun,
        folder: Path,
        hashes: dict[str, str],
        activate: bool,
        force: bool,
        reason: str | None,
    ) -> Version:
        """Gives a copied version its number and its place."""
        parent = self._parent(model, run)
        home = self.root / model
        if not home.is_dir():
            return self._add_model(model, run, folder, hashes)
        log = read_log(home / LOG).changes
        number = 1 + max([*self._numbers(home), *[int(change["version"]) for change in log]])
        published = new_change("publish", number, self.by)
        write_manifest(folder, run, hashes, model=model, parent=parent, published=published)
        place, active = version_folder(home, number), self._read_active(model)
        if activate:
            change = new_change(
                "activate", number, self.by, before=active.number, forced=run.rejected, reason=reason
            )
            with whole_file(home / ACTIVE) as beside:
                write_synced(beside, active.then(number, change).to_bytes())  # first: the disk may be full
                folder.rename(place)
                sync_folder(place.parent)
            sync_folder(home)
        else:
            folder.rename(place)
            sync_folder(place.parent)
        self._complete_log(model)
        return Version.read(place, model)

    def _add_model(self, model: str, run: ModelRun, folder: Path, hashes: dict[str, str]) -> Version:
        """A new model appears with its first version, already active, by one rename."""
        published = new_change("publish", 1, self.by)
        write_manifest(folder, run, hashes, model=model, parent=None, published=published)
        home = folder.with_name(f"{folder.name}.model")
        place = version_folder(home, 1)
        place.parent.mkdir(parents=True)
        folder.rename(place)
        change = new_change("activate", 1, self.by, before=None, forced=False, reason="the first version")
        write_synced(home / ACTIVE, Active(1, (), change).to_bytes())
        version = Version.read(place, model)
        append_changes(home / LOG, [_line(version), change])
        for changed in (place.parent, home):
            sync_folder(changed)
        home.rename(self.root / model)
        sync_folder(self.root)
        return Version.read(version_folder(self.root / model, 1), model)

    def _make_active(self, model: str, active: Active) -> None:
        home = self.root / model
        with whole_file(home / ACTIVE) as beside:
            beside.write_bytes(active.to_bytes())
        sync_folder(home)
        self._log(model, [active.change])

    def _complete_log(self, model: str) -> None:
        """Adds the lines of changes that are there and that the log lacks."""
        home = self.root / model
        log = read_log(home / LOG).changes
        known = {change["id"] for change in log}
        there, _ = self._read_versions(home)
        missing = [_line(version) for version in there if version.published["id"] not in known]
        change = self._read_active(model).change
        missing += [change] if change["id"] not in known else []
        missing.sort(key=lambda line: str(line["at"]))
        published = {change["version"] for change in log if change["action"] == "publish"}
        ended = {change["version"] for change in log if change["action"] in ("prune", "gone")}
        missing += [
            new_change("gone", number, None, reason=f"not there any more, found by {self.by}")
            for number in sorted(published - ended - set(self._numbers(home)))
        ]
        self._log(model, missing)

    def _log(self, model: str, changes: list[Change]) -> None:
        """Adds lines; a full disk loses none that can be found again, so the change stands."""
        if not changes:
            return
        try:
            append_changes(self.root / model / LOG, changes)
        except OSError as error:
            logger.warning(
                "the log of '%s' cannot be written (%s): the next change adds what is missing",
                model,
                error.strerror or error,
            )

    def _parent(self, model: str, run: ModelRun) -> int | None:
        """The newest version that made the weights that a run adapted; None for a source model."""
        if run.kind == SOURCE:
            return None
        there = self.versions(model) if model in self.models() else []
        for version in reversed(there):
            if version.manifest["model_sha256"] == run.source_model_sha256 and not version.is_unadapted:
                return version.number
        raise StoreError(
            f"the source of this adapted model is no version of '{model}'",
            remedy="publish the run of train.json, or the source bundle, that it was adapted from first",
        )

    def _require_whole(self, version: Version) -> None:
        if faults := version.faults():
            self.version(version.model, version.number)  # it may have been pruned since
            raise StoreError(
                f"version {version.number} is not whole: {faults[0]}",
                path=f"{version.model}/versions/{version.folder.name}",
                remedy="put it back from a backup, or choose another version",
            )


def _line(version: Version) -> Change:
    """A publication as the log has it."""
    return {**version.published, "kind": version.kind, "manifest_sha256": version.manifest_sha256}


def _require_reason(rejected: bool, force: bool, reason: str | None) -> None:
    if rejected and not (force and reason and reason.strip()):
        raise StoreError(
            "the guard rejected this model",
            remedy="leave the active one; or activate it with --force and --reason, which the log keeps",
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, as in some containers
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"
