"""Crash points: where they are, that they end a process, and that nobody's service carries one by mistake."""

import os
import signal
import subprocess
import sys

import pytest

from secagg.daemon import drill
from secagg.errors import BadConfiguration, UsageError
from secagg.ids import RoundId
from secagg.protocol.session import RoundHeader
from secagg.transport.link import Received
from secagg.wire.codec import encode


@pytest.fixture(autouse=True)
def _disarmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill, "_armed", [])


def test_a_place_is_met_at_its_count() -> None:
    found = drill.parse("after-save/chunk@3")
    met = [found.met(*place) for place in [("after-save", "chunk"), ("before-save", "chunk"), ("after-save", "enrol"),
                                           ("after-save", "chunk"), ("after-save", "chunk"), ("after-save", "chunk")]]
    assert met == [False, False, False, False, True, False]
    assert drill.parse("relay/*@1").met("relay", "bulk")


@pytest.mark.parametrize("text", ["", "after-save", "after-save/chunk", "relay/bulk@0", "after/chunk@1", "relay/x@1 "])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        drill.parse(text)


def test_a_federation_that_is_no_drill_refuses_to_start_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    drill.arm("hearts")
    monkeypatch.setenv(drill.VARIABLE, "after-save/chunk@1")
    with pytest.raises(BadConfiguration) as caught:
        drill.arm("hearts")
    assert caught.value.code == "E-DRILL"
    assert drill._armed == []
    drill.arm("drill-1")
    assert len(drill._armed) == 1


def test_reaching_the_place_is_a_power_cut() -> None:
    code = "from secagg.daemon import drill; drill.arm('drill'); drill.reach('chunk-data'); print('one', flush=True)\n"
    line = [sys.executable, "-c", code + "drill.reach('chunk-data'); print('two', flush=True)"]
    ended = subprocess.run(line, env=os.environ | {drill.VARIABLE: "chunk-data/*@2"}, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "one\n")


def test_a_message_of_a_round_has_the_name_of_its_step() -> None:
    header = encode(RoundHeader(RoundId("drill", "job", 1, 1), "MaskedInput"))
    assert drill.label(Received("node-a", "round", b"", header, b"")) == "round.MaskedInput"
    assert drill.label(Received("node-a", "round", b"", b"\xff", b"")) == "round"
    assert drill.label(Received("node-a", "chunk", b"", header, b"")) == "chunk"
