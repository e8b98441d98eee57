"""What persons do in the course of a seed: allow a job, revoke a member, enrol another machine under its old name. They
also declare that next year's data lies in a file.

A person acts once something was opened, says a command again until it is answered, and does nothing else at once.
Whoever revokes a member of an honest aggregator's round does it in its midst, and not any more once it is calm.
Rules: a seat is a name and a key: who is enrolled anew is another member, whose first machine is switched off.
Leaves to others: submitting jobs (simulation), what the commands do (the services).
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from secagg.errors import PeerUnavailable
from secagg.rehearsal.federation import AGGREGATOR
from secagg.roster.messages import ENROL
from secagg.roster.tokens import read_token
from secagg.transport.link import KEYSERVER
from secagg.transport.memory import MemoryLink
from support.keyservers import START, newcomer_of
from support.simulation_clock import Chance
from support.simulation_known import Known
from support.simulation_plan import Plan
from support.simulation_world import World

Again = Callable[[str, Any], None]
"""Put another machine in the place of a node: its name, and the keys it enrolled with."""


class Persons:
    """The persons of one seed."""

    def __init__(
        self, world: World, plan: Plan, known: Known, seed: int, again: Again, first_over: Callable[[], bool]
    ) -> None:
        self._world, self._plan, self._known, self._again = world, plan, known, again
        self._first_over = first_over
        self._seed, self._chance = seed, Chance(seed, "persons")
        self.then: Callable[[], None] = lambda: None
        """What is done once a member is revoked and another one enrolled, or next year's file is declared."""
        self._left = {*([plan.revoke] if plan.revoke else ()), *(plan.members("b") if plan.edition else ())}

    @property
    def over(self) -> bool:
        """Say whether persons have nothing left to do."""
        return not self._left

    def begin(self) -> None:
        """Let persons begin to look at what happens."""
        if self._plan.allow != "no" and "b" in self._plan.jobs:
            for member in self._plan.members("b"):
                self._soon(self._allow, member)
        if self._plan.revoke:
            self._soon(self._revoke)
        if self._plan.edition:
            for member in self._plan.members("b"):
                self._soon(self._declare, member)

    def _soon(self, act: Callable[..., None], *given: Any) -> None:
        self._world.loop.call_later(self._chance.between(0.5, 3), act, *given)

    def _ask(self, machine: str, **request: object) -> Any:
        return self._world.machines[machine].ask(**request)

    # Allowing --------------------------------------------------------------------------------------------------------

    def _allow(self, member: str) -> None:
        """Allow job b once this node was told of it."""
        node = self._world.machines[member]
        overlap = self._plan.allow == "overlap"
        if node.gone:
            return
        if node.journal_of("job/b") is None or self._ask(member, command="allow", job="b", overlap=overlap) is None:
            self._soon(self._allow, member)
            return
        self._world.count["person allows"] += 1
        if overlap:
            self._known.allowed(node.seat, "b")

    # Revoking --------------------------------------------------------------------------------------------------------

    def _revoke(self) -> None:
        """Revoke a member once a sum was opened, which it may be in; in a hurry, as soon as there is a job for it."""
        name, hurried = self._plan.revoke, self._plan.hurried
        aggregator = self._world.machines[AGGREGATOR]
        if aggregator.honest and self._world.crashes.calm:
            self._done(name)
            return
        known = "round" if aggregator.honest else "job/a"
        due = aggregator.journal_of(known) is not None if hurried else self._known.opened()
        if not due or self._ask(KEYSERVER, command="member.revoke", name=name, reason="left") is None:
            self._world.loop.call_later(self._chance.between(0.05, 0.3 if hurried else 3), self._revoke)
            return
        self._world.count["person revokes"] += 1
        self._world.note(KEYSERVER, f"{name} is revoked")
        self._world.machines[name].leave()
        self._soon(*((self._invite,) if self._plan.enrols_again else (self._done, name)))

    def _invite(self) -> None:
        name = self._plan.revoke
        made = self._ask(KEYSERVER, command="token.create", institution=name)
        if made is None:
            self._soon(self._invite)
            return
        newcomer = newcomer_of(read_token(made["token"]), f"again/{self._seed}".encode())
        self._knock(newcomer)

    def _knock(self, newcomer: Any) -> None:
        """Ask to be enrolled, and let the operator approve; both again until the key server has done it."""
        name = self._plan.revoke
        link = self._world.network.guest(newcomer.member.curve_key)
        now = START + 60 + int(self._world.loop.now) + self._world.machines[KEYSERVER].skew
        self._world.loop.create_task(_send(link, newcomer.request(now)))
        self._soon(self._approve, newcomer, name)

    def _approve(self, newcomer: Any, name: str) -> None:
        approved = self._ask(
            KEYSERVER, command="member.approve", name=name, fingerprint=newcomer.fingerprint.hex(), unread=True
        )
        if approved is None:
            self._soon(self._knock, newcomer)
            return
        self._world.count["person enrols again"] += 1
        self._again(name, newcomer.ring)
        self._soon(self._done, name)

    def _done(self, name: str) -> None:
        self._left.discard(name)
        if self.over:
            self.then()

    # Declaring -------------------------------------------------------------------------------------------------------

    def _declare(self, member: str) -> None:
        """Declare at a node that next year's data lies in the file of job b, once job a is over."""
        if not self._first_over():
            self._soon(self._declare, member)
            return
        self._world.machines[member].declare(self._plan.jobs["b"].source, self._plan.edition)
        self._world.note(member, "declares next year's file")
        self._world.count["person declares an edition"] += 1
        self._done(member)


async def _send(link: MemoryLink, request: bytes) -> None:
    # The broker may be away; then it is asked again.
    with suppress(PeerUnavailable):
        await link.send(KEYSERVER, ENROL, b"", request)


def place_of_another(root: Path) -> Path:
    """Return where the disk of a second machine under one name lies."""
    return root.with_name(f"{root.name}-again")
