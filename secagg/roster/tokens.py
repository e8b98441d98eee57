"""One-time enrolment tokens: one line of text that the operator sends to an institution over another channel.

`sa1_` and base64url of [checksum, 4 bytes][msgpack of Token]. It tells the newcomer whom to dial and whom to trust. Its
secret gives the Ed25519 key that signs the request, of which the key server keeps the public half alone.

Rules: a token is a secret, so it has no text form by accident and is never logged. Logs and the directory name it by
`token_id`. Leaves to others: single use, expiry and tries (keyserver). Source: docs/operations.md "Enrolment".
"""

import base64
import binascii

from secagg.crypto.derive import derive, sha256
from secagg.crypto.labels import fields
from secagg.crypto.secret import Secret, Veiled
from secagg.crypto.sign import SigningKey
from secagg.errors import BadInput, WireError
from secagg.ids import Count, Key, Name
from secagg.roster.members import Role
from secagg.wire.codec import decode, encode

PREFIX = "sa1_"
KEY_LABEL = "secagg/v1/token-key"
ID_LABEL = "secagg/v1/token"
LONGEST = 4096
"""Characters; a token with long addresses has about 700."""

_CHECKSUM = 4


class Token(Veiled, frozen=True, forbid_unknown_fields=True):
    """What a newcomer needs to enrol; `secret` is 32 bytes, `expires` and `issued` unix seconds."""

    control: str
    bulk: str
    enrol: str
    broker_key: Key
    root_fingerprint: str
    federation: Name
    institution: Name
    name: Name
    role: Role
    issued: Count
    expires: Count
    secret: Key


def write_token(token: Token) -> str:
    """Return the line to send."""
    body = encode(token)
    return PREFIX + base64.urlsafe_b64encode(sha256(body)[:_CHECKSUM] + body).rstrip(b"=").decode()


def read_token(text: str) -> Token:
    """Return the token of a line; white space around and within it is dropped, because mail programs break lines.

    Raises: BadInput when it is damaged or no token; the text is not repeated in the error.
    """
    line = "".join(text.split())
    try:
        if not line.startswith(PREFIX) or len(line) > LONGEST:
            raise ValueError("no token")
        packed = line[len(PREFIX) :]
        data = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        body = data[_CHECKSUM:]
        if sha256(body)[:_CHECKSUM] != data[:_CHECKSUM]:
            raise ValueError("checksum")
        return decode(Token, body)
    except (ValueError, binascii.Error, WireError):
        raise BadInput(
            "This is no enrolment token, or not all of it.",
            "Copy the whole line that begins with sa1_.",
            code="E-TOKEN",
        ) from None


def token_key(token_secret: Secret, federation: str) -> SigningKey:
    """Return the key that signs the request that uses the token."""
    seed = derive(token_secret, salt=b"", info=fields(KEY_LABEL, federation))
    return SigningKey.from_private_bytes(seed.reveal())


def token_id(public: bytes) -> bytes:
    """Return the name of a token in records and in the log (32 bytes), from the public half of its key."""
    return sha256(fields(ID_LABEL, public))
