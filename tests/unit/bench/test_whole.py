"""A hundred million parameters in one process, under a limit that the kernel enforces. Left out of the default run."""

import json
import resource
import subprocess
import sys

import pytest

LIMIT = 8 * 2**30


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_million_parameters_are_summed_exactly_in_eight_gib_of_addresses() -> None:
    line = "bench --whole --nodes 10 --params 100000000 --format jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "secagg.cli", *line.split()],
        capture_output=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    )
    found = json.loads(done.stdout)
    assert found["exact"] is True
    assert (found["nodes"], found["params"], found["dropouts"]) == (10, 10**8, 0)
    # Ten uploads of 267 MB would be 2.7 GB by themselves: they are added as they come.
    assert 0.4e9 < found["peak_bytes"] < 2.6e9
