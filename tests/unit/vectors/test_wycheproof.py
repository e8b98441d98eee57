"""Wycheproof's cases through our wrappers: what is valid gives the published answer, the rest our own errors."""

import json
from pathlib import Path
from typing import Any

import pytest

from secagg.crypto.agree import AgreementKey
from secagg.crypto.box import decrypt, encrypt
from secagg.crypto.derive import derive
from secagg.crypto.sign import verify
from secagg.errors import BadSignature, ProtocolViolation, SealBroken

Case = dict[str, Any]
FILES = Path(__file__).resolve().parents[2] / "vectors" / "wycheproof"
HEX = ("public", "private", "shared", "pk", "msg", "sig", "ikm", "salt", "info", "okm", "key", "iv", "aad", "ct", "tag")


def cases(name: str, kept: int) -> pytest.MarkDecorator:
    """Return the cases of a file, bytes as bytes; `kept` of them, so that none is lost unseen."""
    listed: list[Case] = json.loads((FILES / f"{name}.json").read_text())["tests"]
    assert len(listed) == kept
    read: list[Case] = []
    for case in listed:
        read.append({key: bytes.fromhex(value) if key in HEX else value for key, value in case.items()})
    return pytest.mark.parametrize("case", read, ids=[f"{name}-{case['tcId']}" for case in listed])


@cases("x25519", 518)
def test_x25519(case: Case) -> None:
    """`acceptable` are keys that an implementation may refuse: we refuse those that give nothing, and take the rest."""
    key = AgreementKey.from_private_bytes(case["private"])
    if any(case["shared"]):
        assert key.agree(case["public"]).reveal() == case["shared"]
        return
    assert case["result"] == "acceptable"
    assert {"ZeroSharedSecret", "LowOrderPublic"} & set(case["flags"])
    with pytest.raises(ProtocolViolation) as refused:
        key.agree(case["public"])
    assert refused.value.rule == "agree.small-order"


@cases("ed25519", 151)
def test_ed25519(case: Case) -> None:
    if case["result"] == "valid":
        verify(case["pk"], case["msg"], case["sig"])
        return
    with pytest.raises(BadSignature):
        verify(case["pk"], case["msg"], case["sig"])


@cases("hkdf_sha256", 86)
def test_hkdf(case: Case) -> None:
    def output() -> bytes:
        return derive(case["ikm"], salt=case["salt"], info=case["info"], length=case["size"]).reveal()

    if case["result"] == "valid":
        assert output() == case["okm"]
        return
    with pytest.raises(ValueError, match="larger"):
        output()


@cases("aes_gcm", 66)
def test_aes_gcm(case: Case) -> None:
    box = case["iv"] + case["ct"] + case["tag"]
    if case["result"] == "valid":
        assert decrypt(case["key"], box, case["aad"]) == case["msg"]
        assert encrypt(case["key"], case["msg"], case["aad"], lambda count: case["iv"][:count]) == box
        return
    with pytest.raises(SealBroken):
        decrypt(case["key"], box, case["aad"])
