"""Write statements.json: one log entry of every type, and entries that are none. `--check` compares only."""

import json

from vectors.plain.cohort import seed_of
from vectors.plain.curves import ed25519_public, ed25519_sign
from vectors.plain.forms import canonical, drawn, fields, statement
from vectors.plain.writing import Vectors, finish

SIGNER = "aggregator"
SEED = seed_of(SIGNER)
WHEN: dict[str, object] = {"federation": "fed-a", "time": 1_700_000_000}
ROUND: dict[str, object] = {**WHEN, "job": "heart", "round": 3, "attempt": 2, "group": 0}


def h(label: str) -> str:
    """Return a digest that follows from the label."""
    return drawn(label, 32).hex()


STATEMENTS: dict[str, dict[str, object]] = {
    "RosterRoot": {**WHEN, "root_key": h("root key"), "online_key": h("online key")},
    "TokenIssued": {**WHEN, "token_hash": h("token"), "institution": "north", "expires": 1_700_086_400},
    "TokenConsumed": {**WHEN, "token_hash": h("token"), "institution": "north"},
    "Enrolled": {
        **WHEN, "member": "north", "organisation": "spital-nord", "role": "node", "sign_key": h("sign"),
        "curve_key": h("curve"), "fingerprint": "alpha bravo",
    },
    "Revoked": {**WHEN, "member": "north", "reason": 'key lost: "in the \\ lake"\u2028'},
    "Fenced": {**WHEN, "member": "north", "epoch": 7},
    "RosterChanged": {**WHEN, "version": 5, "roster": h("roster")},
    "KeyDealt": {
        **WHEN, "key": h("key"), "transcript": h("transcript"), "bits": 3072, "trustees": ["ana", "ben", "cyd"],
        "threshold": 2, "colluders": 0,
    },
    "JobCreated": {**WHEN, "job": "heart", "spec": h("spec"), "retention": "kept"},
    "ManifestLogged": {**ROUND, "manifest": h("manifest"), "signed": h("signed"), "roster_version": 5},
    "DropOut": {**ROUND, "member": "south", "step": "MaskedInput", "reason": "no message before the deadline"},
    "Contributors": {
        **ROUND, "manifest": h("manifest"), "u1": h("u1"), "u2": h("u2"), "u3": h("u3"),
        "members": [{"member": "north", "header": h("header"), "upload": h("upload")}], "listed": "", "drawn": "",
    },
    "Opening": {
        **ROUND, "manifest": h("manifest"), "answers": [{"member": "north", "digest": h("answer")}],
        "signatures": h("signatures"), "witnesses": h("witnesses"), "listed": "",
    },
    "Result": {
        **ROUND, "manifest": h("manifest"), "contributors": ["north", "south"], "result": h("result"), "model": "",
    },
    "Aborted": {
        **ROUND, "manifest": h("manifest"), "step": "Unmask", "reason": "2 of 4 members at Unmask, 3 are needed",
        "missing": ["east-1", "west-1"], "reports": [{"dealer": "east-1", "reporter": "north"}], "listed": "",
    },
    "Refusal": {**ROUND, "member": "south", "rule": "policy.min_nodes"},
    "Equivocation": {**ROUND, "member": "south", "digests": [h("one"), h("other")]},
    "Fault": {**ROUND, "manifest": h("manifest"), "member": "south", "kind": "answer", "evidence": h("evidence")},
    "OverlapAllowed": {**WHEN, "member": "south", "job": "risk"},
    "SourceChanged": {**WHEN, "member": "south", "task": "risk", "change": "edition"},
    "UncheckedAccepted": {**ROUND, "member": "south"},
    "SetAside": {**WHEN, "digest": h("damaged"), "size": 70_000},
    "LieReported": {**WHEN, "member": "south", "aggregator_key": h("key"), "evidence": h("evidence")},
}  # fmt: skip


def opened(leaf: bytes, key: bytes | None = None) -> dict[str, object]:
    """Return how an entry is opened: every signer has the aggregator's key unless another is given."""
    return {"leaf": leaf, "key": key or ed25519_public(SEED)}


def signed(document: dict[str, object], signer: str = SIGNER) -> bytes:
    """Return an entry of any document."""
    return statement(document, signer, SEED)


def accepted(to: Vectors) -> None:
    """Add an entry of every type, and those that name a list in place of what is in it."""
    listed: dict[str, dict[str, object]] = {
        "Contributors": {**STATEMENTS["Contributors"], "members": [], "listed": h("list"), "drawn": h("beacons")},
        "Aborted": {**STATEMENTS["Aborted"], "reports": [], "listed": h("list")},
        "Opening": {**STATEMENTS["Opening"], "answers": [], "listed": h("list")},
    }
    for suffix, documents in (("", STATEMENTS), (" of a list", listed)):
        for name, document in documents.items():
            whole = {"type": name, **document}
            leaf = signed(whole)
            out = {"signer": SIGNER, "statement": whole}
            to.accept(f"{name}{suffix}, signed", "sign-statement", {**out, "seed": SEED}, leaf)
            to.accept(f"{name}{suffix}", "open-statement", opened(leaf), out)


