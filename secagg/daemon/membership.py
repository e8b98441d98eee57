"""What a member believes of its federation: the roster in force, and the directory log that holds it.

A push of the key server is believed once, in this order:
 1. the roster's root is the pinned one, its delegation, signature and expiry hold, and it is not older than the last;
 2. one that follows the last directly names its bytes as predecessor;
 3. the log entry is the key server's word that exactly these bytes are in force;
 4. the entry is in a signed checkpoint of the directory that extends the last one this member accepted.

Rules: every member keeps the checkpoint that came with the roster, because a manifest names it. A push that starts from
another checkpoint than ours is no proof for us (`E-BEHIND`): ask again with `request`. Leaves to others: keeping the
`Standing` (it is plain bytes), asking. Source: docs/protocol.md §6.2, docs/audit-log.md "Two logs",
docs/threat-model.md rows 9 and 20.
"""

from msgspec import Struct

from secagg.crypto.derive import sha256
from secagg.errors import NotAuthorised, VerificationFailed
from secagg.ids import Name
from secagg.log.checkpoint import Checkpoint, read_checkpoint
from secagg.log.statements import RosterChanged, open_statement
from secagg.log.witness import LogProof, check
from secagg.roster.chain import SignedRoster, fingerprint, follows, online_key, open_roster
from secagg.roster.members import Member, Roster
from secagg.roster.messages import RosterPush, RosterRequest
from secagg.transport.link import KEYSERVER
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK


class Pin(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a member believes: its federation's name and the fingerprint of the root."""

    federation: Name
    root_fingerprint: str

    @property
    def origin(self) -> str:
        """Return the origin of the directory log."""
        return f"{self.federation}/directory"


class Standing(Struct, frozen=True, forbid_unknown_fields=True):
    """What was accepted last, as received: the signed roster and the checkpoint that holds it."""

    signed: bytes
    note: bytes

    def roster(self) -> Roster:
        """Return the roster."""
        return decode(Roster, decode(SignedRoster, self.signed, LIMIT_BULK).roster, LIMIT_BULK)

    def digest(self) -> bytes:
        """Return what manifests name (32 bytes)."""
        return sha256(self.signed)

    def checkpoint(self) -> Checkpoint:
        """Return the directory checkpoint that manifests rely on."""
        return read_checkpoint(self.note)

    def log_key(self) -> bytes:
        """Return the key server's online key, which signs the directory."""
        return online_key(self.signed, _root_of(self.signed))


def request(last: Standing | None) -> bytes:
    """Return the body of a message of kind `roster` that asks the key server."""
    return encode(RosterRequest(last.checkpoint().size if last else 0))


def follow(body: bytes, pin: Pin, now: int, last: Standing | None) -> Standing:
    """Return what stands after a push; `last` itself when it brings nothing new. `now` is unix seconds.

    Raises: VerificationFailed (`E-BEHIND`: ask again with `request`), WireError.
    """
    push = decode(RosterPush, body, LIMIT_BULK)
    roster = open_roster(push.roster, pin.root_fingerprint, now, last.roster() if last else None)
    if last and push.roster == last.signed:
        return last
    if roster.federation != pin.federation:
        raise VerificationFailed(f"The roster is of {roster.federation}, not of {pin.federation}.", "Check the broker.")
    if last and roster.version == last.roster().version + 1 and not follows(push.roster, last.signed):
        raise VerificationFailed(
            f"Roster version {roster.version} does not name the one before it that was shown here.",
            "Keep both rosters and ask the operator: somebody was shown another list.",
        )
    key = online_key(push.roster, pin.root_fingerprint)
    _check_entry(push, roster, key)
    return Standing(push.roster, _check_log(push, pin, key, last))


def check_own(roster: Roster, own: Member) -> None:
    """Check that this party is a member with exactly its own keys and role.

    Raises: NotAuthorised when it is not in the roster; VerificationFailed when the roster says otherwise of it.
    """
    found = next((member for member in roster.members if member.name == own.name), None)
    if found is None:
        raise NotAuthorised(
            f"{own.name} is not in version {roster.version} of the roster: revoked, or never approved.",
            "Ask the operator; a new enrolment needs a new token.",
            code="E-REVOKED",
        )
    if found != own:
        raise VerificationFailed(
            f"The roster holds other keys, another organisation or another role for {own.name}.",
            "Do not take part: ask the operator who enrolled them.",
        )


def _check_entry(push: RosterPush, roster: Roster, key: bytes) -> None:
    """Check that the log entry puts exactly this roster in force. Raises: VerificationFailed."""
    statement, signer = open_statement(push.leaf, lambda _: key)
    wanted = (roster.federation, roster.version, sha256(push.roster).hex())
    if (
        signer != KEYSERVER
        or not isinstance(statement, RosterChanged)
        or (statement.federation, statement.version, statement.roster) != wanted
    ):
        raise VerificationFailed("The log entry is not of this roster.", "Ask the operator for the directory log.")


def _check_log(push: RosterPush, pin: Pin, key: bytes, last: Standing | None) -> bytes:
    """Return the checkpoint note that holds the entry and extends the last. Raises: VerificationFailed."""
    proof = decode(LogProof, push.proof, LIMIT_BULK)
    before = last.checkpoint() if last else None
    if before and proof.old_size != before.size:
        raise VerificationFailed(
            f"The proof starts at entry {proof.old_size}, this member stands at {before.size}.",
            "Ask the key server again.",
            code="E-BEHIND",
        )
    check(push.leaf, proof, pin.origin, key, before)
    return proof.checkpoint


def _root_of(signed: bytes) -> str:
    return fingerprint(decode(SignedRoster, signed, LIMIT_BULK).root_key)
