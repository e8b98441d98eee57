"""What a node believes of how an attempt ended: enough words of trustees, or the frozen set that a quorum signed."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from secagg.errors import ProtocolViolation, Refused, SecaggError, VerificationFailed
from secagg.ids import EVERYBODY
from secagg.protocol.custody import custody_of, words_needed
from secagg.protocol.paillier.ending import check_frozen, check_words
from secagg.protocol.paillier.messages import Freeze, Open
from secagg.protocol.round.messages import Ended
from secagg.rehearsal.entrusted import Entrusted, propose
from secagg.wire.codec import encode
from secagg.wire.signed import Scope, Signed, sign
from support.entrusted import TRUSTEES, make
from support.malice import Scene, listed, stop_before


def word(entrusted: Entrusted, scope: Scope, name: str) -> Signed:
    return sign(entrusted.trustees[name], "Ended", scope, name, EVERYBODY, encode(Ended()))


@pytest.mark.parametrize(("m", "c", "t", "needed"), [(5, 1, 4, 3), (7, 2, 5, 5), (3, 0, 2, 2), (3, 0, 3, 1)])
def test_so_many_words_that_fewer_than_t_could_answer(m: int, c: int, t: int, needed: int) -> None:
    entrusted = make(4, trustees=m, threshold=t, colluders=c)
    assert words_needed(entrusted.custody) == needed
    # Who gave no word, and liars among those who did, are too few.
    assert m - needed + c < t
    manifest = propose(entrusted)
    scope = Scope(manifest.round, bytes(32))
    words = [word(entrusted, scope, name) for name in TRUSTEES[:m]]
    check_words(words[:needed], custody_of(manifest), scope)
    for few in (words[: needed - 1], [*words[: needed - 1]] * 2):
        with pytest.raises(Refused) as caught:
            check_words(few, custody_of(manifest), scope)
        assert caught.value.rule == "ended.words"


def test_a_word_is_of_a_trustee_and_of_exactly_this_attempt() -> None:
    entrusted, other = make(4), make(4, trustees=5, threshold=4, colluders=1)
    manifest = propose(entrusted)
    scope = Scope(manifest.round, bytes(32))
    good = [word(entrusted, scope, name) for name in ("ana", "ben")]
    check_words(good, custody_of(manifest), scope)
    elsewhere = (
        Scope(replace(scope.round, attempt=2), scope.manifest), Scope(replace(scope.round, group=1), scope.manifest),
        Scope(scope.round, b"\1" * 32),
    )  # fmt: skip
    cyd = entrusted.trustees["cyd"]
    bad = [
        *(word(entrusted, where, "cyd") for where in elsewhere),
        replace(word(entrusted, scope, "cyd"), signature=bytes(64)),
        replace(good[0], sender="cyd"),
        sign(cyd, "Witness", scope, "cyd", EVERYBODY, encode(Ended())),
        sign(cyd, "Ended", scope, "cyd", "aggregator", encode(Ended())),
        *(sign(cyd, "Ended", scope, "cyd", EVERYBODY, junk) for junk in (b"", b"\xc1", b"\x81\xa1a\x01", b"\x80\x80")),
        word(other, scope, "eve"),
    ]
    for one in bad:
        with pytest.raises(Refused) as caught:
            check_words([good[0], one], custody_of(manifest), scope)
        assert (caught.value.rule, "1 beside them" in caught.value.cause) == ("ended.words", True)
        check_words([one, *good], custody_of(manifest), scope)
        check_words([*good, one], custody_of(manifest), scope)


class Told:
    """What an aggregator answers a node that asks how an attempt went on."""

    def __init__(self) -> None:
        self.scene: Scene = stop_before("Freeze")
        self.u = listed(*self.scene.headers().values())
        self.freeze: Freeze = self.scene.logged(self.u)("ana")
        self.asked: Open = self.scene.witnessed(self.u)
        self.last = self.scene.played.parties["node-00"].notebook.last("fed/rounds")
        size = self.last.size if self.last else 0
        self.proof = self.scene.played.log.prove(self.freeze.proof.index, size)
        self.expect = self.scene.played.parties["node-00"].ctx.expect

    def check(self, **parts: object) -> tuple[str, ...]:
        given = {
            "before": b"", "frozen": self.u, "leaf": self.freeze.leaf, "proof": self.proof,
            "agreements": self.asked.agreements,
            "manifest": self.scene.played.manifest, "scope": self.scene.scope, "known": self.expect, "last": self.last,
        }  # fmt: skip
        names, seen = check_frozen(**given | parts)  # type: ignore[arg-type]
        assert seen.size > 0
        return names


def test_a_set_that_a_quorum_signed_and_the_log_holds_is_believed() -> None:
    told = Told()
    assert told.check() == tuple(told.scene.headers())
    assert told.check(agreements=told.asked.agreements[:2]) == tuple(told.scene.headers())


def fewer(told: Told) -> bytes:
    return listed(*tuple(told.scene.headers().values())[:3])


LIES: dict[str, tuple[Callable[[Told], dict[str, object]], type[SecaggError], str]] = {
    "one trustee": (lambda told: {"agreements": told.asked.agreements[:1]}, Refused, "open.threshold"),
    "one trustee twice": (lambda told: {"agreements": told.asked.agreements[:1] * 3}, Refused, "open.threshold"),
    "nobody": (lambda told: {"agreements": ()}, Refused, "open.threshold"),
    "members": (lambda told: {"agreements": tuple(told.scene.headers().values())}, Refused, "open.signer"),
    "another set": (lambda told: {"frozen": fewer(told)}, Refused, "freeze.statement"),
    "too few": (lambda told: {"frozen": listed(*tuple(told.scene.headers().values())[:2])}, Refused, "u.enough"),
    "a set of strangers": (lambda told: {"frozen": listed(*told.asked.agreements)}, ProtocolViolation, "list.members"),
    "another attempt": (
        lambda told: {"scope": Scope(replace(told.scene.scope.round, attempt=2), told.scene.scope.manifest)},
        ProtocolViolation, "",
    ),
    "another log": (lambda told: {"proof": replace(told.proof, inclusion=())}, VerificationFailed, ""),
    "another place": (lambda told: {"proof": replace(told.proof, old_size=99)}, VerificationFailed, ""),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_nothing_less_is_believed(lie: str) -> None:
    told = Told()
    parts, error, rule = LIES[lie]
    with pytest.raises(error) as caught:
        told.check(**parts(told))
    assert rule in ("", getattr(caught.value, "rule", ""))


def test_agreements_to_another_frozen_set_are_none_to_this_one() -> None:
    told, other = Told(), stop_before("Freeze")
    asked = other.witnessed(fewer(told))
    with pytest.raises(Refused) as caught:
        told.check(agreements=asked.agreements)
    assert caught.value.rule == "open.same-set"
