"""Row 51 where trustees open: words that an attempt is over, as nodes judge them one by one.

An input leaves a node's ledger with the words of so many trustees that too few are left who could answer. One trustee
whose word is none would keep every institution's input counted, if it spoiled the words of all the others.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from attacks.test_50_holders import federation
from secagg.ids import EVERYBODY, RoundId
from secagg.log.statements import Aborted, parse_statement
from secagg.protocol.acceptance import Policy
from secagg.protocol.round.messages import Ended
from secagg.protocol.session import AbortNotice
from secagg.transport.link import Received
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, sign
from support.entrusted_hall import EntrustedWard
from support.paillier_keys import SMALL

pytestmark = pytest.mark.usefixtures("short_keys")

FOUR = ("node-00", "node-01", "node-02", "node-03")
WILLING = Policy(engines=("masks", "paillier"), exact_counts=True, allow_trials=True, min_key_bits=SMALL)
Say = Callable[..., Signed]
Words = Callable[[Say], Sequence[Signed]]


def states(tmp_path: Path, words: Words) -> tuple[EntrustedWard, dict[str, list[str]]]:
    """Let every attempt end because trustees stay silent, and hand nodes these words; return what nodes count."""
    ward = EntrustedWard(federation(), tmp_path, WILLING)
    whole = ward.network._fate

    def fate(to: str, message: Received) -> Sequence[Received]:
        if message.kind != "aborted" or to not in FOUR:
            return whole(to, message)
        notice = decode(AbortNotice, message.body, LIMIT_BULK)
        ended = parse_statement(notice.leaf)[0]
        assert isinstance(ended, Aborted)
        scope = Scope(notice.round, bytes.fromhex(ended.manifest))

        def say(name: str, body: bytes = encode(Ended()), about: Scope = scope) -> Signed:
            return sign(ward.trustees[name].entrusted.trustees[name], "Ended", about, name, EVERYBODY, body)

        told = replace(notice, words=tuple(words(say)))
        return (replace(message, body=encode(told)),)

    async def script(stage: object) -> None:
        await ward.start_nodes()
        try:
            for one in ward.trustees.values():
                one.silent = "Witness"
            ward.submit()
            for _ in range(12):
                await ward.gather()
                await ward.wait(3)
        finally:
            await ward.stop_nodes()

    ward.network._fate = fate
    ward.play(script)
    entries = {name: node.ledger.entries() for name, node in ward.nodes.items()}
    return ward, {name: [entry.state for entry in found] for name, found in entries.items()}


BAD: dict[str, Callable[[Say], Signed]] = {
    "junk": lambda say: say("cyd", b"\xc1\x00"),
    "longer": lambda say: say("cyd", b"\x80\x80"),
    "unsigned": lambda say: replace(say("cyd"), signature=bytes(64)),
    "of another attempt": lambda say: say("cyd", about=Scope(RoundId("fed", "job", 1, attempt=9), bytes(32))),
    "of a stranger": lambda say: replace(say("cyd"), sender="node-00"),
}


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_word_takes_nothing_from_enough_good_ones(tmp_path: Path, bad: str) -> None:
    ward, found = states(tmp_path, lambda say: (BAD[bad](say), say("ana"), say("ben")))
    assert set(map(tuple, found.values())) == {("lifted",) * 3}
    assert not [event for node in ward.nodes.values() for event in node.named("counted")]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_word_is_none_where_one_is_lacking(tmp_path: Path, bad: str) -> None:
    ward, found = states(tmp_path, lambda say: (say("ana"), BAD[bad](say)))
    assert set(map(tuple, found.values())) == {("pending",)}
    counted = [event for node in ward.nodes.values() for event in node.named("counted")]
    assert {event["rule"] for event in counted} == {"ended.words"}
    assert {"1 trustees say" in str(event["cause"]) for event in counted} == {True}
