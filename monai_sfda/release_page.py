"""A release in plain words, for people who decide whether it may leave or be used: text for a terminal."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from monai_sfda.disclosure import LARGEST_SHARE, MINIMUM_SUBJECTS
from monai_sfda.release_entries import count_numbers
from monai_sfda.release_files import ATLAS, CLASS_RATIO, MODEL, PROTOTYPES
from monai_sfda.release_inspection import Inspection

WIDTH = 110
_LONGEST = 300
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def release_page(found: Inspection) -> str:
    """The whole page."""
    manifest = found.manifest
    title = f"Release of task {_word(manifest.get('task'))}, trained on the {_word(manifest.get('domain'))}"
    parts: list[tuple[str, Callable[[Inspection], Iterator[str]]]] = [
        ("Files", _files),
        ("Signature", _signature),
        ("What is in it", _contents),
        ("Behind each class's numbers", _classes),
        ("Withheld, and why", _withheld),
        ("What is not in it", _absent),
        ("Warnings", _warnings),
    ]
    lines = [title, f"SHA-256 of its manifest: {found.sha256}", _word(manifest.get("intended_use"))]
    for heading, make in parts:
        lines += ["", heading.upper()]
        try:
            made = list(make(found))
        except _UNREADABLE as error:
            made = [f"is not as a release of this version writes it ({type(error).__name__}: {error})"]
        lines += [wrapped for line in made for wrapped in _wrap(line)]
    return "\n".join(lines)


def _files(found: Inspection) -> Iterator[str]:
    rows = [
        (
            file.name,
            "-" if file.size is None else f"{file.size:,} bytes",
            file.state.upper() if file.state in ("altered", "missing", "unexpected") else file.state,
            file.what,
        )
        for file in found.files
    ]
    hashes = [file.sha256 for file in found.files]
    for row, sha256 in zip(_columns(rows), hashes, strict=True):
        yield row
        if sha256:
            yield f"    SHA-256 {sha256}"


def _signature(found: Inspection) -> Iterator[str]:
    state, key = found.signature["state"], found.signature["key"]
    if state == "none":
        yield "Not signed: nothing here says who made it."
    elif state == "valid":
        yield f"Signed by the key with the fingerprint {key}."
        yield (
            "The signature covers the manifest, which has the hashes of all files. Anybody can sign with a "
            "key of his own: compare the fingerprint with the source site, or run "
            "'monai-sfda release verify'."
        )
    else:
        yield "INVALID: the signature does not fit this release."


def _contents(found: Inspection) -> Iterator[str]:
    manifest = found.manifest
    modalities = ", ".join(f"{side} {name}" for side, name in manifest.get("modalities", {}).items())
    yield f"- Modalities: {modalities or 'not stated'}. Classes: {', '.join(manifest['labels'])}."
    for name, tensors in found.tensors.items():
        statistics = sum(tensor.endswith("running_mean") for tensor in tensors.shapes)
        batch_norm = f"; statistics of {statistics} batch-norm layers" if statistics else ""
        if name in (MODEL, CLASS_RATIO):
            yield (
                f"- {name}: {len(tensors.shapes)} tensors, {tensors.numbers:,} numbers{batch_norm}. They "
                "were learnt from the training subjects' scans and labels; what they remember of one cannot "
                "be read off (docs/privacy.md)."
            )
        else:
            shapes = ", ".join(
                f"{tensor} {'x'.join(map(str, s)) or '1'}" for tensor, s in tensors.shapes.items()
            )
            yield f"- {name}: {tensors.numbers:,} numbers: {shapes}."
    prototypes = manifest["prototypes"]
    yield (
        f"- Prototypes ({PROTOTYPES}): for each class the mean and covariance of the network's embeddings "
        f"of pixels that it segments rightly, with a confidence above {prototypes['rho']} where those are "
        "enough."
    )
    ratio = manifest["class_ratio"]
    if ratio is not None:
        yield (
            f"- Class ratios: mean and standard deviation over {ratio['subjects']} subjects of the share of "
            f"each class in a subject's pixels; {count_numbers(ratio)} numbers."
        )
    yield from _reference(manifest.get("reference_scans"))
    yield from _validation(manifest["validation"])
    atlas = manifest.get("atlas")
    if atlas is not None:
        yield (
            f"- Atlas ({ATLAS}): the mean over subjects of the share of each class in coarse cells of the "
            f"body ({'x'.join(map(str, atlas['cells']))} cells, {atlas['step_mm']} mm from foot to head), "
            f"blurred; anchored {json.dumps(atlas['anchored'])}."
        )
    if manifest.get("class_ratio_regressor") is not None:
        yield f"- Network that guesses class ratios: {_settings(manifest['class_ratio_regressor'])}."
    yield f"- Network: {json.dumps(manifest['network_def'])}"
    for side, settings in manifest["preprocessing"].items():
        yield f"- Preprocessing of the {side}: {_settings(settings)}."
    yield f"- Slices: {json.dumps(manifest['image_size'])} pixels."
    yield f"- Training: {_settings(manifest['training'])}."
    yield f"- Versions: {_settings(manifest['versions'])}."


def _reference(reference: Mapping[str, Any] | None) -> Iterator[str]:
    if reference is None:
        return
    yield (
        f"- Reference scans: what {reference['subjects']} subjects' scans ({reference['scans']}, of the "
        f"{reference['domain']}) are like: the mean histogram of {len(reference['histogram'])} bins, mean "
        "and variance of the embeddings by predicted class, and of these values the mean and standard "
        f"deviation over scans; {count_numbers(reference)} numbers."
    )
    for aspect, parts in reference["levels"].items():
        subjects = sorted({level["subjects"] for level in parts.values()})
        yield f"    {aspect}: {', '.join(parts)} (of {' or '.join(map(str, subjects))} subjects)"


def _validation(validation: Mapping[str, Any]) -> Iterator[str]:
    if "dice" not in validation:
        return
    yield (
        f"- Validation on {validation['cases']} scans ({_settings(validation['protocol'])}): means and "
        f"standard deviations, {count_numbers(validation)} numbers."
    )
    for metric, value in validation.items():
        if isinstance(value, Mapping) and "per_class" in value:
            of_class = {**value["per_class"], **value.get("per_region", {})}
            shown = ", ".join(f"{name} {_number(entry['mean'])}" for name, entry in of_class.items())
            yield f"    {metric}: {_number(value['mean'])} ({shown})"
    for name in ("undefined", "one_empty", "class_ratio_regressor"):
        if name in validation:
            yield f"    {name}: {json.dumps(validation[name])}"


def _classes(found: Inspection) -> Iterator[str]:
    manifest = found.manifest
    prototypes, ratio = manifest["prototypes"], manifest["class_ratio"] or {}
    shown_by = ratio.get("shown_by")
    dice = manifest["validation"].get("dice", {}).get("per_class", {})
    atlas = (manifest.get("atlas") or {}).get("subjects")
    heads = ("prototype: pixels", "subjects", "ratio: subjects", "mean share", "scores: scans")
    rows: list[tuple[str, ...]] = [("class", *heads, "atlas: subjects")]
    for name, index in manifest["labels"].items():
        shown = "not stated" if shown_by is None else _count(shown_by[index])
        share = f"{100 * ratio['mean'][index]:.3g}%" if ratio else "-"
        validated = _count(dice[name]["n"]) if name in dice else "-"
        pixels, subjects = (prototypes[key][index] for key in ("pixels", "subjects"))
        placed = "-" if atlas is None else _count(atlas[index])
        counts = (f"{pixels:,}", _count(subjects), shown if ratio else "-", share, validated, placed)
        rows.append((name, *counts))
    yield from _columns(rows)
    yield (
        f"Smallest number of subjects behind any of them, as the release states it: "
        f"{_word(manifest.get('minimum_subjects'))}; this version asks for {MINIMUM_SUBJECTS}, and that no "
        f"subject makes up more than {LARGEST_SHARE:.0%}. '{_count(None)}': fewer, or none."
    )


def _withheld(found: Inspection) -> Iterator[str]:
    manifest = found.manifest
    few = f"fewer than {MINIMUM_SUBJECTS} subjects, or nearly all from one"
    said = [f"- Prototypes: {warning}." for warning in manifest["prototypes"]["warnings"]]
    said += [f"- Atlas: {warning}." for warning in (manifest.get("atlas") or {}).get("warnings", ())]
    yield from said
    ratio = manifest["class_ratio"]
    names = list(manifest["labels"])
    hidden = []
    if ratio is None:
        hidden.append(f"- Class ratios: {few}.")
    else:
        shown_by = ratio.get("shown_by") or []
        lacking = [name for name, shown in zip(names, shown_by, strict=False) if shown is None]
        if lacking:
            hidden.append(f"- Class ratios: {', '.join(lacking)} count as absent: {few}.")
    reference = manifest.get("reference_scans")
    if reference is None:
        hidden.append(f"- Reference scans: {few}, or made by an earlier version.")
    else:
        lacking = [name for name, row in zip(names, reference["class_mean"], strict=False) if row is None]
        if lacking:
            hidden.append(f"- Reference scans: nothing of {', '.join(lacking)}: {few}.")
    validation = manifest["validation"]
    if "dice" not in validation:
        hidden.append(f"- Validation: {few}, or no validation scans.")
    for name, entry in validation.get("dice", {}).get("per_class", {}).items():
        if entry["mean"] is None:
            hidden.append(f"- Validation: no score of {name}: {few}.")
    yield from hidden
    if not said and not hidden:
        yield "Nothing."


def _absent(found: Inspection) -> Iterator[str]:
    if not found.nothing_else:
        yield "Cannot be said: there are files or entries that no release of this version has."
        return
    yield "All files and entries are of the kinds above, and the files are those that the manifest lists:"
    yield "- no image, no part of one, no label map"
    if not found.few_subjects:
        yield "- no number that one subject's scan alone decides: sums over subjects, as above"
    if not found.names:
        yield "- no name, date or identifier of a person, a scan or a file"
    yield "What can be guessed from it all the same is measured in docs/privacy.md."


def _warnings(found: Inspection) -> Iterator[str]:
    for where, value in found.unknown:
        text = json.dumps(value)
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... ({len(text)} characters)"
        yield f"- UNKNOWN entry '{where}' of the manifest: {shown}"
    yield from (f"- {warning}" for warning in (*found.warnings, *found.names, *found.few_subjects))
    if found.nothing_else and not (found.warnings or found.names or found.few_subjects):
        yield "None."


def _settings(content: Mapping[str, Any], before: str = "") -> str:
    """Nested settings in one line."""
    parts = []
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            parts.append(_settings(value, f"{before}{name}."))
        else:
            parts.append(f"{before}{name} {value if isinstance(value, str) else json.dumps(value)}")
    return ", ".join(parts)


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _wrap(line: str) -> list[str]:
    """Lines of at most `WIDTH` characters; a table's, whose spaces matter, are left as they are."""
    if len(line) <= WIDTH or "  " in line.strip():
        return [line]
    start = len(line) - len(line.lstrip())
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * (start + 2), break_on_hyphens=False)


def _word(value: Any) -> str:
    return "not stated" if value is None else str(value)


def _count(value: int | None) -> str:
    return "withheld" if value is None or value == 0 else f"{value:,}"


def _number(value: float | None) -> str:
    return "withheld" if value is None else f"{value:.3g}"
