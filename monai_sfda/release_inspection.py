"""What a release holds, found out from its files alone. Nothing in it is run, and nothing is changed.

It does not need a whole release: what is missing, altered, unknown or too much is said.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from monai_sfda.checkpoints import load_weights
from monai_sfda.disclosure import MINIMUM_SUBJECTS
from monai_sfda.errors import ReleaseError, SfdaError, SignatureError
from monai_sfda.evaluation.privacy import withhold_locations
from monai_sfda.files import file_sha256
from monai_sfda.release_entries import read_strictly, texts, unknown_entries
from monai_sfda.release_files import (
    ASK_AGAIN,
    ATLAS,
    CLASS_RATIO,
    MANIFEST,
    MODEL,
    PROTOTYPES,
    SIGNATURE,
    listed_files,
    manifest_bytes,
    unexpected,
)
from monai_sfda.signing import fingerprint, read_signature

KINDS = {
    MODEL: "weights of the segmentation network",
    PROTOTYPES: "class prototypes",
    CLASS_RATIO: "weights of the network that guesses class ratios",
    ATLAS: "atlas: where in the body the structures lie",
    MANIFEST: "the manifest",
    SIGNATURE: "the source site's signature of the manifest",
}
# Tensors and metadata of the files that have no manifest of their own.
_TENSORS = {
    PROTOTYPES: {"weight", "mean", "covariance", "count", "threshold", "pixel_share", "subjects"},
    ATLAS: {"probabilities", "subjects"},
}
_METADATA = {PROTOTYPES: {"rho", "warnings"}, ATLAS: {"anchored", "warnings"}}


@dataclass(frozen=True)
class FileFound:
    """A file, or another thing, in the folder.

    Attributes:
        name: in the folder.
        size: bytes; None for what is missing or is no file.
        sha256: of its bytes, computed now; empty for what is missing or is no file.
        state: `whole`, `altered`, `missing`, `unexpected`; `-` for manifest and signature, whose hash the
            manifest cannot hold.
        what: it is, in words.
    """

    name: str
    size: int | None
    sha256: str
    state: str
    what: str


@dataclass(frozen=True)
class Tensors:
    """Shapes of the tensors of a file by name, and what does not belong into such a file."""

    shapes: Mapping[str, tuple[int, ...]]
    strange: tuple[str, ...] = ()

    @property
    def numbers(self) -> int:
        """How many there are in all."""
        return sum(_product(shape) for shape in self.shapes.values())


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        sha256: of the manifest, which identifies the release.
        manifest: its content.
        files: of the folder.
        tensors: by file.
        signature: `state` (`none`, `valid`, `invalid`) and `key`, the fingerprint that the signature names.
        unknown: entries of the manifest that no release of this version has, with their values.
        twice: names that an object of the manifest gives twice.
        names: texts of the manifest that look like the name of a file, a place or an identifier, in words.
        few_subjects: numbers that rest on too few subjects by the manifest's own words.
        warnings: what else is wrong or may be, in words.
    """

    sha256: str
    manifest: Mapping[str, Any]
    files: Sequence[FileFound]
    tensors: Mapping[str, Tensors]
    signature: Mapping[str, str | None]
    unknown: Sequence[tuple[str, Any]]
    twice: Sequence[str]
    names: Sequence[str]
    few_subjects: Sequence[str]
    warnings: Sequence[str]

    @property
    def nothing_else(self) -> bool:
        """Whether all files and entries are of known kinds, and the files those that the manifest lists."""
        states = {file.state for file in self.files}
        strange = any(tensors.strange for tensors in self.tensors.values())
        return not (self.unknown or strange or self.twice) and states <= {"whole", "-"}

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {
            "release_sha256": self.sha256,
            "nothing_else": self.nothing_else,
            "signature": dict(self.signature),
            "files": [vars(file) for file in self.files],
            "tensors": {
                name: {"shapes": {k: list(v) for k, v in t.shapes.items()}, "strange": list(t.strange)}
                for name, t in self.tensors.items()
            },
            "unknown": [{"entry": where, "value": value} for where, value in self.unknown],
            "twice": list(self.twice),
            "names": list(self.names),
            "few_subjects": list(self.few_subjects),
            "warnings": list(self.warnings),
            "manifest": dict(self.manifest),
        }


