"""node.toml: who this node is, whom it dials and believes, what it takes part in, and the task and data of each job.

Rules: relative paths are relative to the file that names them. A task's name is the one that jobs use, its code and its
data are the institution's own. Data that is not there is found when the node starts, not in a round.
Leaves to others: loading tasks (node.work), policy (node.policy). Source: docs/operations.md "Configuration".
"""

from pathlib import Path
from typing import Annotated, Any

from msgspec import Struct, field

from node.policy import PolicySection
from node.task import require_data
from secagg.daemon.config import load, means
from secagg.daemon.federation import BrokerSection, FederationSection
from secagg.errors import BadConfiguration, UsageError
from secagg.ids import Name


class NodeSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[node]`: its member name and where it keeps what it knows; `passphrase_file` opens its key file."""

    name: Annotated[Name, means("Its name as a member.")]
    state_dir: Annotated[str, means("Where it keeps what it knows, mode 0700.")]
    passphrase_file: Annotated[str, means("The file that opens its key file.")] = ""


class TaskSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[tasks.NAME]`: FILE:CLASS or MODULE:CLASS, the data it reads, and keyword arguments for the class.

    Another `edition` says that other data lies there now: what was given to sums before binds it no more.
    """

    task: Annotated[str, means("FILE:CLASS or MODULE:CLASS of the task.")]
    data: Annotated[str, means("What the task reads: a file or a directory.")]
    edition: Annotated[str, means("Another one says that other data lies there now.")] = ""
    options: Annotated[dict[str, Any], means("Keyword arguments of the class.")] = field(default_factory=dict)


class LedgerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """`[ledger]`: the file of what this institution gave to sums, which all its nodes on a machine share, and the
    passphrase of its key. Unless given, `ledger.db` beside the state directory, and the passphrase of the node."""

    path: Annotated[str, means("The file of what was given to sums; `ledger.db` beside the state directory.")] = ""
    passphrase_file: Annotated[str, means("The file that opens its key; the node's unless written.")] = ""


class NodeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    node: NodeSection
    broker: BrokerSection
    federation: FederationSection
    policy: PolicySection = field(default_factory=PolicySection)
    ledger: LedgerSection = field(default_factory=LedgerSection)
    tasks: dict[Name, TaskSection] = field(default_factory=dict)


class OwnTask(Struct, frozen=True):
    """A task with its paths made absolute."""

    name: str
    spec: str
    data: Path
    options: dict[str, Any]
    edition: str = ""


def read(path: Path) -> NodeConfig:
    """Return the configuration at `path`.

    Raises: BadConfiguration.
    """
    return load(path, NodeConfig)


def own_tasks(path: Path, config: NodeConfig) -> dict[str, OwnTask]:
    """Return every configured task, its data looked for.

    Raises: BadInput when data is missing.
    """
    return {name: _own(path, name, section) for name, section in config.tasks.items()}


def own_task(path: Path | None, name: str) -> OwnTask:
    """Return one task of the configuration at `path`.

    Raises: UsageError without a file; BadConfiguration when it has no such task; BadInput when its data is missing.
    """
    if path is None:
        raise UsageError("There is no configuration.", "Name it with --config node.toml.")
    tasks = read(path).tasks
    if name not in tasks:
        raise BadConfiguration(
            f"{path} has no task {name}.", f"Tasks there: {', '.join(tasks) or 'none; add [tasks.NAME]'}."
        )
    return _own(path, name, tasks[name])


def _own(path: Path, name: str, section: TaskSection) -> OwnTask:
    place, colon, made = section.task.rpartition(":")
    # A file is relative to the configuration; a module is found by Python.
    spec = f"{path.parent / place}{colon}{made}" if place.endswith(".py") else section.task
    return OwnTask(name, spec, require_data(path.parent / section.data), section.options, section.edition)
