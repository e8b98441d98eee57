"""What an auditor asks of engine `toy`: it adds the kept uploads again."""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from secagg.crypto.derive import sha256
from secagg.errors import VerificationFailed
from secagg.log.statements import Contributors
from secagg.protocol.binding import Bound
from secagg.protocol.lanes import Groups, accumulate
from secagg.protocol.manifest import Manifest, Seat, digest, minimum_contributors
from secagg.protocol.round.lists import signed_list
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_BULK, LIMIT_LIST
from secagg.wire.signed import Scope, Signed
from support.toy_engine.messages import HEADER, PlainInput


def headers_of(listed: bytes) -> dict[str, PlainInput]:
    """Return the headers of a verified list."""
    return {entry.sender: decode(PlainInput, entry.body) for entry in decode(tuple[Signed, ...], listed, LIMIT_LIST)}


def recompute_frozen(
    manifest_signed: bytes, frozen: Contributors, file: Callable[[str], bytes], answers: Sequence[bytes],
    upload: Callable[[str], bytes], aggregator_key: bytes,
) -> Groups:  # fmt: skip
    signed = decode(Signed, manifest_signed, LIMIT_BULK)
    manifest, u = decode(Manifest, signed.body, LIMIT_BULK), file(frozen.u3)
    signed_list(u, manifest, HEADER, Scope(manifest.round, digest(signed.body)))
    sums: Groups = {}
    for member, header in headers_of(u).items():
        if sha256(upload(member)) != header.upload:
            raise VerificationFailed(f"The kept upload of {member} is not the one it signed.", "Ask for the original.")
        accumulate(manifest, sums, upload(member))
    return sums


def check_fault(data: bytes, key_of: Callable[[str], bytes]) -> NoReturn:
    raise VerificationFailed("No fault can be proven in this engine.", "It names nobody.")


def check_agreements(data: bytes, manifest: Manifest, scope: Scope, frozen: Contributors) -> None:
    """Nobody agrees to a set of this engine."""


def witnesses(manifest: Manifest) -> Mapping[str, bytes]:
    return {}


def quorum(manifest: Manifest) -> int:
    return 0


def least(manifest: Manifest, colluders: int) -> int:
    return max(manifest.needed, minimum_contributors(len(manifest.members), colluders))


def check_holders(manifest: Manifest, trustees: tuple[Seat, ...]) -> None:
    """Members open sums themselves."""


def bounds(data: bytes, manifest: Manifest, scope: Scope) -> Mapping[str, Bound]:
    signed_list(data, manifest, HEADER, scope)
    return {name: header.bound for name, header in headers_of(data).items()}


def answered(manifest: Manifest, names: tuple[str, ...], missing: tuple[str, ...]) -> tuple[str, ...]:
    return names