def inspect_release(folder: Path) -> Inspection:
    """Looks at a release folder, or at the `models/` folder of a source bundle.

    Raises:
        ReleaseError: when there is no manifest, or it is no JSON object with the files of a release.
    """
    text = manifest_bytes(folder)
    listed = listed_files(text, folder)
    try:
        content, twice = read_strictly(text)
    except ValueError as error:
        raise ReleaseError(f"{MANIFEST} cannot be read", path=folder, remedy=ASK_AGAIN) from error
    files = list(_files(folder, listed))
    tensors, unreadable = _tensors(folder, files)
    signature, faults = _signature(folder, text)
    return Inspection(
        sha256=hashlib.sha256(text).hexdigest(),
        manifest=content,
        files=files,
        tensors=tensors,
        signature=signature,
        unknown=unknown_entries(content),
        twice=twice,
        names=_names(content),
        few_subjects=_few_subjects(content),
        warnings=[
            *(f"{file.name} is {file.state}" for file in files if file.state in ("altered", "missing")),
            *(
                f"{file.name} is unexpected: no release has it"
                for file in files
                if file.state == "unexpected"
            ),
            *(f"{name}: {strange}" for name, found in tensors.items() for strange in found.strange),
            *unreadable,
            *faults,
            *(f"{MANIFEST} gives '{name}' twice: the first is hidden" for name in twice),
        ],
    )


def _files(folder: Path, listed: Mapping[str, str]) -> Iterator[FileFound]:
    for name, expected in listed.items():
        path = folder / name
        # A file of a kind that this version does not know is listed, and yet nobody expects it.
        what = KINDS.get(name, "of no known kind")
        if not path.is_file():
            yield FileFound(name, None, "", "missing", what)
            continue
        sha256 = file_sha256(path)
        state = "altered" if sha256 != expected else "whole" if name in KINDS else "unexpected"
        yield FileFound(name, path.stat().st_size, sha256, state, what)
    for name in (MANIFEST, SIGNATURE):
        path = folder / name
        if path.is_file():
            yield FileFound(name, path.stat().st_size, file_sha256(path), "-", KINDS[name])
    for name in unexpected(folder, listed):
        path = folder / name
        if path.is_file():
            yield FileFound(name, path.stat().st_size, file_sha256(path), "unexpected", "not listed")
        else:
            yield FileFound(name, None, "", "unexpected", "a folder or a broken link, not listed")


def _tensors(folder: Path, files: Sequence[FileFound]) -> tuple[dict[str, Tensors], list[str]]:
    """Shapes by file, and which files could not be read."""
    found, unreadable = {}, []
    for file in files:
        if file.state == "missing" or Path(file.name).suffix not in (".pt", ".safetensors"):
            continue
        try:
            read = _weights if file.name.endswith(".pt") else _safetensors
            found[file.name] = read(folder / file.name)
        except (SfdaError, SafetensorError, OSError, zipfile.BadZipFile) as error:
            unreadable.append(f"{file.name} cannot be read ({type(error).__name__}): it may hold anything")
    return found, unreadable


def _weights(path: Path) -> Tensors:
    """Of a bare state dict. Its file is a zip archive, which could hold files that no tensor uses."""
    weights = load_weights(path)
    with zipfile.ZipFile(path) as archive:
        entries = [name.split("/", 1)[-1] for name in archive.namelist()]
    strange = [f"the archive holds '{name}'" for name in entries if not _of_torch(name)]
    hidden = sum(t.untyped_storage().nbytes() - t.numel() * t.element_size() for t in weights.values())
    if hidden > 0:
        strange.append(f"{hidden} bytes that no weight uses")
    return Tensors({name: tuple(t.shape) for name, t in weights.items()}, tuple(strange))


