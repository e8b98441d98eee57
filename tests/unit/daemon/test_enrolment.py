"""The newcomer's side: what it checks before it dials, what it makes of each answer, and that its keys stay."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from secagg.crypto.secret import Secret
from secagg.daemon.enrolment import KEYS, Newcomer, ask, describe, join, prepare, token_line
from secagg.errors import (
    BadConfiguration,
    BadInput,
    NotAuthorised,
    PeerUnavailable,
    SecaggError,
    TryLater,
    VerificationFailed,
)
from secagg.roster.messages import (
    ENROL,
    Admitted,
    Denied,
    Enrolment,
    EnrolReply,
    EnrolRequest,
    Waiting,
    check_enrolment,
)
from secagg.roster.tokens import Token, write_token
from secagg.transport.link import KEYSERVER
from secagg.transport.memory import MemoryNetwork
from secagg.wire.codec import decode, encode
from support.federation import counted_rng
from support.keyservers import newcomer_of

NOW = 1_700_000_000
PHRASE = Secret(b"phrase")
TOKEN = Token(
    "tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3", bytes(range(32)), "sha256:00", "fed", "charite",
    "charite", "node", NOW, NOW + 100, bytes(32),
)  # fmt: skip


def ready(path: Path, token: Token = TOKEN, *, role: str = "node", name: str = "", now: int = NOW) -> Newcomer:
    return prepare(write_token(token), role, name, path / "state", PHRASE, now, counted_rng(b"new"))


def test_the_request_is_signed_by_both_keys(tmp_path: Path) -> None:
    newcomer = ready(tmp_path)
    signed = decode(Enrolment, newcomer.request(NOW))
    request = decode(EnrolRequest, signed.request)
    check_enrolment(signed, request)
    assert (request.name, request.sign_key, request.curve_key, request.time) == (
        "charite", newcomer.member.sign_key, newcomer.member.curve_key, NOW,
    )  # fmt: skip


def test_a_second_run_has_the_same_keys_also_after_the_token_expired(tmp_path: Path) -> None:
    first = ready(tmp_path)
    again = prepare(
        write_token(TOKEN), "node", "charite", tmp_path / "state", PHRASE, NOW + 1000, counted_rng(b"other")
    )  # fmt: skip
    assert again.member == first.member
    assert (tmp_path / "state" / KEYS).stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadConfiguration, match="passphrase"):
        prepare(write_token(TOKEN), "node", "", tmp_path / "state", Secret(b"wrong"), NOW, counted_rng(b""))


@pytest.mark.parametrize(
    ("how", "kind", "code"),
    [
        ({"role": "aggregator"}, BadInput, "E-TOKEN-ROLE"),
        ({"name": "jena"}, BadInput, "E-TOKEN-NAME"),
        ({"now": NOW + 100}, NotAuthorised, "E-TOKEN-EXPIRED"),
    ],
)
def test_a_token_for_something_else_leaves_nothing_behind(
    tmp_path: Path, how: dict[str, object], kind: type[SecaggError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        ready(tmp_path, **how)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert not (tmp_path / "state" / KEYS).exists()


def test_a_state_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state").chmod(0o755)
    with pytest.raises(BadConfiguration, match="0755"):
        ready(tmp_path)


def test_the_institution_reads_whom_it_joins_and_what_to_read_out(tmp_path: Path) -> None:
    newcomer = ready(tmp_path)
    text = "\n".join(describe(newcomer))
    assert "fed, as charite (node of charite)" in text
    assert "sha256:00" in text
    assert newcomer.fingerprint.hex()[:4] in text
    assert bytes(32).hex() not in text


def test_a_pasted_message_holds_the_token() -> None:
    line = write_token(TOKEN)
    assert token_line(io.StringIO(f"secagg node join -\n{line}\n")).strip() == line
    with pytest.raises(BadInput, match="no token on standard input"):
        token_line(io.StringIO("secagg node join -\n"))


def test_a_configuration_that_is_there_stops_before_anything_is_made(tmp_path: Path) -> None:
    out = tmp_path / "node.toml"
    out.write_text("")
    with pytest.raises(BadConfiguration, match="exists already"):
        join(
            write_token(TOKEN), "node", tmp_path / "state", out, None, name="", prompt=lambda: "x",
            tell=lambda line: None, wait=0.0,
        )  # fmt: skip
    assert not (tmp_path / "state").exists()


Answer = Callable[[int], EnrolReply | bytes | None]


def enquire(
    answer: Answer, *, wait: float = 60.0, newcomer: Newcomer | None = None, poll: float = 0.2
) -> tuple[SecaggError, list[str], int]:
    """Ask a key server that answers the n-th request so; return the error, what was told, and how often it was."""
    own = newcomer or newcomer_of(TOKEN)
    told: list[str] = []
    asked = 0

    async def main() -> SecaggError:
        nonlocal asked
        network = MemoryNetwork()
        guest, server = network.guest(own.member.curve_key), network.link(KEYSERVER)

        async def serve() -> None:
            nonlocal asked
            while True:
                message = await server.receive()
                asked += 1
                reply = answer(asked)
                if reply is not None:
                    body = reply if isinstance(reply, bytes) else encode(reply)
                    await server.send(message.sender, ENROL, b"", body)

        serving = asyncio.create_task(serve())
        try:
            with pytest.raises(SecaggError) as caught:
                await ask(own, guest, told.append, wait=wait, wall=lambda: NOW, poll=poll)
            return caught.value
        finally:
            serving.cancel()

    return asyncio.run(main()), told, asked


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        ("E-TOKEN-USED", NotAuthorised, 77),
        ("E-TOKEN-EXPIRED", NotAuthorised, 77),
        ("E-TOKEN-REVOKED", NotAuthorised, 77),
        ("E-TOKEN-UNKNOWN", NotAuthorised, 77),
        ("E-CLOCK", BadInput, 64),
        ("E-ROOT", VerificationFailed, 65),
        ("E-LINK-KEY", VerificationFailed, 65),
    ],
)
def test_a_refusal_keeps_its_code_and_its_words(code: str, kind: type[SecaggError], exit_code: int) -> None:
    error, _, asked = enquire(lambda number: Denied(code, "A cause.", "A remedy."), poll=5.0)
    assert (type(error), error.code, error.cause, error.remedy) == (kind, code, "A cause.", "A remedy.")
    assert (error.exit_code, asked) == (exit_code, 1)


def test_without_waiting_one_answer_is_enough() -> None:
    own = newcomer_of(TOKEN)
    error, told, asked = enquire(lambda number: Waiting(own.fingerprint), wait=0.0)
    assert (type(error), asked) == (TryLater, 1)
    assert told == ["The request is there; it waits for the operator's approval."]


def test_waiting_goes_on_until_there_is_a_decision_and_says_so_once() -> None:
    own = newcomer_of(TOKEN)
    answers: dict[int, EnrolReply | bytes | None] = {
        1: None, 2: b"\xc1", 3: Denied("E-LATER", "Not yet.", "Again."), 4: Waiting(own.fingerprint),
        5: Waiting(own.fingerprint), 6: Denied("E-REVOKED", "Turned away.", "Ask."),
    }  # fmt: skip
    error, told, asked = enquire(answers.__getitem__)
    assert (error.code, asked, len(told)) == ("E-REVOKED", 6, 1)


def test_a_fingerprint_of_other_keys_is_a_man_in_the_middle() -> None:
    error, _, _ = enquire(lambda number: Waiting(bytes(32)))
    assert type(error) is VerificationFailed


def test_a_roster_that_does_not_verify_is_not_believed() -> None:
    error, _, _ = enquire(lambda number: Admitted(b"\xc1"))
    assert error.code == "E-WIRE"


def test_nobody_answering_is_said_with_the_state_of_the_link() -> None:
    error, _, asked = enquire(lambda number: None, wait=0.05, poll=0.01)
    assert type(error) is PeerUnavailable
    assert "connected" in error.cause
    assert asked >= 2


def test_a_key_server_that_saw_another_root_is_refused() -> None:
    changed = newcomer_of(replace(TOKEN, root_fingerprint="sha256:" + "11" * 32))
    error, _, _ = enquire(lambda number: Waiting(newcomer_of(TOKEN).fingerprint), newcomer=changed)
    assert type(error) is VerificationFailed
