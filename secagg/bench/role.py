"""One measured role as a process: `python -m secagg.bench.role client|server`, case in, figures out, both JSON."""

import sys

import msgspec

from secagg.bench import client, server
from secagg.bench.case import Case
from secagg.crypto.rng import system_rng

_ROLES = {"client": client.measure, "server": server.measure}


def main() -> None:
    """Read a case from standard input and write the role's figures to standard output."""
    case = msgspec.json.decode(sys.stdin.buffer.read(), type=Case)
    sys.stdout.buffer.write(msgspec.json.encode(_ROLES[sys.argv[1]](case, system_rng)))


if __name__ == "__main__":
    main()
