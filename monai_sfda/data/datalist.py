"""Datalists: a JSON file that names images and labels, in this package's form or as a plain MONAI list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_sfda.catalog import BACKGROUND, IGNORED, LabelRange, Task
from monai_sfda.data.case import Case
from monai_sfda.errors import DataError, NoScansError, nearest

SPLIT_KEYS = {"train": ("training",), "val": ("validation",), "test": ("test", "testing")}
"""Keys of a plain MONAI list, by split."""

_DOMAIN_KEYS = tuple(f"{domain}_{split}" for domain in ("source", "target") for split in SPLIT_KEYS)
_PLAIN_KEYS = tuple(key for keys in SPLIT_KEYS.values() for key in keys)
_DESCRIPTIVE_KEYS = (
    "name",
    "description",
    "reference",
    "licence",
    "license",
    "release",
    "modality",
    "tensorImageSize",
    "numTraining",
    "numValidation",
    "numTest",
)
_KEYS = (*_DOMAIN_KEYS, *_PLAIN_KEYS, "labels", *_DESCRIPTIVE_KEYS)
_ITEM_KEYS = ("image", "label", "subject")


@dataclass(frozen=True)
class Datalist:
    """One split of a datalist.

    Attributes:
        cases: whose images are there; without a label where it is missing.
        warnings: what a user should know, in counts.
        overlaps: with other splits of the domain, in words and counts.
        faults: of items whose image is missing.
        label_faults: of items whose label was wanted and is missing.
    """

    cases: tuple[Case, ...]
    warnings: tuple[str, ...]
    overlaps: tuple[str, ...]
    faults: tuple[DataError, ...]
    label_faults: tuple[DataError, ...]


def read_datalist(
    path: Path, task: Task, domain: str, split: str, dataset_dir: Path, *, labels: bool
) -> Datalist:
    """One split of a datalist; files that are missing are faults of their items.

    Args:
        path: JSON with `source_train` ... `target_test`, or `training`, `validation`, `test` of the domain
            asked for. Items are `image` (file, DICOM folder or list of channel files), `label`, `subject`, or
            an image alone. Relative paths are looked for in `dataset_dir`, then beside the list.
        task: whose labels the list's `labels` (name to stored value or values, or value to name) must be.
        domain: `source` or `target`.
        split: `train`, `val` or `test`.
        dataset_dir: first folder of relative paths.
        labels: whether labels are wanted; without, no label path is looked at.

    Raises:
        DataError: when the list is missing, is no JSON, has unknown keys or labels of another task, or when
            the split is empty.
    """
    content = _parse(path)
    for key in content:
        if key not in _KEYS:
            raise DataError(
                f"unknown key '{key}'",
                remedy=f"the nearest known: {', '.join(nearest(key, _KEYS))}",
                path=path,
                root=dataset_dir,
            )
    stored_labels = _stored_labels(content["labels"], task, path) if "labels" in content else None
    items = [_item(raw, path) for raw in _items(content, domain, split, path)]
    folders = (dataset_dir, path.parent)
    cases: list[Case] = []
    faults: list[DataError] = []
    label_faults: list[DataError] = []
    for images, label, subject in items:
        try:
            image = tuple(_resolve(name, folders, dataset_dir) for name in images)
        except DataError as error:
            faults.append(error)
            continue
        found: Path | None = None
        if labels:
            try:
                found = _resolve_label(label, folders, image[0], dataset_dir)
            except DataError as error:
                label_faults.append(error)
        cases.append(
            Case(
                number=len(cases) + 1,
                subject=subject or images[0],
                image=image,
                label=found,
                reader="datalist",
                root=dataset_dir,
                stored_labels=stored_labels,
            )
        )
    repeated = len(cases) - len({case.image for case in cases})
    warnings = (f"{repeated} scans of the {split} list are listed more than once",) if repeated else ()
    return Datalist(
        tuple(cases),
        warnings,
        tuple(_shared_subjects(content, domain, split, path)),
        tuple(faults),
        tuple(label_faults),
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError("the datalist is missing", remedy="correct its path", path=path) from None
    except OSError as error:
        raise DataError(
            f"the datalist cannot be read ({error.strerror or error})",
            remedy="give the path of a JSON file",
            path=path,
        ) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"no JSON at line {error.lineno}, column {error.colno} ({error.msg})",
            remedy="correct the datalist",
            path=path,
        ) from error
    except ValueError as error:
        raise DataError("the datalist is no UTF-8 text", remedy="save it as UTF-8", path=path) from error
    if not isinstance(content, dict):
        raise DataError(
            "the datalist is no JSON object",
            remedy=f"give lists under keys such as {', '.join(_DOMAIN_KEYS[:2])}",
            path=path,
        )
    return content


def _items(content: Mapping[str, Any], domain: str, split: str, path: Path) -> list[Any]:
    named = [key for key in content if key in _DOMAIN_KEYS]
    plain = [key for key in content if key in _PLAIN_KEYS]
    if named and plain:
        raise DataError(
            f"a datalist of two forms ('{named[0]}' and '{plain[0]}')",
            remedy="name every list by domain and split, or none",
            path=path,
        )
    wanted = (f"{domain}_{split}",) if not plain else SPLIT_KEYS[split]
    items = [item for key in wanted for item in _list(content, key, path)]
    if not items:
        found = [f"{key} ({len(_list(content, key, path))})" for key in (*named, *plain)]
        raise NoScansError(
            f"no scans for the {split} split of the {domain} domain",
            remedy=f"add '{wanted[0]}'; the datalist has {', '.join(found) or 'no lists'}",
            path=path,
        )
    return items


def _list(content: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = content.get(key, [])
    if not isinstance(value, list):
        raise DataError(f"'{key}' is no list", remedy="give a list of items with 'image'", path=path)
    return value


def _item(raw: Any, path: Path) -> tuple[list[str], str | None, str | None]:
    """Image paths, label path and subject of an item."""
    item = {"image": raw} if isinstance(raw, str) else raw
    if not isinstance(item, dict):
        raise DataError(f"an item is a {type(raw).__name__}", remedy="give an object with 'image'", path=path)
    for key in item:
        if key not in _ITEM_KEYS:
            raise DataError(
                f"unknown key '{key}' of an item",
                remedy=f"the nearest known: {', '.join(nearest(key, _ITEM_KEYS))}",
                path=path,
            )
    images = item.get("image")
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not images or not all(isinstance(i, str) and i for i in images):
        raise DataError(
            f"an item's 'image' is {item.get('image')!r}",
            remedy="give a path or a list of the channels' paths",
            path=path,
        )
    label, subject = item.get("label"), item.get("subject")
    if label is not None and not (isinstance(label, str) and label):
        raise DataError(f"an item's 'label' is {label!r}", remedy="give one path", path=path)
    if subject is not None and (isinstance(subject, bool) or not isinstance(subject, str | int)):
        raise DataError(
            f"an item's 'subject' is a {type(subject).__name__}", remedy="give a text or a number", path=path
        )
    return images, label, None if subject is None else str(subject)


def _resolve(name: str, folders: tuple[Path, Path], root: Path) -> Path:
    found = next((folder / name for folder in folders if (folder / name).exists()), None)
    if found is None:
        raise DataError(
            "an image of the datalist is missing",
            remedy="correct its path, relative to dataset_dir or to the datalist's folder",
            path=root / name,
            root=root,
        )
    return found


def _resolve_label(name: str | None, folders: tuple[Path, Path], image: Path, root: Path) -> Path:
    if name is None:
        raise DataError(
            "no label is listed for an image",
            remedy="add its 'label' to the datalist",
            path=image,
            root=root,
        )
    found = next((folder / name for folder in folders if (folder / name).exists()), None)
    if found is None:
        raise DataError(
            "the label is missing of the image",
            remedy="copy it there or correct its path in the datalist",
            path=image,
            root=root,
        )
    return found


def _stored_labels(labels: Any, task: Task, path: Path) -> tuple[LabelRange, ...]:
    """The list's `labels`, name to stored value (or value to name, as the Decathlon has it), as ranges."""
    if not isinstance(labels, dict) or not labels:
        raise DataError(
            "'labels' is no object", remedy="give class names with their stored values", path=path
        )
    if all(isinstance(value, str) and str(key).isdecimal() for key, value in labels.items()):
        pairs = [(value, int(key)) for key, value in labels.items()]
    else:
        pairs = list(labels.items())
    known = task.labels | ({"ignored": IGNORED} if task.pictures else {})
    for name, value in pairs:
        values = value if isinstance(value, list) and value else [value]
        if any(isinstance(v, bool) or not isinstance(v, int) for v in values):
            raise DataError(
                f"the label '{name}' has the value {value!r}",
                remedy="give an integer, or a list of integers that all mean it",
                path=path,
            )
        if name not in known:
            raise DataError(
                f"the label '{name}' is none of the task's",
                remedy=f"the nearest of {task.name}: {', '.join(nearest(name, known))}",
                path=path,
            )
    stored = {name: value if isinstance(value, list) else [value] for name, value in pairs}
    missing = [s.name for s in task.structures if s.name not in stored]
    if missing:
        raise DataError(
            f"'labels' lacks {', '.join(missing)}", remedy="name every structure of the task", path=path
        )
    if not task.pictures:
        stored.setdefault(BACKGROUND, [0])
    everything = [value for values in stored.values() for value in values]
    if len(set(everything)) < len(everything) or len(pairs) != len({name for name, _ in pairs}):
        raise DataError(
            "'labels' gives one value to two names", remedy="give each class a value of its own", path=path
        )
    return tuple(LabelRange(v, v, known[name]) for name, values in stored.items() for v in values)


def _shared_subjects(content: Mapping[str, Any], domain: str, split: str, path: Path) -> list[str]:
    """A warning when training shares subjects with the evaluation of the same domain."""
    plain = any(key in _PLAIN_KEYS for key in content)
    subjects: dict[str, set[str]] = {}
    for name, plain_keys in SPLIT_KEYS.items():
        keys = plain_keys if plain else (f"{domain}_{name}",)
        items = [_item(raw, path) for key in keys for raw in _list(content, key, path)]
        subjects[name] = {subject or images[0] for images, _, subject in items}
    others = [s for s in SPLIT_KEYS if s != split] if split == "train" else ["train"]
    return [
        f"{len(shared)} {'subject is' if len(shared) == 1 else 'subjects are'} in the {split} list and in "
        f"the {other} list of the {domain} domain: scores there are not those of unseen subjects"
        for other in others
        if (shared := subjects[split] & subjects[other])
    ]
