"""Row 29: secrets in logs, tracebacks, texts of errors, and files that nobody thinks of.

Canaries are planted where secrets are: keys, seeds, shares, passphrases, tokens, clear words, what a task says of its
data. Then everything is made to talk. Values are printed in every way, errors are raised with secrets in every frame,
and members are shown broken messages in every phase. Everything that was written is searched, also as hexadecimal,
base64, decimal and the way Python prints bytes.
"""

import base64
import io
import json
import pickle
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.pretty import pretty_repr

from secagg.crypto.agree import AgreementKey
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.daemon import logs, vault
from secagg.errors import BadInput, SecaggError
from secagg.protocol.masks import member as node
from secagg.protocol.masks.messages import Answer, OwnedShare, SharePair
from secagg.rehearsal.federation import AGGREGATOR
from secagg.roster.tokens import Token, read_token, write_token
from secagg.transport.link import Received
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST
from secagg.wire.signed import Signed, sign
from support.adversary import Scene, stop_before
from support.breaking import broken
from support.federation import make
from support.nodes import Ward

CANARY = b"a canary that must never be seen"
LONG = CANARY * 3
SHARE = b"\0" + CANARY


def forms(secret: bytes) -> list[str]:
    """Return how a secret may look in a text."""
    found = [secret.hex(), secret.hex().upper(), repr(secret)[2:-1], base64.b64encode(secret).decode()[:40]]
    found += [base64.urlsafe_b64encode(secret).decode()[:40], str(int.from_bytes(secret, "big"))]
    return [*found, str(list(secret))[1:-1]]


def shows(text: str, secret: bytes = CANARY) -> bool:
    """Say whether a text has a secret in it, in any form."""
    return any(form in text for form in forms(secret))


TOKEN = Token(
    "tcp://a:1", "tcp://a:2", "tcp://a:3", bytes(32), "sha256:00", "fed", "clinic", "node-00", "node", 1, 2, CANARY
)


def phase_of(kind: str) -> object:
    phase: Any = stop_before(kind).party.phase
    changes: dict[str, Any] = {field: CANARY for field in ("mask_private", "seed", "chain") if hasattr(phase, field)}
    if hasattr(phase, "held"):
        changes["held"] = tuple(type(held)(held.owner, SHARE, SHARE) for held in phase.held)
    return replace(phase, **changes, seal_private=LONG)


HOLDERS: dict[str, Callable[[], object]] = {
    "secret": lambda: Secret(CANARY),
    "signing key": lambda: SigningKey.from_private_bytes(CANARY),
    "agreement key": lambda: AgreementKey.from_private_bytes(CANARY),
    "sealing key": lambda: SealingKey.from_private_bytes(LONG),
    "key ring": lambda: vault.KeyRing(Secret(CANARY), Secret(CANARY), Secret(CANARY)),
    "key file": lambda: vault._RingBytes(CANARY, CANARY, CANARY),
    "token": lambda: TOKEN,
    "share pair": lambda: SharePair(SHARE, SHARE),
    "owned share": lambda: OwnedShare("node-00", SHARE),
    "answer": lambda: Answer(bytes(32), bytes(32), (OwnedShare("node-00", SHARE),), (OwnedShare("node-01", SHARE),)),
    **{f"phase before {kind}": lambda kind=kind: phase_of(kind)  # type: ignore[misc]
       for kind in ("MemberKeys", "DeliverShares", "Freeze", "Open")},
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDERS)
def test_what_holds_a_secret_does_not_print_it(name: str) -> None:
    holder = HOLDERS[name]()
    shown = [repr(holder), str(holder), f"{holder}", f"{holder!r:>40}", repr([holder]), repr({"key": holder})]
    shown += [pretty_repr(holder), pretty_repr([holder], expand_all=True), json.dumps(holder, default=str)]
    shown.append(str(BadInput(f"This is {holder}.", f"See {holder!r}.")))
    assert not any(shows(text) for text in shown)
    if name in ("secret", "key ring", "signing key", "agreement key", "sealing key"):
        with pytest.raises(TypeError):
            pickle.dumps(holder)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def raised(holder: object) -> Exception:
    """Return an error with secrets in every frame it went through."""

    def inner(given: object, plain: bytes) -> None:
        local = Secret(plain)
        raise KeyError("something went wrong", type(given).__name__, len(local))

    try:
        inner(holder, CANARY)
    except KeyError as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("file", [io.StringIO, Terminal], ids=["file", "terminal"])
@pytest.mark.parametrize("name", HOLDERS)
def test_no_log_line_shows_a_secret_whatever_is_logged(name: str, file: type[io.StringIO]) -> None:
    holder, target = HOLDERS[name](), file()
    log = logs.configure("node", "node-00", 1, file=target)
    log.error("fail", exc_info=raised(holder), peer="node-01")
    log.info("step", mask=holder, update=[1.5], secret=CANARY, key=CANARY.hex())
    log.info("step", cause=CANARY, reason=[CANARY, holder, {"inner": CANARY}], bytes=CANARY, state=holder)
    text = target.getvalue()
    assert "something went wrong" in text
    assert "raise KeyError" in text  # The traceback is there: it is of use, and of code only.
    assert not shows(text)


@pytest.mark.parametrize("name", HOLDERS)
def test_no_printed_traceback_shows_a_holder(name: str) -> None:
    """Also one that prints the locals of its frames, as pretty tracebacks do."""
    error = raised(HOLDERS[name]())
    assert not shows("".join(traceback.format_exception(error)))
    assert error.__traceback__ is not None
    frame = error.__traceback__.tb_next
    assert frame is not None
    assert not shows(pretty_repr(frame.tb_frame.f_locals["given"]))


