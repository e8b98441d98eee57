"""What a member believes: each link between the pinned root and the directory, taken out in turn."""

from typing import Any

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.daemon.membership import Pin, Standing, check_own, follow, request
from secagg.errors import NotAuthorised, SecaggError, VerificationFailed, WireError
from secagg.log.log import MemoryLog
from secagg.log.statements import Revoked, RosterChanged, Statement, sign_statement
from secagg.roster.chain import Delegation, delegate, fingerprint, sign_roster
from secagg.roster.members import Limits, Member, Roster
from secagg.roster.messages import RosterPush, RosterRequest
from secagg.wire.codec import decode, encode

NOW = 1_700_000_000
ROOT, ONLINE = (SigningKey.from_private_bytes(sha256(label)) for label in (b"root", b"online"))
DELEGATION = delegate(ROOT, Delegation("fed", ONLINE.public, NOW + 10_000))
PIN = Pin("fed", fingerprint(ROOT.public))
MEMBER = Member("charite", "charite", "node", b"\x01" * 32, b"\x02" * 32)


class Source:
    """A key server's directory, as honest as the test wants it."""

    def __init__(self, federation: str = "fed", signer: str = "keyserver") -> None:
        self.federation, self.signer = federation, signer
        self.log = MemoryLog(f"{federation}/directory", f"{federation}/directory", ONLINE)
        self.delegation = delegate(ROOT, Delegation(federation, ONLINE.public, NOW + 10_000))
        self.last = b""
        self.version = 0

    def append(self, statement: Statement) -> tuple[int, bytes]:
        leaf = sign_statement(statement, self.signer, ONLINE)
        return self.log.append(leaf), leaf

    def issue(self, *members: Member, **fields: Any) -> RosterPush:
        """Issue the next version; return its push from the beginning of the log."""
        self.version += 1
        roster = Roster(
            self.federation, self.version, NOW, NOW + 1000, sha256(self.last) if self.last else bytes(32),
            Limits(0, 3), members,
        )  # fmt: skip
        self.last = sign_roster(replace(roster, **fields), ROOT.public, self.delegation, ONLINE)
        return self.show()

    def show(self, old_size: int = 0, **fields: Any) -> RosterPush:
        """Log the newest roster and return its push; `fields` replace those of the statement."""
        digest = sha256(self.last).hex()
        given: dict[str, Any] = {"federation": self.federation, "time": NOW, "version": self.version, "roster": digest}
        index, leaf = self.append(RosterChanged(**(given | fields)))
        self.log.publish()
        return RosterPush(self.last, leaf, encode(self.log.prove(index, old_size)))


def accept(push: RosterPush, last: Standing | None = None, pin: Pin = PIN) -> Standing:
    return follow(encode(push), pin, NOW, last)


def refusal(push: RosterPush, last: Standing | None = None, pin: Pin = PIN) -> SecaggError:
    with pytest.raises(VerificationFailed) as caught:
        accept(push, last, pin)
    return caught.value


def test_a_first_push_is_believed_under_the_pinned_root() -> None:
    push = Source().issue(MEMBER)
    standing = accept(push)
    assert (standing.signed, standing.digest()) == (push.roster, sha256(push.roster))
    assert standing.roster().members == (MEMBER,)
    assert (standing.checkpoint().origin, standing.checkpoint().size) == ("fed/directory", 1)
    assert standing.log_key() == ONLINE.public
    assert decode(RosterRequest, request(None)).size == 0
    assert decode(RosterRequest, request(standing)).size == 1


def test_a_later_push_extends_the_one_before() -> None:
    source = Source()
    first = accept(source.issue(MEMBER))
    source.issue()
    second = accept(source.show(first.checkpoint().size), first)
    assert (second.roster().version, second.checkpoint().size) == (2, 3)


def test_the_same_push_again_changes_nothing() -> None:
    source = Source()
    push = source.issue(MEMBER)
    first = accept(push)
    assert accept(push, first) is first
    assert accept(source.show(), first) is first


