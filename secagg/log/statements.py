"""The entries of both logs: one struct per statement, canonical JSON, signed by the role that acted.

Rules (audit-log format): sorted keys, no spaces, no floats, integers below 2^53, bytes as lowercase hex. The leaf is
the JSON with `signer` and `signature`. The signature covers a label and the JSON without `signature`. Digests name side
files by SHA-256. Never in the log: plaintext, ciphertext, shares, tokens, addresses, anything guessable without a salt.
Leaves to others: what the statements prove (secagg.auditor).
"""

import json
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from secagg.crypto.labels import fields
from secagg.crypto.sign import SigningKey, verify
from secagg.errors import BadSignature, ProtocolViolation, VerificationFailed
from secagg.ids import Count, Name, Organisation, Rule
from secagg.log.tiles import MAX_ENTRY

LABEL = "secagg/v1/statement"
MAX_LEAF = MAX_ENTRY
Hex = Annotated[str, Meta(pattern=r"\A([0-9a-f]{2})*\Z", max_length=128)]
TEXT = 512
"""Characters that a sentence in a statement may have."""

Text = Annotated[str, Meta(max_length=TEXT)]
_SignatureText = Annotated[str, Meta(pattern=r"\A[0-9a-f]{128}\Z")]


class Statement(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """Fields of every statement: the federation and the wall time in unix seconds."""

    federation: Name
    time: Count


class RosterRoot(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """The federation begins: its offline root key and the online key that it delegates to."""

    root_key: Hex
    online_key: Hex


class TokenIssued(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """An enrolment token was made for an institution; only its hash is known here."""

    token_hash: Hex
    institution: Name
    expires: Count


class TokenConsumed(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A token was used."""

    token_hash: Hex
    institution: Name


class Enrolled(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A human approved a member and its keys."""

    member: Name
    organisation: Organisation
    role: Name
    sign_key: Hex
    curve_key: Hex
    fingerprint: Text


class Revoked(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A member is out."""

    member: Name
    reason: Text


class Fenced(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A start of a member came from an old copy and takes part in nothing; `epoch` is the newest start's."""

    member: Name
    epoch: Count


class RosterChanged(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A roster version is in force; `roster` is the SHA-256 of its signed bytes."""

    version: Count
    roster: Hex


class KeyDealt(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A ceremony dealt a decryption key to trustees; SHA-256 of its public part and of the dealer's transcript."""

    key: Hex
    transcript: Hex
    bits: Count
    trustees: tuple[Name, ...]
    threshold: Count
    colluders: Count


class JobCreated(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A job was submitted; `spec` is the SHA-256 of the signed job.

    `retention` says how long the side files of its rounds are there: `kept` until a person deletes them.
    """

    job: Name
    spec: Hex
    retention: Literal["kept"] = "kept"


class OfRound(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields of every statement about a round."""

    job: Name
    round: Count
    attempt: Count
    group: Count


class ManifestLogged(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A manifest was proposed; `manifest` is H, `signed` the SHA-256 of the signed message that carries it."""

    manifest: Hex
    signed: Hex
    roster_version: Count


class DropOut(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A member dropped in a step."""

    member: Name
    step: Text
    reason: Text


INLINE = 200
"""Members that a statement names itself; of more it names the list, because a log entry is at most 65,535 bytes."""


class Contributor(Struct, frozen=True, forbid_unknown_fields=True):
    """A member of the frozen set: SHA-256 of its signed header, and the digest that its upload is kept under."""

    member: Name
    header: Hex
    upload: Hex


class Contributors(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """The contributor set is frozen; `members` as they are, or `listed`, the SHA-256 of their list (`INLINE`).

    `drawn` is the SHA-256 of the list of beacons that drew a sparse graph.
    """

    manifest: Hex
    u1: Hex
    u2: Hex
    u3: Hex
    members: tuple[Contributor, ...]
    listed: Hex = ""
    drawn: Hex = ""


class AnswerDigest(Struct, frozen=True, forbid_unknown_fields=True):
    """SHA-256 of a member's signed answer."""

    member: Name
    digest: Hex


class Opening(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """The round was opened by these answers; SHA-256 of the list of agreements and of the witnesses' lines.

    `answers` as they are, or `listed`, the SHA-256 of their list (`INLINE`).
    """

    manifest: Hex
    answers: tuple[AnswerDigest, ...]
    signatures: Hex
    witnesses: Hex
    listed: Hex = ""


class Result(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """The round has a result: HMAC-SHA-256 of its bytes under the round's salt."""

    manifest: Hex
    contributors: tuple[Name, ...]
    result: Hex
    model: Hex


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """A member's signed header says that what a dealer sealed to it does not open, or is not what the dealer listed."""

    dealer: Name
    reporter: Name


class Aborted(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """The round ended without a result; who was missing, and every report of a share that was none.

    `reports` as they are, or `listed`, the SHA-256 of their list (`INLINE`).
    """

    manifest: Hex
    step: Text
    reason: Text
    missing: tuple[Name, ...]
    reports: tuple[Report, ...] = ()
    listed: Hex = ""


class Refusal(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A member refused, naming its rule; what people read of it is in a table (secagg.protocol.refusals)."""

    member: Name
    rule: Rule


class Equivocation(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A member signed two different things for one slot; SHA-256 of both."""

    member: Name
    digests: tuple[Hex, ...]


FaultKind = Literal["answer", "dealing", "two-lists", "reported"]


class Fault(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A member's fault is proven: `evidence` is the SHA-256 of the side file of signed bytes that proves it."""

    manifest: Hex
    member: Name
    kind: FaultKind
    evidence: Hex


class OverlapAllowed(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A person at an institution allows this job to sum its inputs over another set than they were summed before."""

    member: Name
    job: Name


class SourceChanged(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A person at an institution says that a task's data is other data now: a new edition, or another path."""

    member: Name
    task: Name
    change: Literal["edition", "path"]


class UncheckedAccepted(OfRound, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A person at an institution goes on although this round's sum could not be checked there."""

    member: Name


class LieReported(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """A member brought evidence that the aggregator with this key lied: SHA-256 of the side file that proves it."""

    member: Name
    aggregator_key: Hex
    evidence: Hex


class SetAside(Statement, frozen=True, forbid_unknown_fields=True, kw_only=True, tag=True):
    """What had this place in the log cannot be read and is kept beside it: SHA-256 of its bytes, and their number."""

    digest: Hex
    size: Count


AnyStatement = (
    RosterRoot | TokenIssued | TokenConsumed | Enrolled | Revoked | Fenced | RosterChanged | KeyDealt | JobCreated
    | ManifestLogged | DropOut | Contributors | Opening | Result | Aborted | Refusal | Equivocation | Fault
    | OverlapAllowed | SourceChanged | UncheckedAccepted | LieReported | SetAside
)  # fmt: skip


def canonical(value: object) -> bytes:
    """Return sorted, compact JSON of builtins."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sign_statement(statement: Statement, signer: str, key: SigningKey) -> bytes:
    """Return the leaf: canonical JSON of the statement with its signer and signature.

    Raises: ProtocolViolation (`statement.form`) when no reader of the log would take it back. It may hold what a peer
    wrote, and an entry that cannot be read stops whoever reads the log.
    """
    document = {**msgspec.to_builtins(statement), "signer": signer}
    signature = key.sign(fields(LABEL, canonical(document)))
    leaf = canonical({**document, "signature": signature.hex()})
    try:
        parse_statement(leaf)
    except VerificationFailed as error:
        cause = f"A {type(statement).__name__} cannot be stated: {error.cause}"
        raise ProtocolViolation(cause, "It is discarded.", rule="statement.form") from None
    return leaf


def _holds_float(value: object) -> bool:
    """Return whether a number with a point is anywhere in `value`; msgspec would take 5.0 for 5."""
    if isinstance(value, dict):
        return any(map(_holds_float, value.values()))
    if isinstance(value, list):
        return any(map(_holds_float, value))
    return isinstance(value, float)


def parse_statement(leaf: bytes) -> tuple[AnyStatement, str, bytes, bytes]:
    """Return (statement, signer, signature, signed bytes) of a leaf without judging the signature.

    Raises: VerificationFailed when it is not canonical JSON of a known statement.
    """
    if len(leaf) > MAX_LEAF:
        raise VerificationFailed("A log entry is longer than any statement.", "Check the log.")
    try:
        document = json.loads(leaf)
        if not isinstance(document, dict) or canonical(document) != leaf:
            raise ValueError("not canonical")
        if _holds_float(document):
            raise ValueError("a number is no integer")
        signature = bytes.fromhex(msgspec.convert(document.pop("signature"), _SignatureText))
        signed = canonical(document)
        signer = msgspec.convert(document.pop("signer"), Name)
        statement = msgspec.convert(document, AnyStatement)
    except (ValueError, KeyError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise VerificationFailed(f"A log entry is no statement: {str(error)[:200]}.", "Check the log.") from None
    return statement, signer, signature, signed


def open_statement(leaf: bytes, key_of: Callable[[str], bytes]) -> tuple[AnyStatement, str]:
    """Return (statement, signer) once the signature holds under `key_of(signer)`.

    Raises: VerificationFailed.
    """
    statement, signer, signature, signed = parse_statement(leaf)
    try:
        verify(key_of(signer), fields(LABEL, signed), signature)
    except BadSignature:
        raise VerificationFailed(
            f"The signature of {signer} on a {type(statement).__name__} does not verify.", "Ask the signer."
        ) from None
    return statement, signer