def test_damaged_keys_and_tokens_are_not_repeated_in_the_error(tmp_path: Path) -> None:
    line = write_token(TOKEN)
    secrets = [line, line[20:60], CANARY.decode()]
    texts: list[str] = []
    for damaged in (line[:-3], line.replace("A", "B", 1) + "x", f"{line} {line}", CANARY.decode()):
        with pytest.raises(BadInput) as caught:
            read_token(damaged)
        texts.append(f"{caught.value} {caught.value.args} {caught.value.__dict__}")
    tmp_path.chmod(0o700)
    ring = vault.KeyRing(*(Secret(CANARY) for _ in range(3)))
    vault.save_keys(tmp_path / "keys", ring, Secret(b"right " + CANARY), lambda count: bytes(count), cost=2**14)
    with pytest.raises(SecaggError) as wrong:
        vault.load_keys(tmp_path / "keys", Secret(b"wrong " + CANARY))
    texts.append(f"{wrong.value} {wrong.value.args} {wrong.value.__dict__}")
    for text in texts:
        assert not any(secret in text for secret in secrets)
    assert CANARY not in (tmp_path / "keys").read_bytes()


def spoken(scene: Scene, count: int) -> str:
    """Return the texts of all errors that broken messages cause in a phase."""
    texts, honest = [], decode(Signed, scene.message.data, LIMIT_LIST)
    for body in broken(honest.body, [scene.message.data], count):
        signed = sign(scene.federation.aggregator, honest.kind, scene.scope, AGGREGATOR, scene.victim, body)
        assert scene.party.phase is not None
        try:
            node.advance(scene.party.phase, signed, scene.party.ctx)
        except SecaggError as error:
            texts.append("".join(traceback.format_exception(error)) + repr(error.__dict__))
    return "".join(texts)


@pytest.mark.parametrize("kind", ["MemberKeys", "DeliverShares", "Freeze", "Open"])
def test_no_error_of_a_phase_speaks_of_what_the_phase_holds(kind: str) -> None:
    scene = stop_before(kind)
    phase: Any = scene.party.phase
    held = [share for one in getattr(phase, "held", ()) for share in (one.seed, one.key)]
    secrets = [getattr(phase, field, b"") for field in ("seal_private", "mask_private", "seed")] + held
    text = spoken(scene, 120)
    assert len(text) > 10_000
    assert any(secrets)
    assert not any(shows(text, secret) for secret in secrets if secret)


NUMBER = "31415926.5358979"


class Faulty:
    """A federation in which every message to a node comes again, broken; every draw of a node is a canary."""

    def __init__(self, place: Path) -> None:
        self.ward = Ward(make(4, chunk_bytes=4096), place)
        self.seen: list[tuple[str, Received]] = []
        self.drawn: list[bytes] = []
        self.answers: list[object] = []
        self.ward.network._fate = self._keep
        for one in self.ward.nodes.values():
            one.rng = self._noting(one.rng)

    def _noting(self, inner: Rng) -> Rng:
        def draw(count: int) -> bytes:
            self.drawn.append(inner(count))
            return self.drawn[-1]

        return draw

    def _keep(self, to: str, message: Received) -> tuple[Received, ...]:
        self.seen.append((to, message))
        return self.ward._count(to, message)

    def _break(self) -> None:
        for to, message in self.seen[-20:]:
            if to in self.ward.nodes and message.sender == AGGREGATOR and message.kind != "ack":
                for body in list(broken(message.body, [message.header], 2))[-2:]:
                    self.ward.network.deliver(to, Received(AGGREGATOR, message.kind, b"", message.header, body))

    async def _script(self, _: object) -> None:
        await self.ward.start_nodes()
        self.ward.nodes["node-03"].data.write_text(NUMBER)
        self.ward.submit()
        for _second in range(8):
            await self.ward.wait(1)
            self._break()
            for daemon in (self.ward.daemon, *(one.daemon for one in self.ward.nodes.values())):
                self.answers.append(daemon.command({"command": "status"}))
        await self.ward.stop_nodes()

    def run(self) -> dict[str, str]:
        """Run it; return everything that was said, by whom."""
        self.ward.play(self._script)
        assert self.ward.named("round_closed")
        texts = {"answers": str(self.answers), AGGREGATOR: self.ward.log.getvalue() + str(self.ward.events)}
        return texts | {name: one.log.getvalue() + str(one.events) for name, one in self.ward.nodes.items()}

    def secrets(self) -> list[bytes]:
        """Return the draws that are keys or seeds: not those that a node tells the key server when it starts."""
        told = b"".join(message.body for _, message in self.seen if message.kind == "boot")
        return [one for one in self.drawn if len(one) >= 32 and one not in told]


def test_a_run_with_faults_everywhere_writes_no_secret_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(temporary)
    faulty = Faulty(tmp_path / "state")
    texts, secrets = faulty.run(), faulty.secrets()
    assert sum(text.count("refuse") for text in texts.values()) > 10
    assert len(secrets) > 30
    for place, text in texts.items():
        assert NUMBER[:9] not in text, place
        assert not any(shows(text, secret) for secret in secrets), place
    assert not list(temporary.rglob("*"))
    for path in (tmp_path / "state").rglob("*"):
        data = path.read_bytes() if path.is_file() and path != faulty.ward.nodes["node-03"].data else b""
        assert NUMBER.encode() not in data, path
        assert not any(secret in data for secret in secrets), path