def test_another_root_or_federation_is_refused() -> None:
    push = Source().issue(MEMBER)
    assert refusal(push, pin=Pin("fed", "sha256:" + "00" * 32)).code == "E-ROOT"
    assert "not of other" in refusal(push, pin=Pin("other", PIN.root_fingerprint)).cause


def test_a_roster_that_skips_the_one_it_follows_is_refused() -> None:
    source = Source()
    first = accept(source.issue(MEMBER))
    source.issue(previous=b"\x07" * 32)
    assert "does not name the one before" in refusal(source.show(1), first).cause


def test_an_older_roster_is_refused() -> None:
    source = Source()
    old = source.issue(MEMBER)
    later = accept(source.issue())
    assert "older" in refusal(old, later).cause


@pytest.mark.parametrize(
    "fields", [{"roster": "00" * 32}, {"version": 7}, {"federation": "other"}], ids=["roster", "version", "federation"]
)
def test_an_entry_about_something_else_is_refused(fields: dict[str, Any]) -> None:
    source = Source()
    source.issue(MEMBER)
    assert "not of this roster" in refusal(source.show(**fields)).cause


def test_an_entry_of_another_type_or_signer_is_refused() -> None:
    source = Source()
    push = source.issue(MEMBER)
    index, leaf = source.append(Revoked(federation="fed", time=NOW, member="x", reason="y"))
    source.log.publish()
    assert "not of this roster" in refusal(replace(push, leaf=leaf, proof=encode(source.log.prove(index)))).cause
    assert "not of this roster" in refusal(Source(signer="aggregator").issue(MEMBER)).cause


def test_an_entry_that_the_key_server_did_not_sign_is_refused() -> None:
    source = Source()
    push = source.issue(MEMBER)
    forged = sign_statement(
        RosterChanged(federation="fed", time=NOW, version=1, roster=sha256(push.roster).hex()), "keyserver", ROOT
    )
    assert "does not verify" in refusal(replace(push, leaf=forged)).cause


def test_an_entry_that_is_not_in_the_directory_is_refused() -> None:
    source = Source()
    push = source.issue(MEMBER)
    source.append(Revoked(federation="fed", time=NOW, member="x", reason="y"))
    source.log.publish()
    accept(push)
    with pytest.raises(VerificationFailed):
        accept(replace(push, proof=encode(source.log.prove(1))))


def test_a_directory_of_another_origin_is_refused() -> None:
    source = Source()
    source.log = MemoryLog("fed/rounds", "fed/rounds", ONLINE)
    assert "fed/directory belongs" in refusal(source.issue(MEMBER)).cause


def test_a_proof_from_elsewhere_says_ask_again() -> None:
    source = Source()
    first = accept(source.issue(MEMBER))
    source.issue()
    assert refusal(source.show(0), first).code == "E-BEHIND"


def test_a_forked_directory_is_refused() -> None:
    source, fork = Source(), Source()
    first = accept(source.issue(MEMBER))
    fork.append(Revoked(federation="fed", time=NOW, member="x", reason="y"))
    fork.version, fork.last = 1, first.signed
    fork.issue()
    assert refusal(fork.show(1), first).code == "E-VERIFY"


def test_bytes_that_are_no_push_are_a_wire_error() -> None:
    with pytest.raises(WireError):
        follow(b"\xc1", PIN, NOW, None)


def test_a_member_checks_its_own_entry() -> None:
    roster = accept(Source().issue(MEMBER)).roster()
    check_own(roster, MEMBER)
    with pytest.raises(NotAuthorised) as caught:
        check_own(roster, replace(MEMBER, name="jena"))
    assert caught.value.code == "E-REVOKED"
    for changed in ({"curve_key": bytes(32)}, {"sign_key": bytes(32)}, {"role": "auditor"}, {"organisation": "x"}):
        with pytest.raises(VerificationFailed):
            check_own(roster, replace(MEMBER, **changed))
