"""What a person reads of a log cannot command the terminal."""

from pathlib import Path

from secagg.auditor.bundle import Bundle
from secagg.auditor.evidence import Evidence
from secagg.auditor.story import tell
from secagg.daemon.writing import plain
from secagg.log.statements import DropOut, Refusal
from secagg.rehearsal.federation import START_OF_TIME
from support.bundles import AGGREGATOR, append, write_bundle


def test_letters_of_any_language_stay_and_controls_are_escaped() -> None:
    assert plain("Zürich, 北京") == "Zürich, 北京"
    assert plain("\x1b[2J\r\n\x7f\u202e\ud800") == "\\x1b[2J\\r\\n\\x7f\\u202e\\ud800"


def test_a_reason_with_an_escape_sequence_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    federation = write_bundle(tmp_path, rounds=1)
    where = {"federation": "fed", "time": START_OF_TIME, "job": "job", "round": 1, "attempt": 1, "group": 0}
    left = DropOut(**where, member="node-01", step="Unmask", reason="\x1b[2Jall is well\n")  # type: ignore[arg-type]
    append(tmp_path, "rounds", left, AGGREGATOR, federation.aggregator, federation.aggregator)
    refusal = Refusal(**where, member="node-02", rule="policy.min_nodes")  # type: ignore[arg-type]
    append(tmp_path, "rounds", refusal, AGGREGATOR, federation.aggregator, federation.aggregator)
    told = list(tell(Evidence(Bundle(tmp_path)), 1, None))
    assert told[-2].endswith("node-01 dropped at Unmask: \\x1b[2Jall is well\\n")
    assert told[-1].endswith("refused by policy.min_nodes: its policy asks for more members than the job has")
