"""Configuration: strict, and errors that name file, key and what was meant."""

from pathlib import Path

import pytest
from msgspec import Struct, field

from secagg.daemon.config import duration, load, parse
from secagg.errors import BadConfiguration


class Task(Struct, frozen=True, forbid_unknown_fields=True):
    task: str
    data: str = ""


class Node(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    state_dir: str = "state"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    node: Node
    tasks: dict[str, Task] = field(default_factory=dict)
    peers: tuple[Node, ...] = ()
    backup: Node | None = None


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text('[node]\nname = "charite"\n[tasks.heart-risk]\ntask = "heart.task:HeartRisk"\n')
    assert load(path, Config) == Config(Node("charite"), {"heart-risk": Task("heart.task:HeartRisk")})


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ('nodes = 1\n[node]\nname = "a"', "nodes", "Did you mean node?"),
        ('[node]\nname = "a"\nstatedir = "x"', "node.statedir", "Did you mean state_dir?"),
        ('[node]\nname = "a"\nzzz = 1', "node.zzz", "Known here: name, state_dir."),
        ('[node]\nname = "a"\n[tasks.h]\ntask = "t"\ndate = 1', "tasks[...].date", "Did you mean data?"),
        ('[node]\nname = "a"\n[[peers]]\nname = "b"\nnmae = 1', "peers[0].nmae", "Did you mean name?"),
        ('[node]\nname = "a"\n[backup]\nname = "b"\nnmae = 1', "backup.nmae", "Did you mean name?"),
    ],
)
def test_an_unknown_key_is_named_with_a_suggestion(text: str, key: str, remedy: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse(text, Config, "node.toml")
    assert caught.value.cause == f"node.toml: the key {key} is unknown."
    assert caught.value.remedy == remedy


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse("[node]\nname = 3", Config, "node.toml")
    assert caught.value.cause == "node.toml: node.name: expected `str`, got `int`."


def test_a_missing_file_and_a_broken_one_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="cannot be read: No such file"):
        load(tmp_path / "none.toml", Config)
    (tmp_path / "bad.toml").write_text("[node\n")
    with pytest.raises(BadConfiguration, match="is not TOML"):
        load(tmp_path / "bad.toml", Config)
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(BadConfiguration, match="not UTF-8"):
        load(tmp_path / "bytes.toml", Config)


def test_durations_are_seconds() -> None:
    assert [duration(text) for text in ("250ms", "3s", "10m", "2h", "30d")] == [0.25, 3.0, 600.0, 7200.0, 2_592_000.0]
    for text in ("", "10", "m", "-1s", "1s\n", "1 s"):
        with pytest.raises(BadConfiguration):
            duration(text)
