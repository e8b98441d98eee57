"""The one message of engine `toy`, and the phases of a member and of the aggregator that are its own."""

from msgspec import UNSET, Struct, UnsetType

from secagg.ids import Count, Digest
from secagg.protocol.binding import Bound
from secagg.protocol.inputs import Given
from secagg.protocol.manifest import Manifest
from secagg.protocol.round.phases import Common
from secagg.wire.signed import Scope, Signed

HEADER = "PlainInput"


class PlainInput(Struct, frozen=True, forbid_unknown_fields=True):
    """Node → everybody: the header of an upload of clear words."""

    length: Count
    upload: Digest
    bound: Bound


class Training(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Member: the manifest is accepted; the shell trains and comes back with `Stored`."""

    scope: Scope
    manifest: Manifest


class Uploaded(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Member: the header is signed."""

    scope: Scope
    manifest: Manifest
    header: Signed


class Stored(Struct, frozen=True, forbid_unknown_fields=True):
    """Shell → `Training`: the upload is stored under its SHA-256."""

    length: int
    upload: Digest
    chunks: tuple[Digest, ...]
    given: Given | UnsetType = UNSET


class Gathering(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Aggregator: collecting headers of complete uploads."""

    headers: tuple[Signed, ...] = ()


class Freezing(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Aggregator: the set is fixed; waiting for its statement to be logged."""

    u: bytes


class Adding(Common, frozen=True, forbid_unknown_fields=True, tag=True):
    """Aggregator: the freeze is logged; the shell gives the sum."""

    u: bytes
