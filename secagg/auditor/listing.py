"""Statements over many members name the list of them; here they are made whole again from the bundle's files.

Leaves to others: judging what they state (checks/). Source: docs/audit-log.md "Side files".
"""

from collections.abc import Callable

from msgspec.structs import replace

from secagg.errors import VerificationFailed
from secagg.log.statements import AnswerDigest, AnyStatement, Contributor, Contributors, Opening
from secagg.wire.codec import decode
from secagg.wire.limits import LIMIT_LIST


def whole(statement: AnyStatement, read: Callable[[str], bytes]) -> AnyStatement:
    """Return a statement with its members; `read` gives a side file by its SHA-256 (hex).

    Raises: BundleIncomplete as `read` does; VerificationFailed when it names members and a list of them.
    """
    if not isinstance(statement, Contributors | Opening) or not statement.listed:
        return statement
    inline = statement.members if isinstance(statement, Contributors) else statement.answers
    if inline:
        raise VerificationFailed("A statement names its members twice.", "Ask who signed it.")
    data = read(statement.listed)
    if isinstance(statement, Contributors):
        return replace(statement, members=decode(tuple[Contributor, ...], data, LIMIT_LIST))
    return replace(statement, answers=decode(tuple[AnswerDigest, ...], data, LIMIT_LIST))
