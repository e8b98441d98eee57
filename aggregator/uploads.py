"""Uploads: chunks to a stored blob, a stored blob to a verified one, verified ones to a running sum.

Rules (protocol §3 step 2; transport "Uploads"): a chunk is checked against the manifest and its sender's signature,
stored, and only then acknowledged; the first bytes of a chunk stay; an upload counts once it is complete and has the
length, the SHA-256 and the Merkle root of its signed header. The running sum is O(d): a vector is dropped once added;
the sum is a cache and is rebuilt from the blobs when it does not hold exactly the recorded set.
Leaves to others: which message is legal when (aggregator.rounds), the masks (secagg.protocol.masks).
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from secagg.crypto.derive import sha256
from secagg.daemon.blobs import Blobs, Partial
from secagg.errors import ProtocolViolation
from secagg.log.bundle import BundleWriter
from secagg.protocol.lanes import Groups, decode_sums, from_upload, upload_bytes, upload_root
from secagg.protocol.manifest import Manifest
from secagg.protocol.masks import intake
from secagg.protocol.masks.masking import WORKERS
from secagg.protocol.masks.messages import MaskedInput
from secagg.protocol.masks.recovery import recover, unmask
from secagg.protocol.masks.rounds import Phase, Unmasking, Uploading
from secagg.vector.ring import add_into
from secagg.wire.chunks import ChunkHeader, span
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, open_signed

RECEIVER = "aggregator"
"""Receiver of signed chunk headers: the role, since its bytes are for whoever aggregates."""


class Equivocated(Exception):
    """A member signed two different bodies for one chunk; both digests."""

    def __init__(self, digests: tuple[bytes, bytes]) -> None:
        super().__init__("two bodies for one chunk")
        self.digests = digests


class Uploads:
    """The uploads of one round at a time."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._partials: dict[str, Partial] = {}
        self._lock = Lock()
        self._round = ""
        self._added: dict[str, bytes] = {}
        self._sums: Groups = {}

    def chunk(self, phase: Uploading, sender: str, header: bytes, body: bytes) -> ChunkHeader:
        """Store one chunk durably and return its header, which may now be acknowledged.

        Raises: ProtocolViolation when it does not fit the manifest; Equivocated when other bytes are stored already.
        """
        found = _checked(phase, sender, header, body)
        partial = self._partial(phase, sender)
        known = partial.hash_of(found.index)
        if known is not None and known != found.hash:
            raise Equivocated((known, found.hash))
        partial.write(found.index, body)
        return found

    def whole(self, phase: Uploading, member: str, header: Signed) -> bool:
        """Say whether every byte of the upload that `header` names is here."""
        partial = self._partial(phase, member)
        return len(partial.have()) == partial.chunks or self._blobs.has(decode(MaskedInput, header.body).upload)

    def take(self, phase: Uploading, member: str, header: Signed) -> None:
        """Verify a whole upload against its header and add it to the running sum. Runs beside the loop.

        Raises: ProtocolViolation when it is not what the header says; it is then discarded.
        """
        body = decode(MaskedInput, header.body)
        partial = self._partial(phase, member)
        with self._lock:
            if len(partial.have()) == partial.chunks:
                stored = partial.complete()
                if stored != body.upload:
                    self._blobs.delete(stored)
        if not self._blobs.has(body.upload):
            raise ProtocolViolation(f"The upload of {member} is not the one it signed for.", rule="upload.digest")
        data = self._blobs.get(body.upload)
        if body.length != len(data) or upload_root(phase.manifest, data) != body.root:
            raise ProtocolViolation(f"The upload of {member} has another root than its header.", rule="upload.root")
        self._add(phase.scope.round.label(), member, body.upload, from_upload(phase.manifest, data))

    def clear(self, phase: Unmasking) -> Groups:
        """Return the clear summed words of a round; its canaries are checked before anybody sees a result.

        Runs beside the loop. Raises: ProtocolViolation when a canary is wrong.
        """
        proof = intake.evidence(phase)
        sums = self.sum(phase.manifest, phase.u3)
        with ThreadPoolExecutor(WORKERS) as workers:
            unmask(sums, proof, recover(proof), workers)
        decode_sums(phase.manifest, sums, len(proof.u3))
        return sums

    def sum(self, manifest: Manifest, u3: bytes) -> Groups:
        """Return the sum of exactly U3's uploads, and let go of it. Runs beside the loop."""
        wanted = {signed.sender: decode(MaskedInput, signed.body).upload for signed in _list(u3)}
        with self._lock:
            if (self._round, self._added) != (manifest.round.label(), wanted):
                self._rebuild(manifest, wanted)
            sums, self._sums, self._added = self._sums, {}, {}
            return sums

    def keep(self, u3: bytes, bundle: BundleWriter) -> None:
        """Link U3's uploads into the audit files, where they outlive the round."""
        for signed in _list(u3):
            digest = decode(MaskedInput, signed.body).upload
            bundle.link_file(digest.hex(), self._blobs.path(digest))

    def forget(self, manifest: Manifest, headers: Iterable[Signed]) -> None:
        """Drop everything of a round that ended; what `keep` linked stays. Runs beside the loop."""
        label = manifest.round.label()
        for name in manifest.names():
            key = f"{label}.{name}"
            partial = self._partials.pop(key, None) or self._open(key, manifest)
            partial.discard()
        for signed in headers:
            self._blobs.delete(decode(MaskedInput, signed.body).upload)
        with self._lock:
            if self._round == label:
                self._round, self._added, self._sums = "", {}, {}

    def sweep(self, phase: Phase | None, headers: Iterable[Signed]) -> None:
        """Drop what a crash left of rounds that ended; stay with the round that is running and its headers."""
        label = f"{phase.scope.round.label()}." if phase else None
        self._blobs.sweep({decode(MaskedInput, signed.body).upload for signed in headers}, label)

    def _partial(self, phase: Uploading, member: str) -> Partial:
        key = f"{phase.scope.round.label()}.{member}"
        if key not in self._partials:
            self._partials[key] = self._open(key, phase.manifest)
        return self._partials[key]

    def _open(self, key: str, manifest: Manifest) -> Partial:
        return self._blobs.partial(key, upload_bytes(manifest), manifest.chunk_bytes)

    def _add(self, label: str, member: str, digest: bytes, words: Groups) -> None:
        with self._lock:
            if self._round != label:
                self._round, self._added, self._sums = label, {}, {}
            if member not in self._added:
                self._added[member] = digest
                _accumulate(self._sums, words)

    def _rebuild(self, manifest: Manifest, wanted: Mapping[str, bytes]) -> None:
        self._round, self._added, self._sums = manifest.round.label(), dict(wanted), {}
        for digest in wanted.values():
            _accumulate(self._sums, from_upload(manifest, self._blobs.get(digest)))


