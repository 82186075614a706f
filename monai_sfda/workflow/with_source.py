"""`uda.json`: from labelled source scans and unlabelled target scans to an adapted model.

It runs the methods that are not source-free. Prior matching has networks and a source model of its own; any
other adapts a release. The run folder is that of `adapt.json`, so that evaluation, inference and report read
it, and its record and report say what was read of the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_sfda.data.stacks import StackDataset
from monai_sfda.errors import SettingError
from monai_sfda.methods import METHODS, Method, create_method
from monai_sfda.methods.prior_matching import PriorMatching
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.workflow.configuration import current_parser
from monai_sfda.workflow.paired_job import PairedJob
from monai_sfda.workflow.release_with_source import adapt_release_with_source
from monai_sfda.workflow.uda import match_priors


def network_for(method: str) -> SegmentationNetwork:
    """The network that a method of `uda.json` trains, made from the configuration that is being run.

    Prior matching has `uda_network_def`; any other adapts the bundle's own network.

    Raises:
        SettingError: when the bundle has none for it, or the method is none of `uda.json`.
    """
    key = "uda_network_def" if isinstance(_create(method, None), PriorMatching) else "network_def"
    parser = current_parser()
    if key not in parser.get():
        raise SettingError(
            f"the bundle has no network for method '{method}': no {key} is in its uda.json",
            remedy="use another method, or a bundle that has it",
        )
    network: SegmentationNetwork = parser.get_parsed_content(key)
    return network


def section_for(method: str, uda: Mapping[str, Any], adaptation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section with a method's lengths: `uda` for prior matching, else `adaptation`."""
    return uda if isinstance(_create(method, None), PriorMatching) else adaptation


def adapt_with_source(
    network: SegmentationNetwork,
    source: StackDataset,
    target: StackDataset,
    validation: StackDataset | None = None,
    *,
    method: str,
    settings: Mapping[str, Any] | None,
    section: Mapping[str, Any],
    target_scan: int | str | None,
    target_slices: int | None,
    bundle_root: str | Path,
    output_dir: str | Path,
    release: str | Path | None = None,
    stage: str = "both",
    source_model: str | Path | None = None,
    augmentation: Mapping[str, float],
    target_augmentation: Mapping[str, float] | None = None,
    uda_augmentation: Mapping[str, float] | None = None,
    **options: Any,
) -> None:
    """Adapts a source model with the source's labelled scans at hand, and writes the run folder.

    No label of the target is opened, unless the method's settings read them (a benchmark), which the record
    and the report then say. An unfinished run in the same folder goes on.

    Args:
        network: of `network_for`.
        source: labelled source stacks.
        target: target stacks, without labels.
        validation: held-out labelled source stacks; read by prior matching with its section's `patience`.
        method: name of a method that needs source data.
        settings: of the method.
        section: of `section_for`, see `UdaSettings` and `AdaptationSettings`.
        target_scan: n, the n-th of the target's scans in an order drawn by the seed, or `all`; None: 1 for
            prior matching, else `all`.
        target_slices: so many consecutive slices of them; None for all.
        bundle_root: folder of this bundle, from which the adapted one is made.
        output_dir: the run folder.
        release: the release that is adapted; not for prior matching.
        stage: of prior matching: `both`, or `source` for the source model alone, which goes straight into
            `output_dir`.
        source_model: of prior matching: folder of a finished source model, which is then adapted; None trains
            it into `output_dir/source`.
        augmentation: of the source's slices; not for prior matching.
        target_augmentation: of the target's slices; None for the source's; not for prior matching.
        uda_augmentation: of both domains' slices in prior matching.
        options: the rest of `PairedJob`.

    Raises:
        DataError, SettingError, ReleaseError, CheckpointError, OutputError: see their texts.
    """
    chosen = _create(method, settings)
    matching = isinstance(chosen, PriorMatching)
    job = PairedJob(
        network,
        source,
        target,
        target_scan=target_scan if target_scan is not None else 1 if matching else "all",
        target_slices=target_slices,
        bundle_root=Path(bundle_root),
        out=Path(output_dir),
        section=section,
        augmentation=uda_augmentation if matching and uda_augmentation is not None else augmentation,
        **options,
    )
    if isinstance(chosen, PriorMatching):
        if release is not None:
            raise SettingError(
                f"method '{method}' has no use for a release: it trains a source model of its own",
                remedy="leave release out; source_model takes one that is finished",
            )
        match_priors(job, chosen, validation, stage=stage, source_model=source_model)
        return
    if stage != "both" or source_model is not None:
        raise SettingError(
            f"method '{method}' has no use for {'stage' if stage != 'both' else 'source_model'}: it adapts a "
            "release",
            remedy="run train.json, and give what it wrote as --release",
        )
    job.choose_scan()
    adapt_release_with_source(
        job, method, settings=settings, release=release, target_augmentation=target_augmentation
    )


def _create(method: str, settings: Mapping[str, Any] | None) -> Method[Any]:
    """The method; a `SettingError` for one that adapt.json runs."""
    chosen = create_method(method, settings)
    if "source_data" not in chosen.requires:
        with_source = [name for name, known in METHODS.items() if "source_data" in known.requires]
        raise SettingError(
            f"method '{method}' needs no source scans",
            remedy=f"run adapt.json, or use {', '.join(with_source)}",
        )
    return chosen
