"""Every rule by which a party refuses: its name travels and is logged, its sentence is made by whoever reads it.

Rules: nothing but a name of this table leaves a party that takes no part. A name that is not in it travels as OTHER, so
that no text, whoever wrote it, is sent or logged as one. A sentence is about the member whose name stands before it. A
test reads the sources and finds each rule that an error can have here, and nothing else.
Leaves to others: raising (the rooms), telling the institution's own people more (node.rounds).
"""

from collections.abc import Mapping
from types import MappingProxyType

from secagg.errors import SecaggError
from secagg.protocol.manifest import Manifest

OTHER = "other"
"""What travels for a rule that is not in the table."""

TASK = {
    "algorithm": "the task trains in a way that the rule of the job's algorithm cannot correct",
    "bug": "the task raised an error that is no sentence",
    "blob": "a stored file of the task is missing or damaged",
    "config": "the task's configuration is not as it must be",
    "data": "the task's data file is missing or cannot be read",
    "disk": "the disk took nothing",
    "input": "a file or a value cannot be used",
    "model": "the model's file is malformed",
    "nan": "a value is NaN or infinite",
    "shapes": "the task's tensors are not the job's",
    "task": "the task cannot be loaded, or failed",
    "torch": "the machine has no torch, and the job trains",
    OTHER: "the task failed otherwise",
}
"""By the code of the error (E-DATA is `data`): how a task of the institution's own failed. Its log says more."""

_FIELDS = ("federation", "job", "attempt", "group", *Manifest.__struct_fields__)

_MANIFEST = {f"manifest.{name}": f"the manifest's {name} is not what it must be" for name in _FIELDS}

_OF_A_ROUND = {
    "algorithm.name": "it knows no algorithm of the job's name",
    "algorithm.numbers": "the numbers of the job's algorithm are not those that it takes",
    "algorithm.sum": "the job sums a vector and names an algorithm",
    "attempt.opened": "the round was opened once, and is never opened again",
    "attempt.second-manifest": "a second manifest came for one attempt",
    "attempt.superseded": "a later attempt has ended this one",
    "beacon.commitment": "a value of the draw does not open its commitment",
    "beacon.draw": "a value of another draw came",
    "beacon.enough": "too few members drew",
    "beacon.redraws": "the graph was drawn too often",
    "beacon.self": "its own value is missing from the draw",
    "beacon.subset": "somebody drew who is out",
    "freeze.statement": "the logged freeze names another set of members",
    "job.changed": "another job came under a known name",
    "job.cohort": "it is not in the job's cohort",
    "job.config": "the job sets something for its task, which nothing obeys yet",
    "job.federation": "the job is of another federation",
    "job.mode": "the job's rounds do not follow one another, which nothing obeys yet",
    "job.model": "the model is not the one that the signed job pins",
    "job.privacy": "the job promises privacy by noise, which nothing adds yet",
    "job.skipped": "its policy refused earlier rounds of the job",
    "job.unknown": "it does not know the job",
    "job.uses": "it lacks the sums that the job builds on",
    "lanes.codec": "the job's values have another code than its kind of job",
    "lanes.examples": "the job has no lane for as many examples as its weight bound",
    "lanes.names": "two lanes of the job have one name",
    "lanes.noised": "the job asks for noise, which is not built",
    "lanes.range": "the job gives a metric less room than the task there declares for it",
    "lanes.saturated": "the job has no lane for as many saturated values as its parameters",
    "lanes.sum": "the job sums a vector and asks for metrics",
    "lanes.undeclared": "the job asks for a metric that the task there does not declare",
    "lanes.vectors": "the job has other vectors than those that its algorithm sums",
    "ledger.encoding": "its data was turned into numbers in another way before, and a person there has to allow that",
    "ledger.failures": "too many rounds failed on its data: a person there has to allow the job first",
    "ledger.input": "its input was summed before, over another set",
    "ledger.job": "the job's rounds must keep their set of members",
    "ledger.lifted": "the attempt is over for it, and it never answers again",
    "ledger.lost": "its ledger of inputs is an old copy",
    "ledger.near": "its input is nearly one that was summed before, over another set",
    "ledger.only": "an input of the set may be summed over another set only",
    "ledger.overlap": "an input of the set was summed before over another one, and not every member allowed that",
    "ledger.second-freeze": "two sets are frozen for one attempt",
    "ledger.source": "its data was summed or trained on before, over another set",
    "ledger.unlisted": "a person there has to allow the job first",
    "list.members": "a list holds a stranger, or a member twice or out of order",
    "open.quorum": "too few witnesses have seen the freeze",
    "open.same-set": "a trustee signed another set",
    "open.same-sets": "a member signed other sets",
    "open.signer": "somebody signed who is not of the set",
    "open.threshold": "too few signed the set",
    "open.witness": "somebody witnessed who is not of the round",
    "phase.message": "a message came that is not legal now",
    "result.contributors": "the result names others than the cohort's members, each once and in order",
    "result.groups": "the result does not hold exactly the lane groups of its job",
    "result.length": "the result's length does not fit the job",
    "result.round": "the result is of another round than its job's",
    "roster.expired": "the roster has expired",
    "spot.sum": "a spot check found that a published sum is not the sum of the uploads",
    "task.failed": "it cannot take part; `secagg node status` at its institution says why",
    "task.unknown": "it has no task of this name",
    "u.enough": "too few members are in the set",
    "u1.distinct": "two members advertise one key",
    "u1.enough": "too few members are in U1",
    "u1.key": "a member advertises a key that is none",
    "u1.named": "somebody is in U1 whose fault is proven",
    "u1.self": "its own keys are missing from U1, or changed",
    "u2.digests": "pieces came that their dealer did not sign",
    "u2.enough": "too few members are in U2",
    "u2.leaf": "a piece came without its leaf under its dealer's signed root",
    "u2.piece": "a piece did not come as its dealer signed it",
    "u2.pieces": "a dealer sent a piece that is longer than any is",
    "u2.receivers": "shares were dealt to others than the neighbours",
    "u2.root": "leaves came that are not those of their dealer's signed root",
    "u2.same-u1": "members were shown different U1",
    "u2.self": "its own shares are missing from U2, or changed",
    "u2.subset": "somebody is in U2 who is not in U1",
    "u3.enough": "too few members are in U3",
    "u3.holders": "too few members of U3 hold shares of somebody in U2",
    "u3.neighbours": "too few of its neighbours are in U3",
    "u3.reported": "more members than may collude report somebody in U2",
    "u3.reports": "a header reports somebody who dealt its member nothing",
    "u3.same-u2": "members were shown different U2",
    "u3.self": "its own upload is missing from U3, or changed",
    "u3.subset": "somebody is in U3 who is not in U2",
}

