"""The report of a fine-tuning: one self-contained HTML file. It numbers the scans and names none."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from monai_sfda.engines.before_after import Picture
from monai_sfda.evaluation.figures import curves
from monai_sfda.evaluation.report_content import VERDICTS
from monai_sfda.files import write_atomically

MEANING = {
    "accept": "The tuned weights are better on corrected studies of subjects that they have not learnt.",
    "reject": "The tuned weights are worse on corrected studies of subjects that they have not learnt.",
    "unsure": "Too few subjects were held out, or the difference is too small, to say which is better.",
}


def write_tuning_report(path: Path, record: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
    """Writes the report.

    Args:
        path: of the file.
        record: `adaptation.json` of the fine-tuning.
        pictures: of a few scans before and after.

    Raises:
        OutputError: when it cannot be written.
    """
    loader = jinja2.PackageLoader("monai_sfda.label.adaptation", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    history = [(row["iteration"], row["name"], row["value"]) for row in record["history"]]
    text = environment.get_template("tuning_report.html.j2").render(
        record=record,
        verdict=VERDICTS[record["verdict"]][0],
        meaning=MEANING[record["verdict"]],
        rows=[(name, *pair) for name, pair in record["held_out"]["dice"].items()],
        pictures=[(p.caption.replace("source model", "model before"), _data_uri(p.png)) for p in pictures],
        curve=_data_uri(curves(history)) if history else None,
    )
    write_atomically(path, text.encode())


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
