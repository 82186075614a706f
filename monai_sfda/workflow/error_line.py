"""Makes the last printed line of a failed run ours, whatever MONAI wraps round the error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from monai_sfda.errors import OutputError, SfdaError

SHOW_TRACEBACK = "MONAI_SFDA_TRACEBACK"


def find_own_error(error: BaseException) -> SfdaError | None:
    """The package's own error in a chain of causes; a full disk or a forbidden file counts as one."""
    chain = list(_causes(error))
    for link in chain:
        if isinstance(link, SfdaError):
            return link
    for link in chain:
        if isinstance(link, OSError) and link.errno is not None and link.filename is not None:
            return OutputError(
                (link.strerror or type(link).__name__).lower(),
                path=Path(str(link.filename)).name,
                remedy="check that the file exists, may be read or written, and that the disk has space left",
            )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, as Python's own report would show it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def error_line(error: SfdaError) -> str:
    """`monai_sfda: error: <what> in <file>: <remedy>`, on one line."""
    return "monai_sfda: error: " + " ".join(str(error).split())


def install() -> None:
    """Prints every error as one last line on standard error, ours without a traceback.

    Set MONAI_SFDA_TRACEBACK=1 to see the traceback as well. Other errors keep Python's own report.
    """
    if getattr(sys.excepthook, "prints_own_errors", False):
        return
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        """Python's own report where it helps, then one line."""
        own = find_own_error(error)
        interrupted = any(isinstance(link, KeyboardInterrupt) for link in _causes(error))
        if (own is None and not interrupted) or os.environ.get(SHOW_TRACEBACK):
            before(kind, error, traceback)
        for bar in list(getattr(tqdm, "_instances", ())):
            bar.close()
        sys.stdout.flush()
        if own is None and interrupted:
            own = SfdaError(
                "interrupted", remedy="run the same command again: it goes on from its checkpoint"
            )
        if own is None:
            innermost = list(_causes(error))[-1]
            words = " ".join(str(innermost).split())[:200]
            own = SfdaError(
                f"unexpected {type(innermost).__name__}: {words}",
                remedy="this is a fault of the software; report it with the traceback above",
            )
        print(error_line(own), file=sys.stderr, flush=True)

    hook.prints_own_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook
