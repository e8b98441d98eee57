"""The broker's dictionary: which CURVE key is whose, out of the roster that the key server pushed.

Rules: a roster counts once it verifies against the pinned root and is newer than the last. It replaces the dictionary
in one assignment, so that a revocation acts on the next message. An expired roster knows nobody but the key server. The
names `broker`, `keyserver` and `guest-…` are taken: no member gets a message that was meant for those.
Leaves to others: signatures and the chain (secagg.roster.chain), connections (broker.py).
Source: docs/transport.md "Sockets".
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from secagg.errors import SecaggError, VerificationFailed
from secagg.roster.chain import open_roster
from secagg.roster.members import Roster
from secagg.transport.link import BROKER, GUEST, KEYSERVER

FILE = "roster.bin"
"""The last roster, so that after a restart the members are let in before the key server has spoken."""


class Directory:
    """Names and keys; `wall` returns unix seconds."""

    def __init__(
        self,
        federation: str,
        root_fingerprint: str,
        keyserver_key: bytes,
        wall: Callable[[], int],
        state_dir: Path | None = None,
    ) -> None:
        self._federation = federation
        self._root = root_fingerprint
        self._wall = wall
        self._file = state_dir / FILE if state_dir else None
        self._roster: Roster | None = None
        self._keyserver = keyserver_key
        self._keys = MappingProxyType({KEYSERVER: keyserver_key})
        self._names = MappingProxyType({keyserver_key: KEYSERVER})
        self._serving = frozenset({keyserver_key})

    @property
    def version(self) -> int:
        """Return the version of the roster in force, 0 before the first."""
        return self._roster.version if self._roster else 0

    def load(self) -> None:
        """Take up the roster that was in force before a restart, unless it has expired or is damaged since."""
        if self._file and self._file.exists():
            with suppress(SecaggError):
                self._adopt(self._verified(self._file.read_bytes()))

    def push(self, data: bytes) -> bool:
        """Put a signed roster in force; False when it is not newer than the one that is.

        Raises: VerificationFailed or WireError; the one in force stays.
        """
        roster = self._verified(data)
        if roster.version <= self.version:
            return False
        if self._file:
            _write(self._file, data)
        self._adopt(roster)
        return True

    def name_of(self, key: bytes) -> str | None:
        """Return whose key this is, None when nobody's."""
        name = self._names.get(key)
        return name if name == KEYSERVER or not self._expired() else None

    def key_of(self, name: str) -> bytes | None:
        """Return the key of a name, None when nobody is called so."""
        return self._keys.get(name) if name == KEYSERVER or not self._expired() else None

    def serves_all(self, key: bytes) -> bool:
        """Say whether this is the key of the key server or an aggregator, who answer everybody."""
        return key in self._serving

    def _expired(self) -> bool:
        return self._roster is not None and self._wall() >= self._roster.expires

    def _verified(self, data: bytes) -> Roster:
        # `push` recognises older versions and lets them be acknowledged: the outbox may resend one that was overtaken.
        roster = open_roster(data, self._root, self._wall(), None)
        if roster.federation != self._federation:
            raise VerificationFailed(
                f"The roster is of federation {roster.federation}, this broker serves {self._federation}.",
                "Check name and root_fingerprint in the broker's configuration.",
            )
        return roster

    def _adopt(self, roster: Roster) -> None:
        keys = {m.name: m.curve_key for m in roster.members if not _taken(m.name) and m.curve_key != self._keyserver}
        keys[KEYSERVER] = self._keyserver
        self._roster = roster
        self._keys = MappingProxyType(keys)
        self._names = MappingProxyType({key: name for name, key in keys.items()})
        aggregators = {member.name for member in roster.members if member.role == "aggregator"}
        self._serving = frozenset(key for name, key in keys.items() if name == KEYSERVER or name in aggregators)


def _taken(name: str) -> bool:
    return name in (BROKER, KEYSERVER) or name.startswith(GUEST)


def _write(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
