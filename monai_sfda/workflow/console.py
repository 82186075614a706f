"""What a long command says on the terminal while its steps run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Announce = Callable[[str, float | None], None]


def make_console() -> Console:
    """A console; in a log file, which has no width of its own, wide enough for a table."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


@contextmanager
def announcing(console: Console, prefix: str = "") -> Iterator[Announce]:
    """A function for `Experiment.announce`: a spinner while a step runs, a line with its seconds after it."""
    status = console.status("")

    def announce(title: str, seconds: float | None) -> None:
        if seconds is None:
            status.update(f"{prefix}{title}")
            status.start()
        else:
            status.stop()
            console.print(f"  {seconds:6.0f} s  {prefix}{title}", highlight=False, markup=False)

    try:
        yield announce
    finally:
        status.stop()