def changed(to: Vectors) -> None:
    """Add signed entries with a field that is not as it must be."""
    good: dict[str, object] = {"type": "Aborted", **STATEMENTS["Aborted"]}
    contributors: dict[str, object] = {"type": "Contributors", **STATEMENTS["Contributors"]}
    token: dict[str, object] = {"type": "TokenIssued", **STATEMENTS["TokenIssued"]}
    member = {"member": "north", "header": h("header"), "upload": h("upload")}
    fault, source = ({"type": kind, **STATEMENTS[kind]} for kind in ("Fault", "SourceChanged"))
    allowed, lie = ({"type": kind, **STATEMENTS[kind]} for kind in ("OverlapAllowed", "LieReported"))
    documents = {
        "rule with a space": {"type": "Refusal", **STATEMENTS["Refusal"], "rule": "policy min"},
        "rule of 65 letters": {"type": "Refusal", **STATEMENTS["Refusal"], "rule": "x" * 65},
        "refusal with a text": {"type": "Refusal", **STATEMENTS["Refusal"], "reason": ""},
        "organisation with a space": {"type": "Enrolled", **STATEMENTS["Enrolled"], "organisation": "spital nord"},
        "fault of an unknown kind": {**fault, "kind": "slow"}, "fault without evidence": {**fault, "evidence": None},
        "source changed otherwise": {**source, "change": "name"}, "overlap for no job": {**allowed, "job": ""},
        "lie under a key in capitals": {**lie, "aggregator_key": h("key").upper()},
        "unknown type": {**good, "type": "Finished"}, "no type": STATEMENTS["Aborted"],
        "unknown field": {**good, "note": ""}, "field missing": {k: v for k, v in good.items() if k != "step"},
        "number with a point": {**good, "round": 3.0}, "time of 2^53": {**good, "time": 2**53},
        "time below 0": {**good, "time": -1}, "round as text": {**good, "round": "3"},
        "round that is true": {**good, "round": True}, "round that is null": {**good, "round": None},
        "digest in capitals": {**good, "manifest": h("manifest").upper()},
        "digest of odd length": {**good, "manifest": h("manifest")[1:]},
        "digest with a newline": {**good, "manifest": h("manifest") + "\n"},
        "digest of 65 bytes": {**good, "manifest": "00" * 65}, "name with a newline": {**good, "job": "heart\n"},
        "name in capitals": {**good, "federation": "Fed-A"}, "text of 513 letters": {**good, "reason": "x" * 513},
        "list as text": {**good, "missing": "north"}, "member that is no name": {**good, "missing": ["North"]},
        "unknown field inside": {**contributors, "members": [{**member, "size": 1}]},
        "expires with a point": {**token, "expires": 1.5}, "a field of another type": {**token, "round": 1},
    }  # fmt: skip
    for name, document in documents.items():
        to.refuse(name, "open-statement", opened(signed(document)), "VerificationFailed")
    stranger = opened(signed(good), ed25519_public(seed_of("stranger")))
    to.refuse("another key", "open-statement", stranger, "VerificationFailed")
    to.refuse("signer that is no name", "open-statement", opened(signed(good, "Aggregator")), "VerificationFailed")


def rewritten(to: Vectors) -> None:
    """Add entries whose text is not the canonical one, or whose signature is not over it."""
    good: dict[str, object] = {"type": "Revoked", **STATEMENTS["Revoked"]}
    leaf = signed(good)
    document = json.loads(leaf)
    signature = document.pop("signature")
    bare = ed25519_sign(SEED, canonical(document)).hex()
    unlabelled = ed25519_sign(SEED, fields("secagg/v1/message", canonical(document))).hex()
    backwards = dict(reversed(document.items()))
    leaves = {
        "spaces": json.dumps({**document, "signature": signature}, sort_keys=True).encode(),
        "not sorted": json.dumps({"signature": signature, **backwards}, separators=(",", ":")).encode(),
        "letters beyond ASCII": json.dumps(
            {**document, "signature": signature}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode(),
        "field twice": leaf.replace(b'{"federation":"fed-a"', b'{"federation":"fed-a","federation":"fed-a"'),
        "newline at the end": leaf + b"\n", "cut short": leaf[:-1], "a list": b"[" + leaf + b"]", "nothing": b"",
        "signed without a label": canonical({**document, "signature": bare}),
        "signed under another label": canonical({**document, "signature": unlabelled}),
        "changed after signing": canonical({**document, "member": "south", "signature": signature}),
        "signer changed": canonical({**document, "signer": "keyserver", "signature": signature}),
        "signature in capitals": canonical({**document, "signature": signature.upper()}),
        "signature of 63 bytes": canonical({**document, "signature": signature[2:]}),
        "no signature": canonical(document), "too long": leaf + b" " * 65_536,
        "deeply nested": b"[" * 60_000, "number of a thousand digits": b'{"time":' + b"1" * 5000 + b"}",
        "not a number": b'{"time":NaN}', "not UTF-8": b'{"type":"\xff"}', "byte order mark": b"\xef\xbb\xbf" + leaf,
    }  # fmt: skip
    for name, data in leaves.items():
        if len(data) > 20_000:
            head, filler = (b"[", b"[") if name == "deeply nested" else (leaf, b" ")
            given = {"leaf": head, "key": ed25519_public(SEED), "followed_by": filler, "times": len(data) - len(head)}
        else:
            given = opened(data)
        to.refuse(name, "open-statement", given, "VerificationFailed")


def text() -> str:
    """Return the file's text."""
    to = Vectors("Entries of both logs: canonical JSON with signer and signature; `followed_by` × `times` is appended.")
    for add in (accepted, changed, rewritten):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
