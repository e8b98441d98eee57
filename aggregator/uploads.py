"""Uploads: chunks to a stored blob, a stored blob to a verified one, verified ones to a running sum.

Rules (protocol §3 step 2; docs/transport.md "Uploads"): a chunk is checked against the manifest and its sender's
signature, stored, and only then acknowledged. The first bytes of a chunk stay. An upload counts once it is complete and
is what its signed header says, by the manifest's engine. It is verified once, however often its member sends a chunk of
it again meanwhile. The running sum is O(d): a vector is dropped once added. The
sum is a cache and is rebuilt from the blobs when it does not hold exactly the recorded set. Leaves to others: which
message is legal when (aggregator.rounds), sums and proofs (the engine's `shell`).
"""

from collections.abc import Callable, Iterable, Mapping
from threading import Lock

from secagg.daemon.blobs import Blobs, Partial
from secagg.errors import ProtocolViolation
from secagg.log.bundle import BundleWriter
from secagg.protocol import engines
from secagg.protocol.engine import SumSide
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.asked import Running, Stage
from secagg.protocol.round.events import Effect, Event
from secagg.protocol.round.phases import Common
from secagg.protocol.session import UploadName
from secagg.wire.chunks import ChunkHeader, span
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Signed, open_signed

RECEIVER = "aggregator"
"""Receiver of signed chunk headers: the role, since its bytes are for whoever aggregates."""

ELSEWHERE = "elsewhere"
"""The outcome of work that is already being done."""


class Equivocated(Exception):
    """A member signed two different bodies for one chunk; both signed headers, as received, which prove it."""

    def __init__(self, headers: tuple[bytes, bytes]) -> None:
        super().__init__("two bodies for one chunk")
        self.headers = headers


class Uploads:
    """The uploads of one round at a time."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._partials: dict[str, Partial] = {}
        self._lock = Lock()
        self._round = ""
        self._added: dict[str, bytes] = {}
        self._taking: set[str] = set()
        self._sums: Running | None = None

    def chunk(self, phase: Common, sender: str, header: bytes, body: bytes) -> ChunkHeader:
        """Store one chunk durably and return its header, which may now be acknowledged.

        Raises: ProtocolViolation when it does not fit the manifest; Equivocated when other bytes are stored already.
        """
        found = _checked(phase, sender, header, body)
        partial = self._partial(phase, sender)
        known = partial.hash_of(found.index)
        if known is not None and known != found.hash:
            raise Equivocated((partial.proof_of(found.index), header))
        partial.write(found.index, body, header, found.hash)
        return found

    def hash_of(self, phase: Common, member: str, index: int) -> bytes | None:
        """Return the hash under which a chunk of a member is stored, else None."""
        return self._partial(phase, member).hash_of(index)

    def whole(self, phase: Common, member: str, header: Signed) -> bool:
        """Say whether every byte of the upload that `header` names is here."""
        partial = self._partial(phase, member)
        return len(partial.have()) == partial.chunks or self._blobs.has(named(header).upload)

    def taking(self, phase: Common, member: str) -> bool:
        """Say whether an upload of a member is being verified now."""
        return f"{phase.scope.round.label()}.{member}" in self._taking

    def take(self, phase: Common, member: str, header: Signed) -> str:
        """Verify a whole upload against its header and add it to the running sum. Runs beside the loop.

        What was verified before is not again; return `ELSEWHERE` when it is being verified now.
        Raises: ProtocolViolation when it is not what the header says; it is then discarded.
        """
        label = phase.scope.round.label()
        place = f"{label}.{member}"
        with self._lock:
            if self._round == label and self._added.get(member) == named(header).upload:
                return ""
            if place in self._taking:
                return ELSEWHERE
            self._taking.add(place)
        try:
            self._verify(phase, member, header)
        finally:
            self._taking.discard(place)
        return ""

    def _verify(self, phase: Common, member: str, header: Signed) -> None:
        body, partial = named(header), self._partial(phase, member)
        with self._lock:
            if len(partial.have()) == partial.chunks:
                partial.complete(body.upload)
        if not self._blobs.has(body.upload):
            raise ProtocolViolation(f"The upload of {member} is not the one it signed for.", rule="upload.digest")
        data = self._blobs.read(body.upload)
        engine = shell_of(phase.manifest)
        try:
            engine.verify(phase, member, header, data)
        except ProtocolViolation:
            self._blobs.delete(body.upload)
            raise
        self._add(phase.manifest, member, body.upload, data)

    def clear(self, phase: Common, file: Callable[[str], bytes], asked: Effect | None = None) -> Event:
        """Return what opens a round, an event of its engine; canaries are checked before anybody sees a result.

        `file` reads a side file by its digest, `asked` is the effect that asked for it. Runs beside the loop.

        Raises: ProtocolViolation when a canary is wrong.
        """
        engine = shell_of(phase.manifest)
        return engine.open_sum(phase, self.sum(phase.manifest, engine.list_of(phase)), file, asked)

    def sum(self, manifest: Manifest, listed: bytes) -> Running:
        """Return the sum of exactly the listed headers' uploads, and let go of it. Runs beside the loop."""
        wanted = {signed.sender: named(signed).upload for signed in _list(listed)}
        with self._lock:
            sums = self._sums
            if sums is None or (self._round, self._added) != (manifest.round.label(), wanted):
                sums = self._rebuilt(manifest, wanted)
            self._sums, self._added = None, {}
            return sums

    @property
    def blobs(self) -> Blobs:
        """Return where uploads lie, by their digests."""
        return self._blobs

    def keep(self, listed: bytes, bundle: BundleWriter) -> None:
        """Link the frozen uploads into the audit files, where they outlive the round."""
        for signed in _list(listed):
            digest = named(signed).upload
            bundle.link_file(digest.hex(), self._blobs.path(digest))

    def forget(self, manifest: Manifest, headers: Iterable[Signed]) -> None:
        """Drop everything of a round that ended; what `keep` linked stays. Runs beside the loop."""
        label = manifest.round.label()
        for name in manifest.names():
            key = f"{label}.{name}"
            partial = self._partials.pop(key, None) or self._open(key, manifest)
            partial.discard()
        for signed in headers:
            self._blobs.delete(named(signed).upload)
        with self._lock:
            if self._round == label:
                self._round, self._added, self._sums = "", {}, None

    def sweep(self, phase: Common | None, headers: Iterable[Signed]) -> None:
        """Drop what a crash left of rounds that ended; stay with the round that is running and its headers."""
        label = f"{phase.scope.round.label()}." if phase else None
        self._blobs.sweep({named(signed).upload for signed in headers}, label)

    def _partial(self, phase: Common, member: str) -> Partial:
        key = f"{phase.scope.round.label()}.{member}"
        if key not in self._partials:
            self._partials[key] = self._open(key, phase.manifest)
        return self._partials[key]

    def _open(self, key: str, manifest: Manifest) -> Partial:
        return self._blobs.partial(key, shell_of(manifest).upload_bytes(manifest), manifest.chunk_bytes)

    def _add(self, manifest: Manifest, member: str, digest: bytes, data: bytes) -> None:
        label = manifest.round.label()
        with self._lock:
            if self._round != label or self._sums is None:
                self._round, self._added, self._sums = label, {}, shell_of(manifest).running(manifest)
            if member not in self._added:
                self._added[member] = digest
                self._sums.add(data)

    def _rebuilt(self, manifest: Manifest, wanted: Mapping[str, bytes]) -> Running:
        engine = shell_of(manifest)
        sums = engine.running(manifest)
        for member, name in wanted.items():
            data = self._blobs.read(name)
            engine.check_name(manifest, member, name, data)
            sums.add(data)
        return sums


