"""The shape of JSON answers: names and kinds, without the values that differ from server to server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMED = ("models", "trainers", "train_stats", "strategies", "scoring", "objects", "labels")
"""Keys whose entries are named by models, studies or the like: each entry counts as one `*`."""


def shape(value: Any, key: str = "") -> Any:
    """Dictionaries by their keys, lists by their first entry, everything else by its JSON kind."""
    if isinstance(value, Mapping):
        if key in NAMED:
            merged: dict[str, Any] = {}
            for entry in value.values():
                found = shape(entry)
                merged["*"] = {**found, **merged.get("*", {})} if isinstance(found, dict) else found
            return merged
        return {name: shape(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "null" if value is None else "text"


def lacks(ours: Any, stock: Any, path: str = "") -> dict[str, str]:
    """What the stock answer has and ours has not, or as another kind: place to a few words.

    Ours may have more. Where either has an empty list or null the kind is not known and nothing is said.
    """
    if isinstance(stock, dict) and isinstance(ours, dict):
        found: dict[str, str] = {}
        for name, entry in stock.items():
            place = f"{path}.{name}".lstrip(".")
            if name not in ours:
                found[place] = "missing"
            else:
                found |= lacks(ours[name], entry, place)
        return found
    if isinstance(stock, list) and isinstance(ours, list):
        return lacks(ours[0], stock[0], f"{path}[]") if stock and ours else {}
    if "null" in (ours, stock) or ours == stock:
        return {}
    return {path: f"{_kind(ours)} for {_kind(stock)}"}


def _kind(value: Any) -> str:
    return "object" if isinstance(value, dict) else "list" if isinstance(value, list) else str(value)
