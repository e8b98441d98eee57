"""Write checkpoints.json: signed notes, witness lines, proofs of entries in C2SP forms. `--check` compares only."""

import base64

from vectors.plain.cohort import LOG, seed_of
from vectors.plain.curves import ed25519_public, ed25519_sign
from vectors.plain.forms import (
    checkpoint_body,
    consistency,
    cosigned,
    drawn,
    inclusion,
    leaf,
    log_note,
    note_line,
    tree_hash,
)
from vectors.plain.writing import Vectors, finish

SEED = seed_of("aggregator")
PUBLIC = ed25519_public(SEED)
ROOT = drawn("root", 32)
BODY = checkpoint_body(LOG, 7, ROOT)
WITNESS = "fed-a/north"
WITNESS_SEED = seed_of("north")
ENTRIES = [b"entry %d" % index for index in range(7)]
LEAVES = [leaf(entry) for entry in ENTRIES]


def opened(note: bytes, **changes: object) -> dict[str, object]:
    """Return how a note is opened."""
    return {"note": note, "origin": LOG, "key": PUBLIC, **changes}


def accepted_notes(to: Vectors) -> None:
    """Add notes that open."""
    out = {"origin": LOG, "size": 7, "root": ROOT}
    given = {"origin": LOG, "size": 7, "root": ROOT, "seed": SEED}
    to.accept("signed", "sign-checkpoint", given, log_note(BODY, LOG, SEED))
    to.accept("opened", "open-checkpoint", opened(log_note(BODY, LOG, SEED)), out)
    line = cosigned(BODY, WITNESS, WITNESS_SEED, 1_700_000_000)
    to.accept("with a witness", "open-checkpoint", opened(log_note(BODY, LOG, SEED) + line), out)
    stranger = note_line(LOG, 1, ed25519_public(seed_of("stranger")), bytes(64))
    by_log = note_line(LOG, 1, PUBLIC, ed25519_sign(SEED, BODY))
    to.accept("a line of an unknown key first", "open-checkpoint", opened(BODY + b"\n" + stranger + by_log), out)
    empty = checkpoint_body(LOG, 0, tree_hash([]))
    nothing = {**out, "size": 0, "root": tree_hash([])}
    to.accept("empty log", "open-checkpoint", opened(log_note(empty, LOG, SEED)), nothing)


def refused_notes(to: Vectors) -> None:
    """Add notes that do not open."""
    good = log_note(BODY, LOG, SEED)
    text = base64.b64encode(ROOT).decode()
    bodies = {
        "leading zero": checkpoint_body(LOG, "07", ROOT), "plus sign": checkpoint_body(LOG, "+7", ROOT),
        "negative size": checkpoint_body(LOG, -7, ROOT), "underscore in the size": checkpoint_body(LOG, "1_0", ROOT),
        "space before the size": checkpoint_body(LOG, " 7", ROOT),
        "size in other digits": checkpoint_body(LOG, "\u0667", ROOT),
        "size of 2^53": checkpoint_body(LOG, 2**53, ROOT), "root of 31 bytes": checkpoint_body(LOG, 7, ROOT[1:]),
        "root without padding": checkpoint_body(LOG, 7, text.rstrip("=")),
        "spare bits in the root": checkpoint_body(LOG, 7, text[:-2] + chr(ord(text[-2]) + 1) + "="),
        "another line": BODY + b"extension\n", "two lines only": f"{LOG}\n7\n".encode(),
        "carriage returns": BODY.replace(b"\n", b"\r\n"), "no origin": checkpoint_body("", 7, ROOT),
    }  # fmt: skip
    signature = ed25519_sign(SEED, BODY)
    line = note_line(LOG, 1, PUBLIC, signature)
    notes = {
        **{name: log_note(body, LOG, SEED) for name, body in bodies.items()},
        "no signature": BODY + b"\n", "no empty line": BODY + line, "nothing": b"",
        "no newline at the end": good[:-1], "hyphen for a dash": good.replace("\u2014".encode(), b"-"),
        "changed size": good.replace(b"\n7\n", b"\n8\n"),
        "signed under another name": BODY + b"\n" + note_line("fed-a/other", 1, PUBLIC, signature),
        "signed by another key": log_note(BODY, LOG, seed_of("stranger")),
        "another's signature under the log's key id": BODY + b"\n"
        + note_line(LOG, 1, PUBLIC, ed25519_sign(seed_of("stranger"), BODY)),
        "of the type of a witness": BODY + b"\n" + note_line(LOG, 4, PUBLIC, signature),
        "signature of 63 bytes": BODY + b"\n" + note_line(LOG, 1, PUBLIC, signature[1:]),
        "signature that is not base64": BODY + b"\n" + line[:-3] + b"!\n", "empty line at the end": good + b"\n",
    }  # fmt: skip
    for name, note in notes.items():
        to.refuse(name, "open-checkpoint", opened(note), "VerificationFailed")
    to.refuse("another origin", "open-checkpoint", opened(good, origin="fed-b/rounds"), "VerificationFailed")
    other = ed25519_public(seed_of("stranger"))
    to.refuse("another key", "open-checkpoint", opened(good, key=other), "VerificationFailed")


