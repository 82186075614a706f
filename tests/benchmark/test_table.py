"""Tables over seeds: against numpy, with what is undefined, and what a reader must be told."""

from __future__ import annotations

import numpy as np
import pytest

from monai_sfda.benchmark.table import as_markdown, cells, over_seeds, structure_cells


def row(title, dice, *, gap=None, assd=2.0, left_out=0, seconds=None, peak=None, **measures):
    return {
        "title": title,
        "dice": dice,
        "dice_per_structure": {"liver": dice, "left_kidney": None if dice is None else dice / 2},
        "assd_mm": assd,
        "assd_left_out": left_out,
        "gap_closed": gap,
        "cases": 3,
        "protocol": "whole_volume",
        "seconds": seconds,
        "peak_memory_bytes": peak,
        "measures": measures,
    }


PER_SEED = {
    0: [row("unadapted", 0.4), row("SFS", 0.6, gap=0.5, seconds=10.0, peak=2**30, swd=0.2, lowered=1)],
    1: [row("unadapted", 0.5), row("SFS", 0.55, gap=0.25, assd=None, left_out=2, swd=0.1, lowered=2)],
    2: [row("unadapted", 0.45), row("SFS", 0.4, gap=-0.1, seconds=14.0, peak=3 * 2**30, swd=None, lowered=0)],
}


def test_means_and_standard_deviations_are_numpys():
    unadapted, sfs = over_seeds(PER_SEED)
    assert unadapted["dice"]["mean"] == pytest.approx(np.mean([0.4, 0.5, 0.45]))
    assert unadapted["dice"]["std"] == pytest.approx(np.std([0.4, 0.5, 0.45], ddof=1))
    assert sfs["gap_closed"]["per_seed"] == [0.5, 0.25, -0.1]
    assert sfs["measures"]["swd"]["mean"] == pytest.approx(0.15)
    assert sfs["measures"]["swd"]["n"] == 2
    assert sfs["seconds"]["mean"] == pytest.approx(12)
    assert sfs["peak_memory_bytes"] == 3 * 2**30
    assert (sfs["assd_mm"]["n"], sfs["assd_left_out"]) == (2, 2)


def test_one_seed_has_no_standard_deviation_and_none_has_no_mean():
    (only,) = over_seeds({7: [row("SFS", None, assd=None)]})
    assert (only["dice"]["mean"], only["dice"]["std"], only["dice"]["n"]) == (None, None, 0)
    assert over_seeds({7: [row("SFS", 0.5)]})[0]["dice"]["std"] is None


def test_cells_show_what_is_left_out_and_drop_empty_columns():
    head, body = cells(over_seeds(PER_SEED))
    line = dict(zip(head, body[1], strict=True))
    assert line["mean Dice"] == "0.517 ± 0.104"
    assert line["gap closed"] == "22% (50%, 25%, −10%)"
    assert line["ASSD mm"] == "2.0 ± 0.0, 2 left out"
    assert line["peak memory GiB"] == "3.0"
    assert line["lowered"] == "1.0 ± 1.0"
    assert dict(zip(head, body[0], strict=True))["gap closed"] == ""
    assert "seconds" not in cells(over_seeds({0: [row("unadapted", 0.4)]}))[0]
    assert all(len(line) == len(head) for line in body)


@pytest.mark.parametrize("phantom", [True, False])
def test_a_page_says_what_it_is_of(phantom):
    page = as_markdown(
        {
            "name": "rho",
            "title": "Rho",
            "configuration": "`small.json`",
            "phantom": phantom,
            "seeds": {"0": [], "1": [], "2": []},
            "rows": over_seeds(PER_SEED),
            "command": "monai-sfda benchmark --ablation rho",
            "shows": "what it shows",
            "paper": "Figure 4",
        }
    )
    assert ("Phantom results: simulated scans, not patients" in page) == phantom
    assert "not for diagnosis" in page
    assert "3 target test cases a seed" in page
    assert "evaluation protocol `whole_volume`" in page
    for text in ("seeds 0, 1, 2", "monai-sfda benchmark --ablation rho", "Figure 4", "](rho.png)", "| SFS |"):
        assert text in page


def test_many_structures_have_a_table_of_their_own():
    """Nineteen columns would leave no room for the means, on the terminal or the page."""
    rows = [row(title, 0.5, assd=None, left_out=4, **{"mean IoU": 0.25}) for title in ("unadapted", "MAS3")]
    for entry in rows:
        entry["dice_per_structure"] = {f"class_{n}": n / 20 for n in range(19)}
    combined = over_seeds({0: rows})
    assert cells(combined)[0] == ["", "mean Dice", "mean IoU"]
    head, body = structure_cells(combined)
    assert head == ["Dice", "unadapted", "MAS3"]
    assert body[3] == ["class 3", "0.150", "0.150"]
    page = as_markdown(
        {
            "name": "methods",
            "title": "Methods",
            "configuration": "`small.json`",
            "phantom": True,
            "seeds": {"0": []},
            "rows": combined,
            "command": "monai-sfda benchmark",
            "shows": "what it shows",
            "paper": "nothing",
        }
    )
    assert "| class 18 | 0.900 | 0.900 |" in page
    assert "ASSD" not in page
    assert structure_cells(over_seeds(PER_SEED))[1] == []
