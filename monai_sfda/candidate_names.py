"""How the weights that a run could publish are called: in records, in files, and to people."""

from __future__ import annotations

UNADAPTED = "unadapted"
"""The source's weights: always a candidate."""
LAST = "last"
"""The weights that the method ended with."""


def candidate_name(epoch: int) -> str:
    """How weights that were kept at the end of an epoch are called in records and files."""
    return f"epoch_{epoch:04d}"


def candidate_title(name: str) -> str:
    """A candidate's name for people.

    >>> candidate_title("epoch_0012"), candidate_title("last")
    ('epoch 12', 'last')
    """
    word, _, number = name.partition("_")
    return f"{word} {int(number)}" if number.isdecimal() else name


def candidate_weights(name: str) -> str:
    """A candidate's weights in a sentence.

    >>> candidate_weights("epoch_0012"), candidate_weights("last")
    ('the weights of epoch 12', 'the last weights')
    """
    title = candidate_title(name)
    return f"the weights of {title}" if title != name else f"the {name} weights"
