"""Reduce Wycheproof's files to the cases and fields that our wrappers take: `python reduce.py DIRECTORY COMMIT`.

DIRECTORY is `testvectors_v1` of a checkout of the repository that README.md names, COMMIT its commit.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = dict[str, Any]


def anything(group: Case, case: Case) -> bool:
    """Keep every case."""
    return True


def our_sizes(group: Case, case: Case) -> bool:
    """Keep the one size of key, nonce and tag that a box has."""
    return (group["keySize"], group["ivSize"], group["tagSize"]) == (256, 96, 128)


FILES: dict[str, tuple[tuple[str, ...], Callable[[Case, Case], bool]]] = {
    "x25519": (("public", "private", "shared"), anything),
    "ed25519": (("msg", "sig"), anything),
    "hkdf_sha256": (("ikm", "salt", "info", "size", "okm"), anything),
    "aes_gcm": (("key", "iv", "aad", "msg", "ct", "tag"), our_sizes),
}


def reduced(document: Case, fields: tuple[str, ...], kept: Callable[[Case, Case], bool]) -> list[Case]:
    """Return the cases that are kept, each with its group's public key where it has one."""
    cases = []
    for group in document["testGroups"]:
        key = {"pk": group["publicKey"]["pk"]} if "publicKey" in group else {}
        for case in group["tests"]:
            if kept(group, case):
                values = {name: case[name] for name in fields}
                cases.append({"tcId": case["tcId"], "flags": case["flags"], **key, **values, "result": case["result"]})
    return cases


def main(source: Path, commit: str) -> None:
    """Write the reduced files beside this one."""
    for name, (fields, kept) in FILES.items():
        document = json.loads((source / f"{name}_test.json").read_text())
        cases = reduced(document, fields, kept)
        head = {
            "source": f"C2SP/wycheproof testvectors_v1/{name}_test.json", "commit": commit, "license": "Apache-2.0",
            "numberOfTests": document["numberOfTests"], "kept": len(cases),
        }  # fmt: skip
        lines = ",\n".join(f"  {json.dumps(case)}" for case in cases)
        text = json.dumps(head, indent=1)[:-2] + ',\n "tests": [\n' + lines + "\n ]\n}\n"
        Path(__file__).with_name(f"{name}.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
