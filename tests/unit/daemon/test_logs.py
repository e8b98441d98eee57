"""Logs: JSON away from a terminal, and nothing that is not on the list."""

import io
import json

from secagg.daemon import logs


def test_a_field_that_is_not_listed_is_dropped_and_named() -> None:
    out = io.StringIO()
    logs.configure("node", "charite", file=out).info("result", round=3, update=[1.5], share=b"\x01", digest=b"\x02")
    line = json.loads(out.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "result",
        "level": "info",
        "role": "node",
        "name": "charite",
        "round": 3,
        "digest": "(bytes)",
        "dropped": ["share", "update"],
    }


def test_quiet_shows_errors_only() -> None:
    out = io.StringIO()
    logger = logs.configure("node", "charite", -1, file=out)
    logger.warning("wait_for_peer", peer="aggregator")
    assert out.getvalue() == ""
    logger.error("fail", exc_info=ValueError("why"))
    assert "ValueError: why" in json.loads(out.getvalue())["exception"]
