"""What counts as the fault of a disk, and how a person is told of it.

Rules: told by errno, never by text. Leaves to others: what follows from it (secagg.daemon.storage, the command).
Source: docs/transport.md "Crash rules".
"""

import errno

from secagg.errors import TryLater

_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})


def fault(error: object) -> str:
    """Return why the disk did not take something, or nothing when the disk is not at fault."""
    if isinstance(error, TryLater) and error.code == "E-DISK":
        return error.cause
    if isinstance(error, OSError) and error.errno in _FAULTS:
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    return ""


def explained(error: object) -> TryLater | None:
    """Return what a person is told whom a full or failing disk keeps from something; None when it is not at fault."""
    cause = fault(error)
    return TryLater(cause, "Free space on the disk of the state directory.", code="E-DISK") if cause else None