def cosignatures(to: Vectors) -> None:
    """Add witness lines."""
    public, time = ed25519_public(WITNESS_SEED), 1_700_000_000
    state: dict[str, object] = {"origin": LOG, "size": 7, "root": ROOT, "name": WITNESS, "key": public}
    for when in (0, time, 2**63):
        line = cosigned(BODY, WITNESS, WITNESS_SEED, when)
        signing = {"note": log_note(BODY, LOG, SEED), "name": WITNESS, "seed": WITNESS_SEED, "time": str(when)}
        to.accept(f"co-signed at {when}", "cosign", signing, line)
        to.accept(f"co-signature at {when}", "cosignature", {**state, "line": line}, str(when))
    good, stamp = cosigned(BODY, WITNESS, WITNESS_SEED, time), time.to_bytes(8, "big")
    signature = ed25519_sign(WITNESS_SEED, f"cosignature/v1\ntime {time}\n".encode() + BODY)
    lines = {
        "another time": note_line(WITNESS, 4, public, (time + 1).to_bytes(8, "big") + signature),
        "signed as the log signs": note_line(WITNESS, 4, public, stamp + ed25519_sign(WITNESS_SEED, BODY)),
        "type of a log": note_line(WITNESS, 1, public, stamp + signature),
        "another witness": cosigned(BODY, "fed-a/south", seed_of("south"), time),
        "under another name": cosigned(BODY, "fed-a/south", WITNESS_SEED, time),
        "another size": cosigned(checkpoint_body(LOG, 8, ROOT), WITNESS, WITNESS_SEED, time),
        "another log": cosigned(checkpoint_body("fed-b/rounds", 7, ROOT), WITNESS, WITNESS_SEED, time),
        "no time": note_line(WITNESS, 4, public, signature), "two lines": good + good, "no newline": good[:-1],
        "empty": b"", "a line before it": b"\n" + good, "cut short": good[:-8] + b"\n",
    }  # fmt: skip
    for name, line in lines.items():
        to.refuse(f"co-signature: {name}", "cosignature", {**state, "line": line}, "VerificationFailed")


def proofs(to: Vectors) -> None:
    """Add entries with the proof that a node is shown."""
    note = log_note(checkpoint_body(LOG, 7, tree_hash(LEAVES)), LOG, SEED)
    proof: dict[str, object] = {
        "index": 5, "checkpoint": note, "inclusion": inclusion(5, LEAVES), "old_size": 3,
        "consistency": consistency(3, LEAVES),
    }  # fmt: skip
    last = {"size": 3, "root": tree_hash(LEAVES[:3])}
    given: dict[str, object] = {"leaf": ENTRIES[5], "proof": proof, "origin": LOG, "key": PUBLIC, "last": last}
    out = {"origin": LOG, "size": 7, "root": tree_hash(LEAVES)}
    to.accept("entry in an extended log", "proof", given, out)
    first = {**given, "last": None, "proof": {**proof, "old_size": 0, "consistency": []}}
    to.accept("entry in the first checkpoint seen", "proof", first, out)
    cases: dict[str, dict[str, object]] = {
        "another entry": {"leaf": ENTRIES[4]},
        "rolled back": {"proof": {**proof, "old_size": 9}, "last": {"size": 9, "root": ROOT}},
        "forked": {"last": {"size": 3, "root": ROOT}},
        "inclusion only": {"proof": {**proof, "consistency": []}},
        "another log's key": {"key": ed25519_public(seed_of("online"))},
    }
    for name, change in cases.items():
        to.refuse(f"proof: {name}", "proof", {**given, **change}, "VerificationFailed")
    behind = {**given, "last": {"size": 2, "root": tree_hash(LEAVES[:2])}}
    to.refuse("proof: from elsewhere than this witness stands", "proof", behind, "VerificationFailed", code="E-BEHIND")


def text() -> str:
    """Return the file's text."""
    to = Vectors("Checkpoints, co-signatures and log proofs in C2SP forms; times are decimal text.")
    for add in (accepted_notes, refused_notes, cosignatures, proofs):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
