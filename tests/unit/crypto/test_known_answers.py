"""The published answers of each primitive, so that our wrapping changes nothing."""

import numpy as np
import pytest

from secagg.crypto.agree import AgreementKey
from secagg.crypto.box import stretch
from secagg.crypto.derive import derive, hmac_sha256, sha256
from secagg.crypto.prg import Keystream
from secagg.crypto.secret import Secret
from secagg.crypto.sign import SigningKey, verify


def h(text: str) -> bytes:
    return bytes.fromhex(text)


HKDF = [  # RFC 5869, appendix A.1 to A.3: key material, salt, info, output
    (
        h("0b" * 22), bytes(range(0x0D)), bytes(range(0xF0, 0xFA)),
        h("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
    ),
    (
        bytes(range(0x50)), bytes(range(0x60, 0xB0)), bytes(range(0xB0, 0x100)),
        h("b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f"
          "09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
    ),
    (h("0b" * 22), b"", b"", h("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")),
]  # fmt: skip


@pytest.mark.parametrize(("ikm", "salt", "info", "wanted"), HKDF)
def test_hkdf_of_rfc_5869(ikm: bytes, salt: bytes, info: bytes, wanted: bytes) -> None:
    assert derive(ikm, salt=salt, info=info, length=len(wanted)).reveal() == wanted
    assert derive(Secret(ikm), salt=salt, info=info, length=len(wanted)).reveal() == wanted


ED25519 = [  # RFC 8032, section 7.1, tests 1 to 3: seed, public key, message, signature
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
        "655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
        "b00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
        "c027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), ED25519)
def test_ed25519_of_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey.from_private_bytes(h(seed))
    assert (key.public, key.sign(h(message))) == (h(public), h(signature))
    verify(h(public), h(message), h(signature))


def test_x25519_of_rfc_7748() -> None:
    alice = AgreementKey.from_private_bytes(h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
    bob = AgreementKey.from_private_bytes(h("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    assert alice.public == h("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert bob.public == h("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    shared = h("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert alice.agree(bob.public).reveal() == bob.agree(alice.public).reveal() == shared


CTR = [  # SP 800-38A, F.5.1 and F.5.5: key, output blocks from counter f0f1…ff
    (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae"
        "6a2cc3787889374fbeb4c81b17ba6c44e89c399ff0f198c6d40a31db156cabfe",
    ),
    (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "0bdf7df1591716335e9a8b15c860c5025a6e699d536119065433863c8f657b94"
        "1bc12c9c01610d5d0d8bd6a3378eca622956e1c8693536b1bee99c73a31576b6",
    ),
]


@pytest.mark.parametrize(("key", "stream"), CTR)
def test_aes_ctr_of_sp_800_38a(key: str, stream: str) -> None:
    """The counter of the examples is a byte offset to us: sixteen times as far."""
    out = np.zeros(64 + 16, dtype=np.uint8)
    counter = int.from_bytes(bytes(range(0xF0, 0x100)), "big")
    Keystream(h(key), offset=16 * counter).fill(out.data, 64)
    assert out[:64].tobytes() == h(stream)


def test_hmac_of_rfc_4231() -> None:
    wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert hmac_sha256(b"Jefe", b"what do ya want for nothing?").hex() == wanted


def test_sha256_of_fips_180() -> None:
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"abc").hex() == sha256(memoryview(b"abc")).hex() == sha256(bytearray(b"abc")).hex() == wanted


def test_scrypt_of_rfc_7914() -> None:
    wanted = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
    assert stretch(b"pleaseletmein", b"SodiumChloride", n=16_384).reveal().hex() == wanted
