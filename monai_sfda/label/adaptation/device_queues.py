"""Queues with one worker a device, so that no two jobs compute on one at once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)


@dataclass
class AtWork:
    """A job that a thread works on.

    Attributes:
        stop: set when it is to end.
        ended: set when it has.
        why: who or what asked it to end.
        interrupted: whether it ends with the server.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    interrupted: bool = False


class DeviceQueues:
    """First come, first served, a thread a device.

    Args:
        run: does one job; called in its device's thread, must not raise.
    """

    def __init__(self, run: Callable[[str, AtWork], None]) -> None:
        self._run = run
        self._changed = threading.Condition(threading.RLock())
        self._waiting: dict[str, deque[str]] = {}
        self._at_work: dict[str, AtWork] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed

    def put(self, device: str, identifier: str) -> None:
        """Adds a job at the end of a device's queue."""
        with self._changed:
            self._waiting.setdefault(device, deque()).append(identifier)
            if device not in self._threads:
                thread = threading.Thread(
                    target=self._serve, args=(device,), name=f"jobs on {device}", daemon=True
                )
                self._threads[device] = thread
                thread.start()
            self._changed.notify_all()

    def take_out(self, identifier: str) -> bool:
        """Removes a job that waits; whether it did."""
        with self._changed:
            for queue in self._waiting.values():
                if identifier in queue:
                    queue.remove(identifier)
                    return True
        return False

    def ask_to_stop(self, identifier: str, why: str) -> AtWork | None:
        """Asks a job that is worked on to end; None when it is not."""
        with self._changed:
            found = self._at_work.get(identifier)
            if found is not None:
                found.why = why
                found.stop.set()
            return found

    def at_work(self) -> list[str]:
        """Jobs that are worked on."""
        with self._changed:
            return list(self._at_work)

    def waiting(self) -> list[str]:
        """Jobs that wait, device by device."""
        with self._changed:
            return [identifier for queue in self._waiting.values() for identifier in queue]

    def close(self, why: str, patience: float) -> list[str]:
        """Ends all work; returns the jobs that had not begun.

        Args:
            why: for the records.
            patience: seconds to wait for each thread.
        """
        with self._changed:
            self._closed = True
            left = self.waiting()
            for queue in self._waiting.values():
                queue.clear()
            for running in self._at_work.values():
                running.why, running.interrupted = why, True
                running.stop.set()
            self._changed.notify_all()
        for thread in list(self._threads.values()):
            thread.join(patience)
        return left

    def _serve(self, device: str) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._waiting[device]))
                if self._closed:
                    return
                identifier = self._waiting[device].popleft()
                running = self._at_work[identifier] = AtWork()
            try:
                self._run(identifier, running)
            except Exception as error:  # the next job must have its turn
                logger.error("job %s ended by a fault (%s)", identifier, type(error).__name__)
            finally:
                with self._changed:
                    self._at_work.pop(identifier, None)
                running.ended.set()
