"""The process that decrypts: it alone opens a share, works with it once, and ends (protocol §5, attack 30).

`python -m keyserver.trustee.decrypting` reads one `Order` from standard input and writes the engine's event to standard
output. Nothing secret is on its command line, in its environment or in a file. `decrypt` starts it and waits.
Rules: the share is opened in that process and nowhere else. Its memory is kept from core files and debuggers, and it
dies with the daemon that started it. A share, the product and a phase give one answer, so doing it again harms nobody.
Leaves to others: whether to decrypt at all (rounds), the arithmetic (the engine's opener).
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from keyserver.trustee.hardening import die_with_parent, harden
from keyserver.trustee.store import Store
from secagg.crypto.rng import system_rng
from secagg.crypto.secret import Secret
from secagg.daemon.writing import say
from secagg.errors import SecaggError
from secagg.ids import Key, Name
from secagg.protocol import custody
from secagg.protocol.engines import opener_of
from secagg.wire.codec import decode, encode

WHOLE = 2**40
_FAILED = 70


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """What to decrypt: the engine, its phase, this trustee's name, what it collected, and where the share lies."""

    engine: Name
    phase: bytes
    name: str
    collected: bytes
    state_dir: str
    storage: Key


def decrypt(engine: str, phase: object, name: str, collected: bytes, state_dir: Path, storage: Secret) -> object:
    """Have what this trustee collected itself decrypted with its share in a process of its own; return the event.

    Raises: SecaggError when that process fails; its cause is on this process's standard error.
    """
    order = encode(Order(engine, encode(phase), name, collected, str(state_dir.resolve()), storage.reveal()))
    # Isolated: neither the environment nor the working directory chooses what code sees the share.
    line = [sys.executable, "-I", "-m", "keyserver.trustee.decrypting"]
    done = subprocess.run(line, input=order, stdout=subprocess.PIPE, check=False)  # noqa: S603 - our own program
    if done.returncode:
        raise SecaggError(
            f"The process that decrypts ended with {done.returncode}.", "Its own words stand before this line.",
            code="E-DECRYPT",
        )  # fmt: skip
    return opener_of(engine).read_answer(done.stdout)


def work(order: Order) -> object:
    """Open the share and use it; return the engine's event.

    Raises: BadInput, BadConfiguration when it is not there or damaged; ProtocolViolation for a product that is none.
    """
    opener = opener_of(order.engine)
    phase = opener.read(order.phase)
    held = custody.custody_of(opener.decided(phase).manifest)
    store = Store(Path(order.state_dir), Secret(order.storage), system_rng)
    secret = store.share(custody.key_digest(held.key))
    with ThreadPoolExecutor(os.cpu_count() or 1) as executor:
        return opener.answer(phase, order.name, order.collected, secret, system_rng, executor)


def main() -> int:
    """Take the order from standard input; return the exit code."""
    die_with_parent()
    harden()
    try:
        sys.stdout.buffer.write(encode(work(decode(Order, sys.stdin.buffer.read(), WHOLE))))
    except SecaggError as error:
        say(f"error[{error.code}]: {error}", err=True)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
