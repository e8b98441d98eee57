"""What the cases do: each operation of the files through the product, from and to what JSON holds.

Each takes a case's inputs (over the file's `given`) and returns what the case's `out` must be; refusals are raised.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from secagg.crypto.agree import AgreementKey
from secagg.crypto.derive import derive, sha256
from secagg.crypto.labels import fields
from secagg.crypto.prg import Keystream
from secagg.crypto.rng import Rng
from secagg.crypto.seal import SealingKey, seal
from secagg.crypto.secret import Secret
from secagg.crypto.shamir import combine, split
from secagg.crypto.sign import SigningKey
from secagg.learning.algorithm import Totals
from secagg.learning.algorithms import Chosen, Number, algorithm_of
from secagg.learning.layout import Arrays
from secagg.log import checkpoint, statements, tree
from secagg.log.checkpoint import Checkpoint
from secagg.log.witness import LogProof, check
from secagg.protocol import lanes
from secagg.protocol.acceptance import Expectation, Policy, accept
from secagg.protocol.manifest import JobSpec, LaneGroup, Manifest, Seat, digest
from secagg.protocol.masks import graph, keys, masking
from secagg.protocol.masks.dealing import tree_of
from secagg.protocol.masks.messages import (
    AdvertiseKeys,
    Answer,
    OwnedShare,
    ShareLeaf,
    ShareList,
)
from secagg.protocol.masks.phases import Masking, Peer
from secagg.protocol.masks.recovery import Evidence, recover, unmask
from secagg.rehearsal.notebook import Notebook
from secagg.vector.packing import cheapest, slot_bits
from secagg.vector.quantize import Quantizer, decode_sum, encode
from secagg.vector.ring import add_into
from secagg.wire import chunks
from secagg.wire.codec import decode
from secagg.wire.codec import encode as to_bytes
from secagg.wire.limits import LIMIT_BULK
from secagg.wire.signed import Scope, Signed, context, open_signed, sign

Given = dict[str, Any]
h = bytes.fromhex


def scope_of(given: Given) -> Scope:
    """Return the scope of a case."""
    return msgspec.convert({**given["scope"], "manifest": h(given["scope"]["manifest"])}, Scope)


def given_rng(data: bytes) -> Rng:
    """Return a generator that gives these bytes, in order."""
    rest = [data]

    def draw(count: int) -> bytes:
        taken, rest[0] = rest[0][:count], rest[0][count:]
        return taken

    return draw


# Contexts, signatures, keys ------------------------------------------------------------------------------------------


def _fields(given: Given) -> Any:
    def value(part: Given) -> bytes | str | int:
        ((kind, found),) = part.items()
        return h(found) if kind == "bytes" else found

    return fields(*map(value, given["parts"])).hex()


def _context(given: Given) -> Any:
    return context(given["label"], given["kind"], scope_of(given), given["sender"], given["receiver"]).hex()


def _scope(given: Given) -> Any:
    return decode(Scope, h(given["data"])).round.label()


def _sign(given: Given) -> Any:
    key, where = SigningKey.from_private_bytes(h(given["seed"])), scope_of(given)
    return to_bytes(sign(key, given["kind"], where, given["sender"], given["receiver"], h(given["body"]))).hex()


def _open_signed(given: Given) -> Any:
    signed = decode(Signed, h(given["data"]))
    return open_signed(signed, h(given["public"]), given["kind"], scope_of(given), given["receiver"]).hex()


def _agree(given: Given) -> Any:
    return AgreementKey.from_private_bytes(h(given["private"])).agree(h(given["peer"])).reveal().hex()


def _self_key(given: Given) -> Any:
    return keys.self_key(h(given["seed"]), scope_of(given), given["owner"], given["group"]).reveal().hex()


def _pair_key(given: Given) -> Any:
    low, high = ((name, h(key)) for name, key in (given["low"], given["high"]))
    secret = Secret(h(given["secret"]))
    return keys.pair_key(secret, scope_of(given), h(given["u2"]), low, high, given["group"]).reveal().hex()


def _commitment(given: Given) -> Any:
    return keys.commitment(h(given["seed"]), scope_of(given), given["owner"]).hex()


def _info(make: Callable[[Scope, str, str], bytes], given: Given) -> Any:
    return make(scope_of(given), given["sender"], given["receiver"]).hex()


def _hkdf(given: Given) -> Any:
    length: int = given["length"]
    return derive(h(given["ikm"]), salt=h(given["salt"]), info=h(given["info"]), length=length).reveal().hex()


def _beacon_commitment(given: Given) -> Any:
    return graph.commit(h(given["secret"]), scope_of(given), given["owner"]).hex()


def _beacon(given: Given) -> Any:
    secret, where, owner, draw = h(given["secret"]), scope_of(given), given["owner"], given["draw"]
    value = graph.opening(secret, where, owner, draw)
    assert graph.opens(value, graph.commit(secret, where, owner), where, owner, draw)
    return value.hex()


def _graph_seed(given: Given) -> Any:
    return graph.seed(scope_of(given), h(given["u1"]), h(given["beacons"])).hex()


def _graph(given: Given) -> Any:
    found = graph.neighbours(tuple(given["members"]), given["degree"], h(given["seed"]))
    return {name: list(near) for name, near in found.items()}


def _sealing_key(given: Given) -> Any:
    return SealingKey.from_private_bytes(h(given["private"])).public.hex()


def _open_seal(given: Given) -> Any:
    return SealingKey.from_private_bytes(h(given["private"])).open(h(given["sealed"]), h(given["info"])).hex()


def _seal(given: Given) -> Any:
    return seal(h(given["public"]), b"", b"").hex()


# Shares, slots, codes ------------------------------------------------------------------------------------------------


def _split(given: Given) -> Any:
    randomness = given_rng(h(given["randomness"]))
    return [share.hex() for share in split(h(given["secret"]), given["threshold"], given["xs"], randomness)]


def _combine(given: Given) -> Any:
    return combine({int(x): h(share) for x, share in given["shares"].items()}).hex()


def _slots(group: LaneGroup, texts: Sequence[str]) -> Any:
    signed = group.layout == "lane64" or any(text.startswith("-") for text in texts)
    return np.array([int(text) for text in texts], dtype=np.int64 if signed else np.uint64)


def _lane_group(given: Given, count: int) -> LaneGroup:
    return LaneGroup("update", given["layout"], given["slot_bits"], given["slot_bits"], count)


def _pack(given: Given) -> Any:
    group = _lane_group(given, len(given["slots"]))
    packing = lanes.packing(group)
    return packing.to_wire(packing.pack(_slots(group, given["slots"]))).hex()


def _sum(given: Given) -> Any:
    packing = lanes.packing(_lane_group(given, given["count"]))
    total = np.zeros(packing.words, dtype=packing.dtype)
    for upload in given["uploads"]:
        add_into(total, packing.from_wire(h(upload)))
    packing.reduce(total)
    return [str(value) for value in packing.unpack(total).tolist()]


def _cheapest(given: Given) -> Any:
    width = slot_bits(given["value_bits"], given["nodes"])
    return {"slot_bits": width, "layout": cheapest(width)}


def _floats(values: Sequence[str], dtype: str = "float64") -> Any:
    return np.array([float.fromhex(value) for value in values]).astype(dtype)


def _quantizer(given: Given) -> Quantizer:
    return Quantizer(bits=given["bits"], clip=float.fromhex(given["clip"]))


def _quantise(given: Given) -> Any:
    values = _floats(given["values"], given["dtype"])
    codes, saturated = encode(values, _quantizer(given), given_rng(h(given["generator"])))
    return {"codes": codes.tolist(), "saturated": saturated}


def _decode_sum(given: Given) -> Any:
    codes = np.array(given["codes"], dtype=np.uint64)
    return [value.hex() for value in decode_sum(codes, given["contributors"], _quantizer(given)).tolist()]


def _manifest(given: Given) -> Manifest:
    found = given["manifest"]
    return decode(Manifest, h(given["manifests"][found] if "manifests" in given else found))


def _contribution(given: Given) -> Any:
    manifest, metrics = _manifest(given), {name: float.fromhex(v) for name, v in given["metrics"].items()}
    update, draw = _floats(given["update"]), given_rng(h(given["generator"]))
    words = lanes.encode_training(manifest, update, given["examples"], metrics, draw)
    return {group.name: lanes.packing(group).unpack(words[group.name]).tolist() for group in manifest.groups}


def _words(manifest: Manifest, slots: dict[str, Sequence[int | str]]) -> lanes.Groups:
    return {
        group.name: lanes.packing(group).pack(_slots(group, [str(value) for value in slots[group.name]]))
        for group in manifest.groups
    }


def _sums(given: Given) -> Any:
    manifest = _manifest(given)
    sums = lanes.decode_sums(manifest, _words(manifest, given["slots"]), given["contributors"])
    scalars = {name: value.hex() for name, value in sums.scalars.items()}
    return {"scalars": scalars, "update": [value.hex() for value in sums.update.tolist()]}


# Masks ---------------------------------------------------------------------------------------------------------------


def _key_stream(given: Given) -> Any:
    out = np.zeros(given["length"] + 16, dtype=np.uint8)
    Keystream(h(given["key"]), given["offset"]).fill(out.data, given["length"])
    return out[: given["length"]].tobytes().hex()


def _round(given: Given) -> tuple[Manifest, Scope]:
    manifest = _manifest(given)
    body = h(given["manifests"][given["manifest"]])
    return manifest, Scope(round=manifest.round, manifest=digest(body))


def _advertised(given: Given) -> dict[str, AdvertiseKeys]:
    return {name: AdvertiseKeys(bytes(1216), h(key), 0) for name, key in given["mask_keys"].items()}


def _protect(given: Given) -> Any:
    manifest, scope = _round(given)
    peers = tuple(Peer(name, found) for name, found in _advertised(given).items())
    phase = Masking(
        scope=scope, manifest=manifest, seal_private=b"", mask_private=h(given["private"]),
        seen=Checkpoint("fed-a/rounds", 0, bytes(32)), u1=bytes(32), members=manifest.names(),
        peers=peers, seed=h(given["seed"]), u2=h(given["u2"]),
        u2_names=manifest.names(), held=(),
    )  # fmt: skip
    upload = masking.contribute(lanes.Ready(_words(manifest, given["slots"])), phase, given["me"])
    return {"upload": upload.data.hex(), "root": upload.root.hex()}


def _shares(found: dict[str, str]) -> tuple[OwnedShare, ...]:
    return tuple(OwnedShare(owner, h(share)) for owner, share in found.items())


def _dealt_root(given: Given) -> Any:
    owner, leaves = given["owner"], []
    for entry in given["leaves"]:
        x = entry["x"]
        of_seed = keys.share_digest("seed", owner, x, h(entry["seed"]))
        of_key = keys.share_digest("key", owner, x, h(entry["key"]))
        leaves.append(ShareLeaf(x, h(entry["piece"]), of_seed, of_key))
    return tree_of(owner, leaves).root().hex()


def _open_sum(given: Given) -> Any:
    manifest, scope = _round(given)
    evidence = Evidence(
        manifest=manifest, scope=scope, u2=h(given["u2"]), advertised=_advertised(given),
        shares={name: ShareList(bytes(32), bytes(32), h(found)) for name, found in given["commitments"].items()},
        near=dict.fromkeys(manifest.names(), manifest.names()), u3=tuple(given["uploads"]),
        answers={
            name: Answer(h(entry["u2"]), bytes(32), _shares(entry["seeds"]), _shares(entry["keys"]))
            for name, entry in given["answers"].items()
        },
    )  # fmt: skip
    sums: lanes.Groups = {}
    for upload in given["uploads"].values():
        for group, words in lanes.from_upload(manifest, h(upload)).items():
            if group in sums:
                add_into(sums[group], words)
            else:
                sums[group] = words
    recovered = recover(evidence)
    unmask(sums, evidence, recovered)
    clear = {name: words.tobytes().hex() for name, words in sums.items()}
    return {"sums": clear}


# Logs ----------------------------------------------------------------------------------------------------------------


def _root(given: Given) -> Any:
    return tree.root([tree.leaf_hash(h(leaf)) for leaf in given["leaves"]]).hex()


def _inclusion(given: Given) -> None:
    leaf, proof = tree.leaf_hash(h(given["leaf"])), [h(entry) for entry in given["proof"]]
    tree.verify_inclusion(leaf, given["index"], given["size"], proof, h(given["root"]))


def _consistency(given: Given) -> None:
    proof = [h(entry) for entry in given["proof"]]
    old, new = h(given["old_root"]), h(given["root"])
    tree.verify_consistency(given["old_size"], old, given["size"], new, proof)


def _state(found: Checkpoint) -> Any:
    return {"origin": found.origin, "size": found.size, "root": found.root.hex()}


def _checkpoint(given: Given) -> Checkpoint:
    return Checkpoint(given["origin"], given["size"], h(given["root"]))


def _sign_checkpoint(given: Given) -> Any:
    key = SigningKey.from_private_bytes(h(given["seed"]))
    return checkpoint.sign_checkpoint(_checkpoint(given), given["origin"], key).hex()


def _open_checkpoint(given: Given) -> Any:
    return _state(checkpoint.open_checkpoint(h(given["note"]), given["origin"], h(given["key"])))


def _cosign(given: Given) -> Any:
    key = SigningKey.from_private_bytes(h(given["seed"]))
    return checkpoint.cosign(h(given["note"]), given["name"], key, int(given["time"])).hex()


def _cosignature(given: Given) -> Any:
    line, key = h(given["line"]), h(given["key"])
    return str(checkpoint.verify_cosignature(_checkpoint(given), line, given["name"], key))


def _proof(given: Given) -> Any:
    found = given["proof"]
    proof = LogProof(
        index=found["index"], checkpoint=h(found["checkpoint"]), inclusion=tuple(map(h, found["inclusion"])),
        old_size=found["old_size"], consistency=tuple(map(h, found["consistency"])),
    )  # fmt: skip
    last = given["last"] and _checkpoint({**given["last"], "origin": given["origin"]})
    return _state(check(h(given["leaf"]), proof, given["origin"], h(given["key"]), last))


def _sign_statement(given: Given) -> Any:
    key = SigningKey.from_private_bytes(h(given["seed"]))
    statement = msgspec.convert(given["statement"], statements.AnyStatement)
    return statements.sign_statement(statement, given["signer"], key).hex()


def _open_statement(given: Given) -> Any:
    leaf = h(given["leaf"]) + h(given.get("followed_by", "")) * given.get("times", 0)
    found, signer = statements.open_statement(leaf, lambda _: h(given["key"]))
    return {"signer": signer, "statement": json.loads(msgspec.json.encode(found))}


# Manifests and chunks ------------------------------------------------------------------------------------------------


def _policy(given: Given) -> Policy:
    found = {"exact_counts": True, **given.get("policy", {})}
    for name in ("engines", "pinned_peers"):
        if name in found:
            found[name] = tuple(tuple(entry) if isinstance(entry, list) else entry for entry in found[name])
    return Policy(**found)


def _accept(given: Given) -> Any:
    given = {**given, **given.get("expect", {})}
    body, known = h(given["spec"]), given["directory"]
    expect = Expectation(
        me=given["me"], aggregator=given["aggregator"], aggregator_key=h(given["aggregator_key"]),
        log_origin=given["log_origin"], directory_origin=given["directory_origin"],
        directory_key=h(given["directory_key"]), spec=decode(JobSpec, body), spec_digest=sha256(body),
        roster_version=given["roster_version"], roster=h(given["roster"]),
        seats=tuple(Seat(seat["name"], seat["organisation"], h(seat["key"])) for seat in given["seats"]),
        colluders=given["colluders"], policy=_policy(given), model=h(given["model"]), round=given["round"],
        directory=known and _checkpoint({**known, "origin": given["directory_origin"]}),
    )  # fmt: skip
    _, scope = accept(decode(Signed, h(given["signed"]), LIMIT_BULK), expect, Notebook())
    return scope.manifest.hex()


def _digest(given: Given) -> Any:
    body = h(given["manifest"])
    # Our own encoding of it is the same bytes, so that a manifest has one H wherever it is made.
    assert to_bytes(decode(Manifest, body)) == body
    return digest(body).hex()


def _chunk(given: Given) -> Any:
    header = decode(chunks.ChunkHeader, h(given["data"]))
    return [*chunks.span(header), chunks.count(header.total, header.size)]


def _rounds(given: Given) -> Any:
    wanted = given["algorithm"]
    numbers = tuple(Number(name, float.fromhex(value)) for name, value in sorted(wanted["numbers"].items()))
    algorithm = algorithm_of(Chosen(wanted["name"], numbers))
    model: Arrays = {"w": np.array([float.fromhex(value) for value in given["model"]], dtype=given["dtype"])}
    state, found = algorithm.begin(len(given["model"])), []
    for total, examples in zip(given["totals"], given["examples"], strict=True):
        update = np.array([float.fromhex(value) for value in total])
        totals = Totals({"update": update}, examples, given["weight_bound"])
        model, state = algorithm.step(model, state, totals)
        after = {name: [float(value).hex() for value in values] for name, values in state.items()}
        found.append({"model": [float(value).hex() for value in model["w"]], "state": after})
    return found


OPERATIONS: dict[str, Callable[[Given], Any]] = {
    "fields": _fields, "context": _context, "scope": _scope, "sign": _sign, "open-signed": _open_signed,
    "agree": _agree, "self-key": _self_key, "pair-key": _pair_key, "commitment": _commitment,
    "share-info": partial(_info, keys.share_info), "answer-info": partial(_info, keys.answer_info), "hkdf": _hkdf,
    "beacon-commitment": _beacon_commitment, "beacon": _beacon, "graph-seed": _graph_seed, "graph": _graph,
    "sealing-key": _sealing_key, "open-seal": _open_seal, "seal": _seal, "split": _split, "combine": _combine,
    "pack": _pack, "sum": _sum, "cheapest": _cheapest, "quantise": _quantise, "decode-sum": _decode_sum,
    "contribution": _contribution, "sums": _sums, "key-stream": _key_stream, "protect": _protect,
    "dealt-root": _dealt_root, "open-sum": _open_sum, "root": _root, "inclusion": _inclusion,
    "consistency": _consistency,
    "sign-checkpoint": _sign_checkpoint, "open-checkpoint": _open_checkpoint, "cosign": _cosign,
    "cosignature": _cosignature, "proof": _proof, "sign-statement": _sign_statement,
    "open-statement": _open_statement, "accept": _accept,
    "digest": _digest, "chunk": _chunk, "rounds": _rounds,
}  # fmt: skip
