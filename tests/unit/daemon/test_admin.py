"""The admin socket: who stops watching, and whom the daemon lets go, leaves no task behind."""

import asyncio
import json
from pathlib import Path

import pytest

from secagg.daemon.admin import SOCKET, Admin
from secagg.events.federation import Heard

WATCH = json.dumps({"command": "watch"}).encode() + b"\n"


async def watching(admin: Admin, path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Watch through the socket; return when the daemon said so and one event has come."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(WATCH)
    assert json.loads(await reader.readline()) == {"ok": "watching"}
    admin.publish(Heard("north"))
    assert json.loads(await reader.readline()) == {"event": {"event": "heard", "peer": "north"}}
    return reader, writer


async def others_end() -> None:
    """Wait until this task is alone: a task that nobody ends keeps the test here until its time is over."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


@pytest.mark.timeout(20)
def test_a_daemon_that_stops_lets_go_of_who_watches(tmp_path: Path) -> None:
    async def scenario() -> int:
        admin = Admin(tmp_path / SOCKET, lambda request: request)
        await admin.open()
        _, writer = await watching(admin, tmp_path / SOCKET)
        await admin.close()
        left = len(asyncio.all_tasks() - {asyncio.current_task()})
        writer.close()
        return left

    assert asyncio.run(scenario()) == 0


@pytest.mark.timeout(20)
def test_who_stops_watching_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> int:
        admin = Admin(tmp_path / SOCKET, lambda request: request)
        await admin.open()
        _, writer = await watching(admin, tmp_path / SOCKET)
        writer.close()
        await others_end()
        left = admin.watchers
        await admin.close()
        return left

    assert asyncio.run(scenario()) == 0
