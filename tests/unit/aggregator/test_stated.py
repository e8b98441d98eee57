"""Statements of members: what is their own is kept once, and nothing else."""

import pytest

from aggregator import stated
from secagg.crypto.sign import SigningKey
from secagg.daemon.turn import Turn
from secagg.errors import ProtocolViolation, VerificationFailed
from secagg.log.statements import Aborted, OverlapAllowed, SourceChanged, Statement, sign_statement
from secagg.roster.chain import open_roster
from secagg.roster.members import Roster
from secagg.transport.link import Received
from support.federation import counted_rng, make
from support.memory import MemoryJournal

FEDERATION = make(4)
NAME = "node-01"
KEY = FEDERATION.members[NAME]


def roster() -> Roster:
    from secagg.rehearsal.federation import START_OF_TIME
    from secagg.roster.chain import fingerprint

    return open_roster(FEDERATION.roster, fingerprint(FEDERATION.root_key), START_OF_TIME, None)


def allowance(member: str = NAME, federation: str = "fed", job: str = "job") -> OverlapAllowed:
    return OverlapAllowed(federation=federation, time=1, member=member, job=job)


def take(
    statement: Statement, sender: str = NAME, key: SigningKey = KEY, signer: str = NAME, times: int = 1
) -> list[bool]:
    journal = MemoryJournal()
    message = Received(sender, "state", b"", b"", sign_statement(statement, signer, key))
    taken = []
    with journal.transaction() as transaction:
        turn = Turn(transaction, 0, counted_rng(b"stated"))
        taken = [stated.take(message, roster(), turn) is not None for _ in range(times)]
        assert len(turn.scan(stated.KEPT)) == 1
    return taken


def test_what_members_state_is_kept_once() -> None:
    assert take(allowance(), times=2) == [True, False]
    change = SourceChanged(federation="fed", time=1, member=NAME, task="task", change="path")
    assert take(change) == [True]


@pytest.mark.parametrize(
    ("statement", "sender", "signer", "key"),
    [
        (allowance("node-02"), NAME, NAME, KEY),
        (allowance(), "node-02", NAME, KEY),
        (allowance(federation="other"), NAME, NAME, KEY),
        (
            Aborted(federation="fed", time=1, job="job", round=1, attempt=1, group=0, manifest="", step="s", reason="r",
                    missing=()),
            NAME, NAME, KEY,
        ),
        (allowance(), NAME, NAME, FEDERATION.members["node-02"]),
        (allowance("stranger"), "stranger", "stranger", KEY),
    ],
)  # fmt: skip
def test_what_is_not_a_members_own_is_not(statement: Statement, sender: str, signer: str, key: SigningKey) -> None:
    with pytest.raises((ProtocolViolation, VerificationFailed)):
        take(statement, sender, key, signer)


def test_nobody_fills_the_disk_with_statements() -> None:
    journal = MemoryJournal()
    with journal.transaction() as transaction:
        turn = Turn(transaction, 0, counted_rng(b"stated"))
        for number in range(stated.MOST + 3):
            leaf = sign_statement(allowance(job=f"job-{number}"), NAME, KEY)
            stated.take(Received(NAME, "state", b"", b"", leaf), roster(), turn)
        assert len(turn.scan(stated.KEPT)) == stated.MOST
