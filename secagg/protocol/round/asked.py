"""What goes in and out of the sides of an engine, as whoever asks sees it: what a phase means, uploads, steps, faults.

Rule: a value is asked for what stands here and nothing else, whatever its engine made of it.
Leaves to others: the sides (secagg.protocol.engine).
"""

from collections.abc import Mapping
from enum import Flag, auto
from typing import NamedTuple, Protocol

from secagg.protocol.manifest import Manifest
from secagg.wire.signed import Scope


class Stage(Flag):
    """What a phase means to those who carry a round out; several at a time, or nothing."""

    NOTHING = 0
    PROPOSES = auto()
    """Aggregator: a proposal may be repeated."""
    WAITS = auto()
    """Aggregator: messages are waited for, until a deadline."""
    GATHERS = auto()
    """Aggregator: uploads are taken."""
    JUDGES = auto()
    """Aggregator: `judge` is waited for."""
    OPENS = auto()
    """Aggregator: `open_sum` is waited for. Trustee: it decided; `collect` and `answer` are waited for."""
    JOINED = auto()
    """Member, trustee: the proposal was answered, and nothing else."""
    TRAINS = auto()
    """Member: its words are still wanted."""
    READY = auto()
    """Member: its words can be protected now."""
    AGREED = auto()
    """Trustee: the set is agreed to; the other trustees' words are waited for."""
    ANSWERED = auto()
    """Trustee: the answer is recorded, and repeated as it is."""


class Running(Protocol):
    """The sum of uploads while they arrive, O(d)."""

    def add(self, data: bytes | memoryview) -> None:
        """Add one verified upload in place. Raises: ProtocolViolation when its form differs."""
        ...


class Named(Protocol):
    """A stored upload, as every engine's header says it."""

    @property
    def upload(self) -> bytes:
        """Return the digest it is kept under."""
        ...

    @property
    def length(self) -> int:
        """Return its bytes."""
        ...

    @property
    def chunks(self) -> tuple[bytes, ...]:
        """Return the hash of every chunk."""
        ...


class Fault(Protocol):
    """Whose fault a proof shows, of which kind and in which attempt."""

    @property
    def member(self) -> str:
        """Return whose."""
        ...

    @property
    def kind(self) -> str:
        """Return of which kind."""
        ...

    @property
    def scope(self) -> Scope:
        """Return in which attempt."""
        ...


class Collector(Protocol):
    """What a trustee decrypts, made of a frozen set's uploads as they arrive, each once, in any order."""

    def wanted(self) -> Mapping[str, bytes]:
        """Return the digest of every upload that is still missing, by member."""
        ...

    def add(self, member: str, data: bytes) -> None:
        """Verify a member's upload and take it in.

        Raises: ProtocolViolation naming the member when it does not hold; nothing is then changed.
        """
        ...

    def close(self) -> bytes:
        """Return what `answer` takes. Raises: ProtocolViolation when uploads are missing."""
        ...


class Decided(NamedTuple):
    """What a trustee decided to open: the manifest of the round, and the members whose inputs are summed."""

    manifest: Manifest
    contributors: tuple[str, ...]
