"""Guessing passwords is slow, and nobody can be locked out by somebody else's guesses.

Failures are counted for an address, and for a user *at* an address, never for a user alone: a stranger's
wrong guesses at one desk do not keep the user out at another. A check of a password holds one of a few slots,
no longer than the check itself takes: the form has been received whole by then.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

WINDOW_S = 600.0
PER_ADDRESS, PER_USER_AT_ADDRESS = 20, 5
SLOTS, SLOT_WAIT_S = 2, 5.0
MOST_KEYS = 10_000
MOST_WAITING = 16

Key = tuple[str, ...]


@dataclass(frozen=True)
class BlockedError(Exception):
    """A login is not tried: too many failed, or too many are being checked.

    Attributes:
        seconds: until another try makes sense.
        busy: whether the server is busy, rather than the address blocked.
    """

    seconds: int
    busy: bool = False


class Attempts:
    """Failed logins of the last ten minutes, in memory: a restart forgets them.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[Key, deque[float]] = OrderedDict()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(SLOTS)
        self._waiting: dict[str, int] = {}

    @contextmanager
    def attempt(self, address: str, user: str) -> Iterator[Callable[[], None]]:
        """Room for one check of a password; the block calls what it is given when the password was right.

        An attempt counts as failed from its beginning, so that many at once are not checked before the first
        one fails.

        Raises:
            BlockedError: instead of entering the block.
        """
        place = network_of(address)
        keys: dict[Key, int] = {(place,): PER_ADDRESS, (place, user): PER_USER_AT_ADDRESS}
        with self._lock:
            now = self._clock()
            for key, most in keys.items():
                times = self._recent(key, now)
                if len(times) >= most:
                    raise BlockedError(seconds=max(1, int(times[0] + WINDOW_S - now) + 1))
            if self._waiting.get(place, 0) >= SLOTS or sum(self._waiting.values()) >= MOST_WAITING:
                raise BlockedError(seconds=2, busy=True)
            self._waiting[place] = self._waiting.get(place, 0) + 1
            for key in keys:
                self._note(key, now)
        try:
            if not self._slots.acquire(timeout=SLOT_WAIT_S):
                self._forget_one(keys, now)
                raise BlockedError(seconds=int(SLOT_WAIT_S), busy=True)
            try:
                yield lambda: self._succeeded(place, user, now)
            finally:
                self._slots.release()
        finally:
            with self._lock:
                self._waiting[place] -= 1
                if not self._waiting[place]:
                    del self._waiting[place]

    def blocked(self) -> list[dict[str, object]]:
        """Addresses (and users at them) that cannot try now, with the seconds until they can."""
        with self._lock:
            now = self._clock()
            found: list[dict[str, object]] = []
            for key in list(self._failures):
                times = self._recent(key, now)
                if len(times) >= (PER_ADDRESS if len(key) == 1 else PER_USER_AT_ADDRESS):
                    entry: dict[str, object] = {
                        "address": key[0],
                        "seconds": int(times[0] + WINDOW_S - now) + 1,
                    }
                    found.append(entry if len(key) == 1 else {**entry, "user": key[1]})
            return found

    def free(self, address: str) -> int:
        """Forgets all failures at an address; returns how many counts there were."""
        place = network_of(address)
        with self._lock:
            keys = [key for key in self._failures if key[0] == place]
            for key in keys:
                del self._failures[key]
            return len(keys)

    def _recent(self, key: Key, now: float) -> deque[float]:
        times = self._failures.get(key)
        if times is None:
            return deque()
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        if not times:
            del self._failures[key]
        return times

    def _note(self, key: Key, now: float) -> None:
        self._failures.setdefault(key, deque()).append(now)
        self._failures.move_to_end(key)
        while len(self._failures) > MOST_KEYS:
            self._failures.popitem(last=False)

    def _succeeded(self, place: str, user: str, started: float) -> None:
        """A right password clears the user at the address, and takes back its own count of the address."""
        with self._lock:
            self._failures.pop((place, user), None)
        self._forget_one({(place,): PER_ADDRESS}, started)

    def _forget_one(self, keys: dict[Key, int], started: float) -> None:
        with self._lock:
            for key in keys:
                times = self._failures.get(key)
                if times is not None and started in times:
                    times.remove(started)
                    if not times:
                        del self._failures[key]


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network of an IPv6 address.

    >>> network_of("192.0.2.7"), network_of("2001:db8::7"), network_of("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8::/64', '192.0.2.7')
    """
    try:
        found = ipaddress.ip_address(address.strip("[]").split("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
