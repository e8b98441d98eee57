"""What a person asks a daemon: read strictly, refused with what to do, asked by structs alone."""

import ast
from pathlib import Path
from typing import Any

import pytest

from aggregator import requests as of_aggregator
from aggregator.jobs import JobFile, JobPart
from keyserver import requests as of_keyserver
from node import requests as of_node
from secagg.daemon.broker import Status
from secagg.daemon.requests import Link, Watch, asks_for, parse
from secagg.errors import BadInput

ROOT = Path(__file__).resolve().parents[3]
ROLES = {"aggregator": of_aggregator.Asked, "node": of_node.Asked, "key server": of_keyserver.Asked}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"command": "weather"}, "Invalid value 'weather'"),
        ({}, "Object missing required field `command`"),
        ({"command": "status", "verbose": True}, "Object contains unknown field `verbose`"),
    ],
)
def test_a_command_or_a_field_that_there_is_not_is_refused_with_what_to_do(
    role: str, request_: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadInput) as caught:
        parse(request_, ROLES[role], role)
    assert caught.value.cause.startswith(f"The {role} does not understand this: {why}")
    assert caught.value.remedy == "Check the command's --help, and use the command of the daemon's own version."


def test_a_request_is_what_its_command_wrote() -> None:
    job = of_aggregator.SubmitJob(JobFile(JobPart("risk", "risk")), without=("north",))
    for asked, kinds in (
        (job, of_aggregator.Asked), (of_node.AllowJob("risk", overlap=True), of_node.Asked),
        (of_keyserver.RevokeMember("north", "left"), of_keyserver.Asked), (of_node.Status(), of_node.Asked),
    ):  # fmt: skip
        assert parse(asked.written(), kinds, "role") == asked
    assert Link().written() == {"command": "link"}
    assert [asks_for({"command": "watch"}, kind) for kind in (Watch, Link)] == [True, False]


def test_a_role_that_answers_one_command_refuses_others() -> None:
    assert parse({"command": "status"}, Status, "broker") == Status()
    for wrong in ({"command": "job-list"}, {"command": "status", "verbose": True}):
        with pytest.raises(BadInput, match="The broker does not understand this"):
            parse(wrong, Status, "broker")


def test_a_field_of_another_type_is_refused() -> None:
    with pytest.raises(BadInput, match=r"Expected `bool`, got `str` - at `\$\.overlap`"):
        parse({"command": "allow", "job": "risk", "overlap": "yes"}, of_node.Asked, "node")


def test_the_roles_ask_by_structs_alone() -> None:
    """The demonstration knows no role, so it asks as a program of somebody else's would: in JSON."""
    found = set()
    for room in ("secagg/daemon", "keyserver", "node", "aggregator"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                keys = [*node.keys] if isinstance(node, ast.Dict) else []
                if any(isinstance(key, ast.Constant) and key.value == "command" for key in keys):
                    found.add(str(file.relative_to(ROOT)))
    assert found == set()
