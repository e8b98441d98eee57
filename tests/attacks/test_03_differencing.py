"""Row 3: a static input is opened again only for the same set or a disjoint one, whatever the job or round."""

import pytest

from secagg.errors import Refused
from secagg.ids import NO_DIGEST, RoundId
from secagg.protocol.masks.messages import Freeze
from secagg.protocol.memory import Notebook, Opened, check_static
from secagg.protocol.rehearsal import propose
from support.adversary import stop_before
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


def test_equal_and_disjoint_sets_pass() -> None:
    book = Notebook()
    book.records.append(entry(1, "a", "b", "c"))
    check_static(book, entry(2, "a", "b", "c"))
    check_static(book, entry(3, "d", "e", "f"))
    check_static(book, entry(4, "a", "b", task="another"))
    with pytest.raises(Refused):
        check_static(book, entry(5, "a", "b"))
