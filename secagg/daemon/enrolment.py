"""How a machine becomes a member: one request over the broker's enrolment socket, repeated until a person has decided.

 1. The token says whom to dial and whom to believe; it is checked for role, name and expiry before anything is sent.
 2. The keys are made here and never leave; a second run with the same state directory repeats the same request.
 3. The new member's key and the token's sign the request; the connection itself proves the CURVE key.
 4. The answer counts once the roster in it verifies under the token's root and holds exactly our keys.

Rules: secrets come from files, prompts or standard input; nothing listens, everything dials out. Leaves to others: the
command (each role's own), judging (keyserver). Source: docs/operations.md "Enrolment".
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from secagg.crypto.rng import Rng, system_rng
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey
from secagg.daemon import clock, vault
from secagg.daemon.federation import broker_section, write_configuration
from secagg.daemon.membership import Pin, Standing, check_own, follow
from secagg.errors import (
    BadConfiguration,
    BadInput,
    NotAuthorised,
    PeerUnavailable,
    SecaggError,
    TryLater,
    VerificationFailed,
    WireError,
)
from secagg.roster.fingerprints import groups, member_fingerprint, words
from secagg.roster.members import Member
from secagg.roster.messages import (
    ENROL,
    Admitted,
    Denied,
    EnrolReply,
    EnrolRequest,
    Waiting,
    sign_enrolment,
)
from secagg.roster.tokens import Token, read_token, token_key
from secagg.transport.curve import Addresses, key_text, public_key
from secagg.transport.link import KEYSERVER, Link
from secagg.transport.zmq_link import GuestLink
from secagg.wire.codec import decode, encode
from secagg.wire.limits import LIMIT_BULK

KEYS = "keys.bin"
"""The key file of a member in its state directory."""

POLL = 3.0
"""Seconds between two requests; the broker lets a guest send one a second."""

PATIENCE = 15.0
"""Seconds without any answer until the person is told why."""

_KINDS: dict[str, type[SecaggError]] = {
    "E-ROOT": VerificationFailed,
    "E-LINK-KEY": VerificationFailed,
    "E-CLOCK": BadInput,
}
"""Refusals that are no question of authorisation."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Newcomer:
    """A machine with keys and a token."""

    token: Token
    ring: vault.KeyRing
    member: Member

    @property
    def pin(self) -> Pin:
        """Return whom the token says to believe."""
        return Pin(self.token.federation, self.token.root_fingerprint)

    @property
    def fingerprint(self) -> bytes:
        """Return what the operator has to see too (32 bytes)."""
        return member_fingerprint(self.token.federation, self.token.root_fingerprint, self.member)

    def request(self, now: int) -> bytes:
        """Return the signed request; `now` is unix seconds."""
        own = self.member
        signer = SigningKey.from_private_bytes(self.ring.sign.reveal())
        key = token_key(Secret(self.token.secret), self.token.federation)
        request = EnrolRequest(
            self.token.federation,
            self.token.root_fingerprint,
            own.name,
            own.sign_key,
            own.curve_key,
            key.public,
            now,
        )
        return encode(sign_enrolment(request, signer, key))


def token_line(stream: TextIO) -> str:
    """Return what stands in a stream from `sa1_` on, so that the operator's whole message may be pasted.

    Raises: BadInput.
    """
    text = stream.read(16_384)
    if "sa1_" not in text:
        raise BadInput(
            "There is no token on standard input.",
            "Paste the line that begins with sa1_.",
            code="E-TOKEN",
        )
    return text[text.index("sa1_") :]


def prepare(line: str, role: str, name: str, state_dir: Path, phrase: Secret, now: int, rng: Rng) -> Newcomer:
    """Read the token, make or load the keys in `state_dir`; `name` is empty when the token's is to be used.

    Raises: BadInput or NotAuthorised for a token that cannot be used; BadConfiguration for a directory that cannot.
    """
    token = read_token(line)
    if token.role != role:
        raise BadInput(
            f"The token is for the role {token.role}, not for {role}.",
            f"Use `secagg {token.role} join -`.",
            code="E-TOKEN-ROLE",
        )
    if name and name != token.name:
        raise BadInput(
            f"The token is for {token.name}, not for {name}.",
            f"Use --name {token.name}.",
            code="E-TOKEN-NAME",
        )
    vault.private_directory(state_dir)
    if (state_dir / KEYS).exists():
        ring = vault.load_keys(state_dir / KEYS, phrase)
    elif now >= token.expires:
        raise NotAuthorised(
            f"The token expired {now - token.expires} s ago.",
            "Check this machine's clock, then ask the operator for a new token.",
            code="E-TOKEN-EXPIRED",
        )
    else:
        ring = vault.generate_keys(rng)
        vault.save_keys(state_dir / KEYS, ring, phrase, rng)
    signer = SigningKey.from_private_bytes(ring.sign.reveal())
    own = Member(token.name, token.institution, token.role, signer.public, public_key(ring.curve))
    return Newcomer(token, ring, own)