_POLICY = {
    "policy.engines": "its policy does not allow the engine",
    "policy.exact_counts": "its policy refuses exact example counts in training",
    "policy.max_rounds_per_source": "its policy allows no more rounds of this source",
    "policy.max_members": "its policy takes no cohort as large",
    "policy.max_metrics": "its policy takes no job with so many metrics",
    "policy.max_parameters": "its policy takes no model as large",
    "policy.max_round_time": "its policy takes no round as long",
    "policy.max_rounds": "its policy takes no job with so many rounds",
    "policy.max_step_time": "its policy takes no step as long",
    "policy.min_nodes": "its policy asks for more members than the job has",
    "policy.pinned_peers": "its policy pins other peers, or other keys of theirs",
    "policy.server": "its policy assumes a malicious server, which a sparse graph does not bear",
}

_OF_TRUSTEES = {
    "ceremony.card": "the share is sealed to another card",
    "ceremony.cards": "there are too many cards, or none",
    "ceremony.federation": "the card is of another federation",
    "ceremony.key": "the key is not the transcript's",
    "ceremony.organisations": "two cards are of one organisation",
    "ceremony.profile": "the key is not of the profile",
    "ceremony.role": "the card is not a trustee's",
    "ceremony.sealed": "the sealed share is not the transcript's",
    "ceremony.seat": "the transcript names another key or organisation",
    "ceremony.seats": "two cards are of one trustee",
    "ceremony.threshold": "the threshold is none that a job could use",
    "custody.acceptance": "an acceptance is not of this key",
    "custody.acceptances": "too few trustees accepted the key",
    "custody.bits": "the key is too short",
    "custody.custody": "nobody holds the key",
    "custody.key": "the key is none",
    "custody.organisations": "two trustees are of one organisation",
    "custody.profile": "the key is not of a profile that may be used",
    "custody.seats": "the trustees are not the roster's",
    "custody.threshold": "the threshold allows two sums of one round",
    "custody.trial": "the key is for trials only",
    "ended.words": "too few trustees said that the attempt is over",
    "trustee.aggregator": "the manifest is not the aggregator's",
    "trustee.colluders": "the manifest assumes fewer colluders than the roster",
    "trustee.directory": "the manifest relies on another directory",
    "trustee.engine": "trustees open nothing with this engine",
    "trustee.input": "the trustee opened an input of the set before, over another set",
    "trustee.k_min": "the manifest asks for too few or too many contributors",
    "trustee.key": "the trustee has no share of the round's key",
    "trustee.members": "the members are not the roster's",
    "trustee.roster": "the manifest relies on another roster",
    "trustee.threshold": "the threshold is not the trustees'",
}

