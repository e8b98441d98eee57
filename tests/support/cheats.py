"""Members that cheat about shares in rounds of real services: their own machine, with one step changed for them alone.

Each takes pytest's `monkeypatch` and the name of the member; what everybody else does stays as it is.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from secagg.crypto.derive import sha256
from secagg.crypto.sign import SigningKey
from secagg.ids import EVERYBODY
from secagg.protocol.masks import node
from secagg.protocol.masks.messages import ShareKeys, ShareList, SharePair
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Signed, sign
from support.dealings import bent


def _around(patch: pytest.MonkeyPatch, step: str, member: str, change: Any) -> None:
    """Let `change(honest, *arguments)` do a step of one member's machine."""
    honest = getattr(node, step)

    def done(*arguments: Any) -> Any:
        mine = arguments[-1].name == member
        return change(honest, *arguments) if mine else honest(*arguments)

    patch.setattr(node, step, done)


def answers_wrongly(
    patch: pytest.MonkeyPatch, member: str, dealer: str, *, leaves_out: bool = False, last: int = 2**31
) -> None:
    """Bend its share of one dealer's secret in its answer, or leave it out, up to the round `last`."""

    def lie(honest: Any, phase: Any, message: Any, ctx: Any) -> Any:
        if phase.scope.round.round > last:
            return honest(phase, message, ctx)
        found = tuple(
            replace(one, seed=bent(one.seed), key=bent(one.key)) if one.owner == dealer else one
            for one in phase.held
            if not (leaves_out and one.owner == dealer)
        )
        return honest(replace(phase, held=found), message, ctx)

    _around(patch, "_reveal", member, lie)


def deals_wrongly(patch: pytest.MonkeyPatch, member: str, to: int) -> None:
    """Bend, and list, what it deals to the member at this place in the roster."""

    def lie(honest: Any, *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as only:
            split: Any = vars(node)["split"]
            only.setattr(
                node, "split",
                lambda *given: [bent(one) if at == to else one for at, one in enumerate(split(*given))],
            )  # fmt: skip
            return honest(*arguments)

    _around(patch, "_deal", member, lie)


def seals_rubbish(patch: pytest.MonkeyPatch, member: str, count: int) -> None:
    """Seal nothing usable to the first `count` members, and sign for it."""

    def lie(honest: Any, *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as only:
            seal: Any = vars(node)["seal"]
            sealed: list[bytes] = []

            def spoil(key: bytes, plain: bytes, info: bytes) -> bytes:
                sealed.append(info)
                made: bytes = seal(key, b"rubbish" if len(sealed) <= count else plain, info)
                return made

            only.setattr(node, "seal", spoil)
            return honest(*arguments)

    _around(patch, "_deal", member, lie)


def seals_other_shares(patch: pytest.MonkeyPatch, member: str) -> None:
    """Seal to everybody shares that are well-formed and not those that it lists."""

    def lie(honest: Any, *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as only:
            seal: Any = vars(node)["seal"]

            def spoil(key: bytes, plain: bytes, info: bytes) -> bytes:
                pair = decode(SharePair, plain)
                made: bytes = seal(key, encode(SharePair(seed=bent(pair.seed), key=bent(pair.key))), info)
                return made

            only.setattr(node, "seal", spoil)
            return honest(*arguments)

    _around(patch, "_deal", member, lie)


def signs_two_lists(patch: pytest.MonkeyPatch, member: str, key: SigningKey) -> None:
    """Send a second list, for another secret, behind the first."""

    def lie(honest: Any, *arguments: Any) -> Any:
        step = honest(*arguments)
        (kind, data), = step.send  # fmt: skip
        sent = decode(ShareKeys, data, LIMIT_BULK)
        body = encode(replace(decode(ShareList, sent.shares.body), commitment=sha256(b"another")))
        scope = arguments[0].scope
        second: Signed = sign(key, "ShareKeys", scope, member, EVERYBODY, body)
        return node.Step(step.phase, (*step.send, (kind, encode(replace(sent, shares=second)))), step.records)

    _around(patch, "_deal", member, lie)


def reports(patch: pytest.MonkeyPatch, member: str, dealer: str) -> None:
    """Report a dealer that did nothing."""

    def lie(honest: Any, phase: Any, done: Any, ctx: Any) -> Any:
        held = tuple(replace(one, seed=b"", key=b"") if one.owner == dealer else one for one in phase.held)
        return honest(replace(phase, held=held), done, ctx)

    _around(patch, "_protected", member, lie)
