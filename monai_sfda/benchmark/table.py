"""One table of a comparison: means and spreads over seeds, for JSON, Markdown and the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from monai_sfda.evaluation.comparison import NOTHING, with_minus_sign

Row = dict[str, Any]

MOST_STRUCTURES = 8
"""So many have columns of their own beside the means; more of them have a table of their own on the page."""


def over_seeds(per_seed: Mapping[int, Sequence[Row]]) -> list[Row]:
    """The rows of several seeds as one row a result.

    A mean leaves out seeds where the value is undefined; `n` counts the others. Standard deviations are of a
    sample (divided by n - 1), None for one seed.

    Args:
        per_seed: seed to its rows, as `Experiment.table` gives them, each perhaps with `measures`, name to
            number. The rows of all seeds have the same titles in the same order.

    Returns:
        Rows with `title`, `seeds`, `dice`, `assd_mm`, `gap_closed`, `seconds` and every measure as
        `{"mean", "std", "n", "per_seed"}`, `dice_per_structure` and `dice_per_region` with such an entry
        each, `assd_left_out` (organs of cases, in all), `peak_memory_bytes` (the highest), `cases` and
        `protocol` (of the first seed).
    """
    columns = list(zip(*per_seed.values(), strict=True))
    return [_combine(rows) for rows in columns]


def _combine(rows: Sequence[Row]) -> Row:
    first = rows[0]
    peaks = [row["peak_memory_bytes"] for row in rows if row["peak_memory_bytes"] is not None]
    measures = {name for row in rows for name in row.get("measures", {})}
    return {
        "title": first["title"],
        "seeds": len(rows),
        **{key: _spread([row[key] for row in rows]) for key in ("dice", "assd_mm", "gap_closed", "seconds")},
        **{
            key: {name: _spread([row[key][name] for row in rows]) for name in first.get(key, {})}
            for key in ("dice_per_structure", "dice_per_region")
        },
        "assd_left_out": sum(row["assd_left_out"] for row in rows),
        "peak_memory_bytes": max(peaks) if peaks else None,
        "cases": first["cases"],
        "protocol": first["protocol"],
        "measures": {
            name: _spread([row.get("measures", {}).get(name) for row in rows]) for name in sorted(measures)
        },
    }


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.mean(known) if known else None,
        "std": statistics.stdev(known) if len(known) > 1 else None,
        "n": len(known),
        "per_seed": list(values),
    }


def cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the table, as text.

    A column without any entry (no seconds known, no measure, no distances of pictures) is left out, and so
    are structures when there are more than `MOST_STRUCTURES`.
    """
    structures = list(rows[0]["dice_per_structure"])
    if len(structures) > MOST_STRUCTURES:
        structures = []
    regions = list(rows[0].get("dice_per_region", {}))
    measures = list(dict.fromkeys(name for row in rows for name in row["measures"]))
    head = [
        "",
        *[name.replace("_", " ") for name in structures],
        *[f"{name.replace('_', ' ')} (region)" for name in regions],
        "mean Dice",
        "gap closed",
        "ASSD mm",
        "seconds",
        "peak memory GiB",
        *measures,
    ]
    body = []
    for row in rows:
        assd = row["assd_mm"]["mean"] is not None and row["assd_left_out"]
        left_out = f", {row['assd_left_out']} left out" if assd else ""
        peak = row["peak_memory_bytes"]
        body.append(
            [
                row["title"],
                *[_number(row["dice_per_structure"][name]["mean"], 3) for name in structures],
                *[_number(row["dice_per_region"][name]["mean"], 3) for name in regions],
                _with_std(row["dice"], 3),
                _gap(row["gap_closed"]),
                _with_std(row["assd_mm"], 1) + left_out,
                _number(row["seconds"]["mean"], 0),
                _number(None if peak is None else peak / 2**30, 1),
                *[_measure(row["measures"][name]) if name in row["measures"] else "" for name in measures],
            ]
        )
    kept = [i for i, title in enumerate(head) if i == 0 or any(line[i] not in ("", NOTHING) for line in body)]
    return [head[i] for i in kept], [[line[i] for i in kept] for line in body]


def structure_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the mean Dice of each structure, a line each, where `cells` has left them out."""
    head = ["Dice", *[row["title"] for row in rows]]
    body = [
        [name.replace("_", " "), *[_number(row["dice_per_structure"][name]["mean"], 3) for row in rows]]
        for name in rows[0]["dice_per_structure"]
    ]
    return head, body if len(body) > MOST_STRUCTURES else []


def _number(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else with_minus_sign(f"{value:.{decimals}f}")


def _with_std(entry: Mapping[str, Any], decimals: int) -> str:
    spread = "" if entry["std"] is None else f" ± {entry['std']:.{decimals}f}"
    return _number(entry["mean"], decimals) + spread


def _measure(entry: Mapping[str, Any]) -> str:
    if any(isinstance(value, float) for value in entry["per_seed"]):
        return _with_std(entry, 3)
    return _with_std(entry, 0 if len(entry["per_seed"]) == 1 else 1)  # a count


def _gap(entry: Mapping[str, Any]) -> str:
    if entry["mean"] is None:
        return ""
    each = ", ".join(NOTHING if g is None else with_minus_sign(f"{g:.0%}") for g in entry["per_seed"])
    mean = with_minus_sign(f"{entry['mean']:.0%}")
    return mean if len(entry["per_seed"]) == 1 else f"{mean} ({each})"


def as_terminal(title: str, rows: Sequence[Row]) -> Table:
    """The table for the terminal."""
    head, body = cells(rows)
    more = len(structure_cells(rows)[1])
    table = Table(title=title, caption=f"Dice of the {more} structures: on the page" if more else None)
    for name in head:
        table.add_column(name, justify="left" if name == "" else "right")
    for line in body:
        table.add_row(*line)
    return table


def as_markdown(content: Mapping[str, Any]) -> str:
    """The page of a comparison from its JSON: what it is, the table, what the paper reports, the figure."""
    head, body = cells(content["rows"])
    seeds, cases = ", ".join(content["seeds"]), content["rows"][0]["cases"]
    about = [
        "Phantom results: simulated scans, not patients; not for diagnosis."
        if content["phantom"]
        else "Research results, not for diagnosis.",
        f"{content['configuration']}, seed{'s' if len(content['seeds']) > 1 else ''} {seeds},",
        f"{cases} target test case{'s' if cases > 1 else ''} a seed that no training or adaptation has seen,",
        f"evaluation protocol `{content['rows'][0]['protocol']}`.",
        f"Made by `{content['command']}`.",
    ]
    notes = [
        "Mean ± standard deviation over seeds. The gap closed is (adapted - unadapted) / (bound - unadapted) "
        "in mean Dice."
    ]
    if "ASSD mm" in head:
        notes.append("ASSD leaves out organs that one of the two masks lacks, and counts them.")
    if "seconds" in head:
        notes.append(
            "Seconds and peak memory (host) are of the whole process that adapts, or trains the bound, with "
            "reading and reporting; steps that were interrupted have none."
        )
    structure_head, structure_body = structure_cells(content["rows"])
    return "\n".join(
        [
            f"# {content['title']}",
            "",
            " ".join(about),
            "",
            content["shows"],
            "",
            *_markdown_table(head, body),
            *(_markdown_table(structure_head, structure_body) if structure_body else []),
            " ".join(notes),
            "",
            f"The paper, on its own data and protocol: {content['paper']}",
            "",
            f"![{content['title']}]({content['name']}.png)",
            "",
        ]
    )


def _markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(line) + " |" for line in (head, *body)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:], ""]
