"""Whether an evaluation scored the weights that its name in a report says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_sfda.errors import DataError
from monai_sfda.evaluation.comparison import ADAPTED, BOUND, UNADAPTED
from monai_sfda.evaluation.moments import PUBLISHED

HASH = "checkpoint_sha256"


def check_scored_weights(record: Mapping[str, Any], summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Compares the hash of the weights that each result scored with those of the run.

    `unadapted` must have scored the release's `model.pt`; `adapted` the run's `adapted.pt`, or its `model.pt`
    where that is no unadapted model; `published` its `model.pt`; the supervised bound none of them.

    Args:
        record: `adaptation.json`.
        summaries: result name to `summary.json`.

    Returns:
        Warnings for results, or a run, of an earlier version that recorded no hash.

    Raises:
        DataError: when a result scored other weights than its name says.
    """
    source = record.get("source_model_sha256")
    last, published = record.get("adapted_sha256"), record.get("model_sha256")
    # The method `none` ends with the source's weights, and they are its own.
    adapted = {sha256 for sha256 in (last, published) if sha256 and (sha256 != source or sha256 == last)}
    named = [name for name in (UNADAPTED, ADAPTED, PUBLISHED, BOUND) if name in summaries]
    if named and (source is None or not adapted):
        return [
            "This run recorded no hash of its weights, so it was not checked that "
            f"{_listed(named)} scored the right ones. Adapt again to have it checked."
        ]
    unknown = [name for name in named if not summaries[name].get(HASH)]
    for name in named:
        scored = summaries[name].get(HASH)
        if not scored:
            continue
        if name == UNADAPTED and scored != source:
            raise _mistaken(name, scored, source, adapted, "the release's model.pt")
        if name == ADAPTED and scored not in adapted:
            raise _mistaken(name, scored, source, adapted, "this run's adapted.pt")
        if name == PUBLISHED and scored != published:
            raise _mistaken(name, scored, source, adapted, "this run's model.pt")
        if name == BOUND and scored in adapted | {source}:
            remedy = "the model.pt that train.json made from the target's labels (--domain target)"
            raise _mistaken(name, scored, source, adapted, remedy)
    if not unknown:
        return []
    return [
        f"The evaluation of {_listed(unknown)} recorded no hash of its weights, so it was not checked that "
        "it scored the right ones. Evaluate again to have it checked."
    ]


def _mistaken(name: str, scored: str, source: Any, adapted: set[Any], right: str) -> DataError:
    if scored == source:
        found = "the release's model.pt"
    elif scored in adapted:
        found = "this run's adapted weights"
    else:
        found = "weights of neither this run nor its release"
    return DataError(
        f"result '{name}' was scored with {found}",
        path="summary.json",
        remedy=f"evaluate with --checkpoint {right} for '{name}', or give the right folder under this name",
    )


def _listed(names: list[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)