def _checked(phase: Uploading, sender: str, header: bytes, body: bytes) -> ChunkHeader:
    manifest = phase.manifest
    signed = decode(Signed, header)
    if signed.sender != sender or sender not in manifest.names():
        raise ProtocolViolation(f"{sender} sends a chunk signed as {signed.sender}.", rule="chunk.sender")
    found = decode(ChunkHeader, open_signed(signed, manifest.key(sender), "ChunkHeader", phase.scope, RECEIVER))
    fits = (
        (found.round, found.node, found.size, found.total)
        == (phase.scope.round, sender, manifest.chunk_bytes, upload_bytes(manifest))
    )  # fmt: skip
    if not fits:
        raise ProtocolViolation(f"A chunk of {sender} does not fit the manifest.", rule="chunk.manifest")
    start, stop = span(found)
    if len(body) != stop - start or sha256(body) != found.hash:
        raise ProtocolViolation(f"A chunk of {sender} is not the bytes it is signed for.", rule="chunk.hash")
    return found


def _accumulate(sums: Groups, words: Groups) -> None:
    for group, values in words.items():
        if group in sums:
            add_into(sums[group], values)
        else:
            sums[group] = values


def _list(data: bytes) -> tuple[Signed, ...]:
    return decode(tuple[Signed, ...], data, LIMIT_BULK)
