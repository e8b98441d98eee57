"""Every error the product shows a person: one sentence of cause, one of remedy, a stable code, an exit code.

Rules: a class names the *kind* of failure and fixes the exit code of the command line. `code` names the exact case and
is documented in docs/reference/errors.md. Text never holds a secret, a share, a mask or an update.
Leaves to others: formatting for the terminal (secagg.daemon.options), strikes against peers (secagg.transport).
"""


class SecaggError(Exception):
    """A failure with a cause and a remedy.

    Attributes: `code` stable identifier (`E-…`), `cause` and `remedy` one sentence each, `exit_code` for the shell.
    """

    exit_code = 1
    default_code = "E-BUG"

    def __init__(self, cause: str, remedy: str = "", *, code: str = "") -> None:
        super().__init__(f"{cause} {remedy}".strip())
        self.cause = cause
        self.remedy = remedy
        self.code = code or self.default_code


class UsageError(SecaggError):
    """The command was called in a way it does not understand."""

    exit_code = 64
    default_code = "E-USAGE"


class BadInput(SecaggError):
    """Data from a person or a file cannot be used: NaN, wrong shapes, missing files, out of range."""

    exit_code = 64
    default_code = "E-INPUT"


class VerificationFailed(SecaggError):
    """A proof, a signature or a recomputation does not hold."""

    exit_code = 65
    default_code = "E-VERIFY"


class BundleIncomplete(SecaggError):
    """An audit needs a file that the bundle does not hold."""

    exit_code = 66
    default_code = "E-BUNDLE"


class PeerUnavailable(SecaggError):
    """A role that is needed does not answer."""

    exit_code = 69
    default_code = "E-PEER"


class TryLater(SecaggError):
    """Nothing is wrong, but the quorum, the disk or the time is not there yet."""

    exit_code = 75
    default_code = "E-LATER"


class ProtocolViolation(SecaggError):
    """A peer sent something the protocol does not allow; `rule` names the rule it broke."""

    exit_code = 76
    default_code = "E-PROTOCOL"

    def __init__(self, cause: str, remedy: str = "", *, code: str = "", rule: str = "") -> None:
        super().__init__(cause, remedy, code=code)
        self.rule = rule


class WireError(ProtocolViolation):
    """Bytes from a peer are not a message: too long, malformed, unknown field, wrong type."""

    default_code = "E-WIRE"


class BadSignature(ProtocolViolation):
    """A signature does not verify under the key it should."""

    default_code = "E-SIGNATURE"


class SealBroken(ProtocolViolation):
    """A sealed piece does not open with this key and this context."""

    default_code = "E-SEAL"


class Refused(ProtocolViolation):
    """A party's own rule or policy forbids what was asked; `rule` names it (for example `policy.min_nodes`)."""

    default_code = "E-REFUSED"


class NotAuthorised(SecaggError):
    """This party is not enrolled, is revoked, or may not do this."""

    exit_code = 77
    default_code = "E-AUTH"


class BadConfiguration(SecaggError):
    """A configuration file, a key file or a directory is not as it must be."""

    exit_code = 78
    default_code = "E-CONFIG"