def shell_of(manifest: Manifest) -> SumSide:
    """Return what the manifest's engine has for an aggregator."""
    return engines.load(manifest.engine).sums


def stage_of(phase: Common) -> Stage:
    """Return what a phase means, as its engine says."""
    return shell_of(phase.manifest).stage(phase)


def named(signed: Signed) -> UploadName:
    """Return which upload a signed header is of."""
    return decode(UploadName, signed.body)


def named_in(listed: bytes) -> tuple[str, ...]:
    """Return whose headers a list holds, in its order."""
    return tuple(signed.sender for signed in _list(listed))


def uploads_of(listed: bytes) -> set[bytes]:
    """Return the SHA-256 of every upload that a list of headers names."""
    return {named(signed).upload for signed in _list(listed)}


def _checked(phase: Common, sender: str, header: bytes, body: bytes) -> ChunkHeader:
    manifest = phase.manifest
    signed = decode(Signed, header)
    if signed.sender != sender or sender not in manifest.names():
        raise ProtocolViolation(f"{sender} sends a chunk signed as {signed.sender}.", rule="chunk.sender")
    found = decode(ChunkHeader, open_signed(signed, manifest.key(sender), "ChunkHeader", phase.scope, RECEIVER))
    fits = (
        (found.round, found.node, found.size, found.total)
        == (phase.scope.round, sender, manifest.chunk_bytes, shell_of(manifest).upload_bytes(manifest))
    )  # fmt: skip
    if not fits:
        raise ProtocolViolation(f"A chunk of {sender} does not fit the manifest.", rule="chunk.manifest")
    start, stop = span(found)
    if len(body) != stop - start or shell_of(manifest).chunk_hash(manifest, body) != found.hash:
        raise ProtocolViolation(f"A chunk of {sender} is not the bytes it is signed for.", rule="chunk.hash")
    return found


def _list(data: bytes) -> tuple[Signed, ...]:
    return decode(tuple[Signed, ...], data, LIMIT_LIST)