_OF_MESSAGES = {
    "agree.public": "a public key is none",
    "agree.small-order": "a public key is of small order",
    "answer.kind": "an answer is not of the kind that was asked for",
    "answer.pieces": "an answer is in other pieces than it can have",
    "answer.set": "an answer is for another set",
    "answer.sets": "an answer is for other sets",
    "boot.member": "somebody asked for another member's start",
    "boot.number": "a member stands at a start that was never granted",
    "chunk.hash": "a chunk is not the bytes it is signed for",
    "chunk.manifest": "a chunk does not fit the manifest",
    "chunk.sender": "a chunk is signed by somebody else",
    "directory.size": "a member stands beyond the end of the directory",
    "equivocation": "two things were signed for one slot",
    "frames": "a message has a wrong number of frames",
    "guest": "a guest wrote to somebody but the key server",
    "header": "a header is too long",
    "intake.sender": "a message is signed by somebody else",
    "intake.stranger": "a message came from somebody who is not waited for",
    "kind": "a message came of a kind that is not taken there",
    "lanes.canary": "a sum does not count its contributors",
    "message.kind": "a message came of a kind that is not taken there",
    "piece.length": "a file was announced that is too long",
    "seal.key": "a sealing key is malformed",
    "shamir.range": "a share is not an element of the field",
    "shares.commitment": "the shares give another secret than was committed to",
    "shamir.value": "the shares give no secret",
    "signature.invalid": "a signature does not verify",
    "signature.slot": "a message was signed for another place",
    "size": "a message is too long",
    "state.member": "a member stated what is not its own to state",
    "statement.form": "what was to be stated cannot be read back",
    "upload.digest": "an upload is not the one that was signed for",
    "upload.input": "a header does not name the input that it is of",
    "upload.length": "an upload has another length than the manifest gives it",
    "upload.missing": "an upload is not there",
    "upload.root": "an upload is not what its header names",
    "upload.twice": "an upload is named like one of somebody else",
    "upload.unwanted": "an upload came that nobody asked for",
    "wire.form": "a message is not in its one form",
}

_OF_PAILLIER = {
    "paillier.combine": "the partial decryptions do not combine",
    "paillier.commitments": "the key's commitments are wrong",
    "paillier.decryption": "a proof of decryption does not hold",
    "paillier.empty": "nothing was multiplied",
    "paillier.even": "the modulus is even",
    "paillier.factor": "the modulus has a small factor",
    "paillier.floor": "the modulus is too short or too long",
    "paillier.gcd": "a ciphertext shares a factor with the modulus",
    "paillier.knowledge": "a proof of knowledge does not hold",
    "paillier.length": "an upload or a modulus has another length",
    "paillier.partial": "a partial decryption is wrong",
    "paillier.power": "the modulus is a power",
    "paillier.prime": "the modulus is a prime",
    "paillier.profile": "the key is not of its profile",
    "paillier.range": "a number is out of range",
    "paillier.share": "a share does not fit the key's commitments",
    "paillier.shared": "the modulus shares a factor with an earlier key",
    "paillier.slots": "a sum does not fit its slots",
    "paillier.statement": "the key's statement is wrong",
    "paillier.subgroup": "the key's subgroup is none",
    "paillier.summands": "a sum has more summands than it may",
    "paillier.trustee": "somebody answered who is no trustee of the key",
    "paillier.trustees": "the trustees are too few or too many",
}

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        **_MANIFEST, **_OF_A_ROUND, **_POLICY, **_OF_TRUSTEES, **_OF_MESSAGES, **_OF_PAILLIER,
        **{f"task.{code}": f"{why}; the log there says how" for code, why in TASK.items()},
        OTHER: "by a rule that has no name; the log there says more",
    }
)  # fmt: skip
"""What people read after the name of who refused."""


def named(error: SecaggError) -> str:
    """Return the rule by which a party leaves a round: the error's own, OTHER when it has none of the table."""
    rule = getattr(error, "rule", "")
    return rule if rule in SENTENCES else OTHER


def require_known(rule: str) -> None:
    """Refuse a rule that is not in the table: it is text, and may come from a peer. Raises: ValueError."""
    if rule not in SENTENCES:
        raise ValueError("it names no rule")


def of_task(error: SecaggError) -> str:
    """Return the rule by which a party leaves whose own task failed: by the error's code alone."""
    code = error.code.removeprefix("E-").lower()
    return f"task.{code if code in TASK else OTHER}"


def sentence(rule: str) -> str:
    """Return what people read of a rule that was told or logged; one that this version does not know says so."""
    return SENTENCES.get(rule, "by a rule that this version does not know")
