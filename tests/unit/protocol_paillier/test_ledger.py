"""What a node that entrusted an input to trustees still allows: the same holders, and only they."""

import pytest

from secagg.errors import Refused
from secagg.ids import RoundId
from secagg.protocol.memory import Entrusted, Notebook, Opened, check_entrusted, check_static, trained

ROUND = RoundId("fed", "job", 1)
MODEL, KEY, OTHER = bytes(32), b"k" * 32, b"o" * 32


def entrusted(key: bytes = KEY, task: str = "task", static: bool = True, number: int = 1) -> Entrusted:
    return Entrusted(RoundId("fed", "job", number), task, static, MODEL, key)


def opened(static: bool = True, task: str = "task") -> Opened:
    return Opened(ROUND, task, ("a", "b", "c"), static, MODEL)


def holding(*records: Entrusted | Opened) -> Notebook:
    notebook = Notebook()
    notebook.records.extend(records)
    return notebook


def test_the_same_holders_may_be_given_it_again() -> None:
    check_entrusted(holding(entrusted()), entrusted(number=2))


@pytest.mark.parametrize("earlier", [entrusted(OTHER), opened()])
def test_other_holders_may_not(earlier: Entrusted | Opened) -> None:
    with pytest.raises(Refused) as caught:
        check_entrusted(holding(earlier), entrusted())
    assert caught.value.rule == "ledger.static"


def test_members_may_not_open_what_trustees_hold() -> None:
    with pytest.raises(Refused) as caught:
        check_static(holding(entrusted()), opened())
    assert caught.value.rule == "ledger.static"


@pytest.mark.parametrize("earlier", [entrusted(OTHER, static=False), opened(static=False), entrusted(OTHER, "another")])
def test_updates_and_other_tasks_are_free(earlier: Entrusted | Opened) -> None:
    check_entrusted(holding(earlier), entrusted())


def test_rounds_of_training_count_wherever_they_were_opened() -> None:
    notebook = holding(entrusted(static=False), opened(static=False), entrusted(static=False, number=2), entrusted())
    assert trained(notebook, "task") == {("fed", "job", 1), ("fed", "job", 2)}