def _of_torch(entry: str) -> bool:
    """Whether a zip archive of `torch.save` has such an entry."""
    folder, _, name = entry.rpartition("/")
    if folder == "data":
        return name.isdecimal()
    return entry in ("data.pkl", "version", "byteorder", ".format_version", ".storage_alignment") or (
        folder == ".data" and name == "serialization_id"
    )


def _safetensors(path: Path) -> Tensors:
    with safe_open(path, framework="numpy") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() or {}
    known, described = _TENSORS.get(path.name, set()), _METADATA.get(path.name, set())
    strange = [f"tensor '{name}' is unknown" for name in sorted(shapes.keys() - known)]
    strange += [f"metadata '{name}' is unknown" for name in sorted(metadata.keys() - described)]
    return Tensors(shapes, tuple(strange))


def _signature(folder: Path, manifest: bytes) -> tuple[dict[str, str | None], list[str]]:
    try:
        signature = read_signature(folder)
    except SignatureError as error:
        return {"state": "invalid", "key": None}, [error.what]
    if signature is None:
        return {"state": "none", "key": None}, []
    key = fingerprint(signature.public_key)
    if signature.covers(manifest):
        return {"state": "valid", "key": key}, []
    return {"state": "invalid", "key": key}, ["the signature does not fit the manifest: one was altered"]


def _names(content: Mapping[str, Any]) -> list[str]:
    """Texts of the manifest that look as if they named a file, a folder, an address or a DICOM identifier."""
    rest = {name: value for name, value in content.items() if name != "files"}
    found = sorted({text for text in texts(rest) if withhold_locations(text) != text})
    return [f"'{text}' looks like the name of a file, a place or an identifier" for text in found]


def _few_subjects(content: Mapping[str, Any]) -> list[str]:
    """Numbers of the manifest that say themselves that they rest on too few subjects.

    Releases of earlier versions may: their minimum was of another count.
    """
    if content.get("domain") == "target":
        return ["trained on the target's labels: no minimum holds, and it must not leave its site"]
    found = []
    prototypes, atlas = _object(content, "prototypes"), _object(content, "atlas")
    for name, index in _object(content, "labels").items():
        pixels, subjects = (_at(prototypes.get(key), index) for key in ("pixels", "subjects"))
        if pixels and isinstance(subjects, int) and subjects < MINIMUM_SUBJECTS:
            found.append(f"the prototype of {name} rests on {subjects} subjects")
        subjects = _at(atlas.get("subjects"), index)
        if isinstance(subjects, int) and 0 < subjects < MINIMUM_SUBJECTS:
            found.append(f"the atlas of {name} rests on {subjects} subjects")
    for path, value in _numbers_of_subjects("", content):
        if 0 < value < MINIMUM_SUBJECTS:
            found.append(f"'{path}' rests on {value}")
    iou = _object(_object(content, "validation"), "iou")
    if any(entry.get("std") is not None for entry in _object(iou, "per_class").values()):
        found.append("validation has mean and deviation of Dice and IoU: with few cases, each one's Dice")
    return found


def _numbers_of_subjects(path: str, value: Any) -> Iterator[tuple[str, int]]:
    """Entries that count subjects or cases behind a number; lists have one for each class, seen elsewhere."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            where = f"{path}.{name}".lstrip(".")
            counts = name in ("subjects", "n", "cases") or path.startswith(
                ("validation.undefined.", "validation.one_empty.")
            )
            if counts and isinstance(inner, int) and not isinstance(inner, bool):
                yield where, inner
            else:
                yield from _numbers_of_subjects(where, inner)


def _object(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, Mapping) else {}


def _at(values: Any, index: Any) -> Any:
    """An entry of a list that may be none, or too short."""
    if isinstance(values, list) and isinstance(index, int) and 0 <= index < len(values):
        return values[index]
    return None


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
