"""An institution enrols while the key server dies at a crash point: token unused and no member, or both done.

The operator and the newcomer do what people do. They ask again until they are answered, look what there is, and take
back a token whose line was lost with the answer. `python tests/support/admissions.py` does so for every point of
`drills.ENROLMENT`. Leaves to others: founding and restarting (drills.py).
"""

import signal
import sys
import time
from typing import Any

from secagg.daemon.admin import SOCKET, call
from secagg.errors import PeerUnavailable, SecaggError
from support import drills
from support.drills import ENROLMENT, KEYSERVER, Counts, Drill

PATIENCE = 90.0
"""Seconds for one admission, whatever dies in it."""


class Admission:
    """One newcomer, and one death of the key server on its way in."""

    def __init__(self, drill: Drill, name: str) -> None:
        self.drill, self.name = drill, name
        self.federation = drill.federation
        self._end = time.monotonic() + PATIENCE

    def run(self, point: str) -> None:
        """Enrol the newcomer; `point` is where the key server dies. Raises: AssertionError when it hangs."""
        self.federation.processes.stop(KEYSERVER)
        deaths = self.drill.counts.kills[KEYSERVER]
        self.drill.begin(KEYSERVER, point)
        before = self._ask(command="status")["members"]
        self.federation.join(self.name, "node", self._token())
        self._await_request()
        self._approve()
        while (code := self.federation.processes.code(f"{self.name}-join")) is None:
            self._tend()
        # A point behind the last thing that the newcomer needs: the key server comes to it all the same.
        while self.drill.counts.kills[KEYSERVER] == deaths:
            self._tend()
        assert code == 0, self.federation.processes.failure(f"{self.name}-join")
        self._judge(before)

    def _tend(self) -> None:
        """Start whoever died, and wait a little."""
        assert time.monotonic() < self._end, f"the admission of {self.name} hangs"
        self.drill.tend(0)
        time.sleep(0.05)

    def _ask(self, **request: object) -> Any:
        """Ask until the key server answers. Raises: SecaggError when it refuses."""
        while True:
            try:
                return call(self.federation.place / KEYSERVER / "state" / SOCKET, request, timeout=2.0)
            except (PeerUnavailable, ValueError):
                self._tend()
            except SecaggError as error:
                if error.code != "E-LATER":
                    raise
                self._tend()

    def _open(self) -> list[str]:
        tokens = self._ask(command="token.list")
        return [one["id"] for one in tokens if (one["name"], one["state"]) == (self.name, "open")]

    def _token(self) -> str:
        """Return a token for the newcomer; one whose line was lost with the answer is taken back."""
        while True:
            for lost in self._open():
                self._ask(command="token.revoke", id=lost[:16])
            try:
                made = call(self.federation.place / KEYSERVER / "state" / SOCKET, self._wanted(), timeout=2.0)
                return str(made["token"])
            except (PeerUnavailable, ValueError):
                self._tend()

    def _wanted(self) -> dict[str, object]:
        return {"command": "token.create", "institution": self.name, "name": self.name, "role": "node"}

    def _await_request(self) -> None:
        log = self.federation.processes.log(f"{self.name}-join")
        while b"The request is there" not in log.read_bytes():
            self._tend()

    def _approve(self) -> None:
        """Approve the newcomer, and look whether that was done when no answer came."""
        words = self.federation._said(self.name, "words").split()
        while (shown := self._ask(command="member.show", name=self.name))["state"] == "waiting":
            request = {"command": "member.approve", "name": self.name, "fingerprint": shown["fingerprint"],
                       "words": [words[1], words[4]]}  # fmt: skip
            try:
                call(self.federation.place / KEYSERVER / "state" / SOCKET, request, timeout=2.0)
            except (PeerUnavailable, ValueError):
                self._tend()

    def _judge(self, before: int) -> None:
        """One member more, once, whose token is used."""
        members = [one for one in self._ask(command="member.list") if one["name"] == self.name]
        assert [one["state"] for one in members] == ["enrolled"]
        assert self._ask(command="status")["members"] == before + 1
        assert self._open() == []


def main() -> int:
    """Admit a newcomer at every point; return 1 when the auditor has something against what was logged."""
    # The children are sessions of their own: whoever ends this program ends them too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    with drills.founded("drill-admissions", tasks=1) as federation:
        drill = drills.take_over(federation, Counts(), 1)
        # A bundle has a round; afterwards one would wait for the newcomers.
        drill.job(kills=0)
        for number, point in enumerate(ENROLMENT):
            Admission(drill, f"late-{number}").run(point)
            sys.stdout.write(f"{point}: enrolled once, {time.monotonic() - begun:.0f} s\n")
            sys.stdout.flush()
        verdict = drills.audited(federation)
    sys.stdout.write(f"audit     {verdict or 'PASS'}\n")
    return 1 if verdict else 0


if __name__ == "__main__":
    sys.exit(main())
