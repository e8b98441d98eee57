"""Row 3: a static input is opened again only for the same set or a disjoint one, whatever the job or round."""

from dataclasses import replace

import pytest

from secagg.errors import Refused
from secagg.ids import NO_DIGEST, RoundId
from secagg.protocol.acceptance import Policy
from secagg.protocol.masks import node
from secagg.protocol.masks.messages import Freeze
from secagg.protocol.memory import Notebook, Opened, check_static
from secagg.protocol.rehearsal import party, propose
from support.adversary import proposal_of, stop_before
from support.federation import make


def entry(number: int, *names: str, task: str = "task") -> Opened:
    return Opened(RoundId("fed", "job", number), task, names, True, NO_DIGEST)


def test_the_same_data_with_one_member_less_is_refused_by_a_node() -> None:
    federation = make(5, purpose="sum", bits=64, scalars=())
    scene = stop_before("Freeze", federation=federation, count=5)
    earlier = Opened(
        RoundId("fed", "an-earlier-job", 1), "task", ("node-00", "node-01", "node-02", "node-03"), True, NO_DIGEST
    )
    scene.party.notebook.records.append(earlier)
    with pytest.raises(Refused) as caught:
        scene.deliver(scene.message.data)
    assert caught.value.rule == "ledger.static"
    assert scene.body(Freeze).u3
    assert propose(federation).purpose == "sum"


def test_the_ledger_is_asked_again_before_anything_is_released() -> None:
    """Another job over an overlapping set was opened after this node had agreed to this one."""
    federation = make(5, purpose="sum", bits=64, scalars=())
    scene = stop_before("Open", federation=federation, count=5)
    scene.party.notebook.records.append(entry(7, "node-00", "node-01", "node-02", "node-03"))
    with pytest.raises(Refused) as caught:
        scene.deliver(scene.message.data)
    assert caught.value.rule == "ledger.static"


def trained(job: str, number: int, task: str = "task") -> Opened:
    return Opened(RoundId("fed", job, number), task, ("node-00", "node-01", "node-02"), False, NO_DIGEST)


def proposed_after(*earlier: Opened, policy: Policy) -> str:
    """Propose round 1 of `job` to a node with this past; return the rule that refuses it, or nothing."""
    federation = make(4)
    seat = party(federation, "node-00", policy=policy)
    seat.notebook.records.extend(earlier)
    try:
        node.start(proposal_of(federation, propose(federation)), seat.ctx)
    except Refused as refused:
        return refused.rule
    return ""


def test_a_second_job_on_the_same_data_is_refused_unless_the_institution_lists_it() -> None:
    """A second job starts from a model that somebody chose: an update from it is another view of the same patients."""
    policy = Policy(exact_counts=True)
    assert proposed_after(policy=policy) == ""
    assert proposed_after(trained("earlier", 1), policy=policy) == "policy.jobs"
    assert proposed_after(trained("earlier", 1), policy=replace(policy, jobs=("another",))) == "policy.jobs"
    assert proposed_after(trained("earlier", 1), policy=replace(policy, jobs=("job",))) == ""
    assert proposed_after(trained("earlier", 1, "another-task"), policy=policy) == ""
    assert proposed_after(entry(9, "node-00", "node-01", "node-02"), policy=policy) == ""


def test_rounds_of_one_data_source_are_counted_over_all_jobs() -> None:
    policy = Policy(exact_counts=True, jobs=("job",), max_rounds_per_source=3)
    past = [trained("earlier", number) for number in (1, 2, 3)]
    assert proposed_after(*past[:2], policy=policy) == ""
    assert proposed_after(*past, policy=policy) == "policy.max_rounds_per_source"


def test_equal_and_disjoint_sets_pass() -> None:
    book = Notebook()
    book.records.append(entry(1, "a", "b", "c"))
    check_static(book, entry(2, "a", "b", "c"))
    check_static(book, entry(3, "d", "e", "f"))
    check_static(book, entry(4, "a", "b", task="another"))
    with pytest.raises(Refused):
        check_static(book, entry(5, "a", "b"))
