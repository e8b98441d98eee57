"""Write shamir.json: shares of given coefficients, and what gives no secret. `--check` compares only."""

from vectors.plain.forms import PRIME, drawn, share
from vectors.plain.writing import Vectors, finish

SECRETS = {"zero": bytes(32), "largest": b"\xff" * 32, "drawn": drawn("secret", 32)}
SETTINGS = ((1, (1,)), (2, (1, 2, 3)), (3, (1, 2, 4, 1000)), (4, (7, 3, 2, 9)))


def dealt(to: Vectors) -> None:
    """Add secrets that are dealt, then put together from two different sets."""
    for name, secret in SECRETS.items():
        for threshold, xs in SETTINGS:
            randomness = drawn(f"{name}/{threshold}", 64 * (threshold - 1))
            shares = [share(secret, randomness, x) for x in xs]
            given = {"secret": secret, "threshold": threshold, "xs": xs, "randomness": randomness}
            to.accept(f"{name}, {threshold} of {len(xs)}", "split", given, shares)
            whole = dict(zip(map(str, xs), shares, strict=True))
            for chosen in {xs[:threshold], xs[-threshold:]}:
                part = {str(x): whole[str(x)] for x in sorted(chosen)}
                if name == "drawn":
                    what = f"{name}, {threshold} of {len(xs)}, from {sorted(chosen)}"
                    to.accept(what, "combine", {"shares": part}, secret)


def no_secret(to: Vectors) -> None:
    """Add shares that no honest dealer gives."""
    good = {str(x): share(SECRETS["drawn"], drawn("pair", 64), x) for x in (1, 2, 3)}
    first, second = good["1"], good["2"]
    bad: dict[str, dict[str, bytes]] = {
        "no shares": {},
        "share equal to the prime": {"1": PRIME.to_bytes(33, "big"), "2": second},
        "share above the prime": {"1": first, "2": (PRIME + 1).to_bytes(33, "big")},
        "largest share of 33 bytes": {"1": first, "2": b"\xff" * 33},
        "share of 32 bytes": {"1": first[1:], "2": second},
        "share of 34 bytes": {"1": b"\0" + first, "2": second},
        "empty share": {"1": b"", "2": second},
    }
    for name, shares in bad.items():
        to.refuse(name, "combine", {"shares": shares}, "ProtocolViolation", rule="shamir.range")
    for name, value in {"2^256": 2**256, "the prime less 1": PRIME - 1}.items():
        shares = {str(x): ((value + 5 * x) % PRIME).to_bytes(33, "big") for x in (2, 5)}
        to.refuse(f"value {name}", "combine", {"shares": shares}, "ProtocolViolation", rule="shamir.value")
    single = {"9": (2**256).to_bytes(33, "big")}
    to.refuse("single value 2^256", "combine", {"shares": single}, "ProtocolViolation", rule="shamir.value")


def no_dealing(to: Vectors) -> None:
    """Add what a dealer must not be asked for."""
    secret, randomness = SECRETS["drawn"], drawn("plenty", 640)
    cases: dict[str, dict[str, object]] = {
        "threshold 0": {"threshold": 0}, "threshold above the shares": {"threshold": 4}, "x = 0": {"xs": [0, 1, 2]},
        "x below 0": {"xs": [-1, 1, 2]}, "x twice": {"xs": [1, 2, 2]}, "no x": {"xs": []},
        "secret of 31 bytes": {"secret": secret[1:]}, "secret of 33 bytes": {"secret": secret + b"\0"},
        "empty secret": {"secret": b""}, "threshold below 0": {"threshold": -1},
    }  # fmt: skip
    for name, change in cases.items():
        given = {"secret": secret, "threshold": 2, "xs": [1, 2, 3], "randomness": randomness, **change}
        to.refuse(f"dealing with {name}", "split", given, "ValueError")


def text() -> str:
    """Return the file's text."""
    to = Vectors("Shamir's shares over the prime 2^256 + 297; randomness gives one coefficient for each 64 bytes.")
    for add in (dealt, no_secret, no_dealing):
        add(to)
    return to.text()


if __name__ == "__main__":
    finish(__file__, text())