async def ask(
    newcomer: Newcomer,
    link: Link,
    tell: Tell,
    *,
    wait: float,
    wall: Callable[[], int],
    poll: float = POLL,
) -> Standing:
    """Ask until a person has approved, at most `wait` seconds (0: until the first answer); return the roster.

    Raises: NotAuthorised and others for a refusal, by code. TryLater when nobody has decided yet. PeerUnavailable when
    nobody answered. VerificationFailed when the roster is not to be believed.
    """
    now = asyncio.get_running_loop().time
    begun, told, answered = now(), set[str](), False
    while True:
        reply = await _exchange(newcomer, link, wall, poll)
        match reply:
            case Admitted(push):
                return _admitted(push, newcomer, wall())
            case Denied(code, cause, remedy) if _final(reply):
                raise _KINDS.get(code, NotAuthorised)(cause, remedy, code=code)
            case Waiting(fingerprint) if fingerprint != newcomer.fingerprint:
                raise VerificationFailed("The key server saw other keys than ours.", "Tell the operator.")
            case Waiting():
                answered = True
                _once(
                    "The request is there; it waits for the operator's approval.",
                    told,
                    tell,
                )
            case None if now() - begun >= PATIENCE:
                _once(f"The key server does not answer yet: {link.state}.", told, tell)
        if now() - begun >= (wait if answered or wait else PATIENCE):
            raise _not_yet(newcomer, link, answered)


async def _exchange(newcomer: Newcomer, link: Link, wall: Callable[[], int], poll: float) -> EnrolReply | None:
    """Send the request; return the first answer within `poll` seconds, None when there is none.

    An answer is waited for to the end, so that an approval is heard the moment it is published.
    """
    loop = asyncio.get_running_loop()
    end, found = loop.time() + poll, None
    try:
        await link.send(KEYSERVER, ENROL, b"", newcomer.request(wall()))
    except PeerUnavailable:
        await asyncio.sleep(max(0.0, end - loop.time()))
        return None
    while (left := end - loop.time()) > 0:
        try:
            message = await asyncio.wait_for(link.receive(), left)
        except TimeoutError:
            break
        if (message.sender, message.kind) == (KEYSERVER, ENROL):
            found = _reply(message.body) or found
            if found is not None and _final(found):
                return found
    return found


def _final(reply: EnrolReply) -> bool:
    """Say whether asking again changes nothing."""
    return isinstance(reply, Admitted) or (isinstance(reply, Denied) and reply.code != TryLater.default_code)


def _reply(body: bytes) -> EnrolReply | None:
    try:
        reply: EnrolReply = decode(EnrolReply, body, LIMIT_BULK)  # type: ignore[arg-type]
    except WireError:
        return None
    return reply


def _admitted(push: bytes, newcomer: Newcomer, now: int) -> Standing:
    standing = follow(push, newcomer.pin, now, None)
    check_own(standing.roster(), newcomer.member)
    return standing


def _once(line: str, told: set[str], tell: Tell) -> None:
    if line not in told:
        told.add(line)
        tell(line)


def _not_yet(newcomer: Newcomer, link: Link, answered: bool) -> SecaggError:
    if answered:
        return TryLater(
            f"Nobody has approved {newcomer.member.name} yet.",
            "Read the words to the operator; run the same command again with the same token.",
        )
    return PeerUnavailable(
        f"The key server does not answer over {newcomer.token.enrol}: {link.state}.",
        "Check that this machine may dial out to the broker; run the same command again.",
    )


def describe(newcomer: Newcomer) -> list[str]:
    """Return the lines that the institution reads before and during enrolment."""
    token = newcomer.token
    return [
        f"federation    {token.federation}, as {newcomer.member.name} ({token.role} of {token.institution})",
        f"root          {token.root_fingerprint}",
        f"broker        {token.control}",
        f"fingerprint   {groups(newcomer.fingerprint)}",
        f"words         {' '.join(words(newcomer.fingerprint))}",
        "Read the words to the operator when they call; they ask for two of them.",
    ]


def join(
    line: str, role: str, state_dir: Path, config_out: Path, passphrase_file: Path | None, *,
    name: str, prompt: Callable[[], str], tell: Tell, wait: float, with_organisation: bool = False,
    policy: Mapping[str, object] | None = None,
) -> Path:  # fmt: skip
    """Enrol this machine and write its configuration, with its organisation where the role says that, and `policy` as
    its section of that name. Return the path.

    Raises: as `prepare` and `ask`; BadConfiguration when the file exists already.
    """
    if config_out.exists():
        raise BadConfiguration(
            f"{config_out} exists already.",
            "Move it away, or choose another --config-out.",
        )
    phrase = vault.passphrase(passphrase_file, prompt=prompt)
    newcomer = prepare(line, role, name, state_dir, phrase, clock.wall(), system_rng)
    for told in describe(newcomer):
        tell(told)
    standing = asyncio.run(_dial(newcomer, tell, wait))
    roster = standing.roster()
    tell(f"{newcomer.member.name} is a member: roster version {roster.version}, {len(roster.members)} members.")
    own = {"name": newcomer.member.name, "state_dir": str(state_dir.resolve())}
    if with_organisation:
        own["organisation"] = newcomer.member.organisation
    if passphrase_file:
        own["passphrase_file"] = str(passphrase_file.resolve())
    where = _addresses(newcomer.token)
    pinned = {
        "name": newcomer.token.federation,
        "root_fingerprint": newcomer.token.root_fingerprint,
    }
    broker = broker_section(where, key_text(newcomer.token.broker_key))
    sections = {role: own, "broker": broker, "federation": pinned}
    write_configuration(config_out, sections | ({"policy": policy} if policy else {}))
    return config_out


async def _dial(newcomer: Newcomer, tell: Tell, wait: float) -> Standing:
    link = GuestLink(_addresses(newcomer.token), newcomer.token.broker_key, newcomer.ring.curve)
    try:
        return await ask(newcomer, link, tell, wait=wait, wall=clock.wall)
    finally:
        await link.close()


def _addresses(token: Token) -> Addresses:
    return Addresses(token.control, token.bulk, token.enrol)
