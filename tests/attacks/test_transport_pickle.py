"""Transport: nothing that can run code is ever read from a socket or a file; no module of the product imports it."""

import builtins
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from secagg.errors import BadInput
from secagg.learning.layout import decode_model
from secagg.rehearsal.federation import AGGREGATOR
from secagg.transport.link import Received
from support.federation import make
from support.nodes import Ward

ROOMS = ("secagg", "node", "keyserver", "aggregator")
HOOK = '''
import builtins, importlib, pkgutil, sys

ROOMS = {rooms!r}
OPTIONAL = ("matplotlib", "tenseal", "pypaillier")  # extras that `make` does not install
BANNED = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
whole = builtins.__import__

def watched(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {{}}).get("__name__", "")
    if importer.split(".")[0] in ROOMS and name.split(".")[0] in BANNED:
        raise ImportError(f"{{importer}} imports {{name}}")
    return whole(name, globals, locals, fromlist, level)

builtins.__import__ = watched
try:
    exec("from pickle import loads", {{"__name__": "secagg.evil"}})
except ImportError:
    print("the hook works")
count = 0
for room in ROOMS:
    for found in pkgutil.walk_packages(importlib.import_module(room).__path__, room + "."):
        if not found.name.startswith("secagg.demo.sites"):
            try:
                importlib.import_module(found.name)
                count += 1
            except ModuleNotFoundError as missing:
                if missing.name not in OPTIONAL:
                    raise
print(count, "modules")
'''


def test_no_module_of_the_product_imports_a_way_to_run_code_from_bytes() -> None:
    """Other people's packages may (numpy and pyzmq do); what counts is that nothing of ours reaches for it."""
    line = [sys.executable, "-c", HOOK.format(rooms=ROOMS)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hook, modules = done.stdout.splitlines()
    assert hook == "the hook works"
    assert int(modules.split()[0]) > 150


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, (str(self.trace), "x")


KINDS = ("present", "round", "chunk", "fetch", "spot", "roster", "announce", "result", "aborted", "piece", "ack-chunk")


def test_a_pickle_in_any_slot_is_not_read(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    bomb = pickle.dumps(Bomb(trace))
    ward = Ward(make(4, chunk_bytes=4096), tmp_path / "ward")

    async def script(_: object) -> None:
        await ward.start_nodes()
        for number, kind in enumerate(KINDS):
            for to in (AGGREGATOR, *ward.nodes):
                sender = "node-03" if to == AGGREGATOR else AGGREGATOR
                for sent in (sender, "keyserver"):
                    for header, body in ((bomb, b""), (b"", bomb), (bomb, bomb)):
                        ward.network.deliver(to, Received(sent, kind, number.to_bytes(16, "big"), header, body))
            await ward.settle()
        ward.submit()
        await ward.wait(8)
        await ward.stop_nodes()

    ward.play(script)
    assert not trace.exists()
    assert ward.named("round_closed")[0]["contributors"] == list(ward.nodes)
    assert ward.log.getvalue().count('"refuse"') > len(KINDS)


def test_a_pickle_as_a_model_is_not_read(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    with pytest.raises(BadInput, match="not a model"):
        decode_model(pickle.dumps(Bomb(trace)))
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace))).close()
    assert trace.exists()  # What it would have done.
