"""`monai-sfda shift` and `monai-sfda drift`: are scans like those that a model knows, and are they still?"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

UsualShare = Annotated[
    float, typer.Option(help="Share of scans that may be unfamiliar though nothing has changed.")
]


def shift(
    model: Annotated[
        Path, typer.Option(help="A release, a bundle, or the folder of train.json or adapt.json.")
    ],
    scans: Annotated[Path, typer.Option(help="Folder of scans; no label is read.")],
    out: Annotated[Path, typer.Option(help="Folder to write; the same one goes on with what is missing.")],
    domain: Annotated[
        str, typer.Option(help="source or target: whose preprocessing the scans get.")
    ] = "target",
    order: Annotated[
        str | None,
        typer.Option(
            help="Order in time for the test of drift: acquired (DICOM), modified (files) or listed (names); "
            "by default acquired where every header has it, else listed."
        ),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Test drift from here on, e.g. when the model became active.")
    ] = None,
    usual_share: UsualShare = 0.05,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda ...; by default a GPU where there is one.")
    ] = None,
) -> None:
    """Score how far scans are from those that a model knows, which to label first, and whether they drift."""
    from monai_sfda.guard.drift import DriftTest
    from monai_sfda.workflow.shift import score_scans

    found = score_scans(
        model,
        scans,
        out,
        domain=domain,
        device=device,
        order=order,
        since=since,
        test=DriftTest(usual_share=usual_share),
    )
    counts = found["verdicts"]
    bad = [str(scan["case"]) for scan in found["scans"] if "error" in scan]
    print(", ".join(f"{counts.get(word, 0)} {word}" for word in ("familiar", "unusual", "unlike")))
    if found["label_first"]:
        print("label first: cases " + ", ".join(map(str, found["label_first"][:10])))
    drifts = found["drift"]
    print(
        f"drift is not tested: the model was not made for {domain} scans"
        if drifts is None
        else drifts["words"]
    )
    if bad:
        print(f"could not be scored: cases {', '.join(bad)}")
    print(out / "shift.html")
    if bad:
        raise typer.Exit(1)


def drift(
    scores: Annotated[
        list[Path], typer.Argument(help="shift.json files, or their folders, of one model, oldest first.")
    ],
    usual_share: UsualShare = 0.05,
) -> None:
    """Test over the scores of several runs whether scans drift away from what the model knows."""
    from monai_sfda.guard.drift import DriftTest
    from monai_sfda.workflow.shift import drift_over

    print(drift_over(scores, DriftTest(usual_share=usual_share))["words"])
