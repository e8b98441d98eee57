"""`secagg bench`: measure what an engine costs on this machine, and that its sum is exact.

Rules: one JSON object per case; figures are read as ratios to the AES rate of the same run.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

import click

from secagg.daemon.options import current, options

if TYPE_CHECKING:
    from secagg.bench import masks, paillier
    from secagg.crypto.paillier.keys import Profile


@click.command(name="bench")
@click.option("--engine", type=click.Choice(["masks", "paillier"]), default="masks", show_default=True)
@click.option("--nodes", type=click.IntRange(3, 1000), default=20, show_default=True)
@click.option("--params", type=click.IntRange(1, 10**9), default=1_000_000, show_default=True)
@click.option("--dropout", type=click.FloatRange(0, 0.9), default=0.0, show_default=True)
@click.option("--bits", type=click.IntRange(2, 31), default=16, show_default=True)
@click.option("--repeat", type=click.IntRange(1, 100), default=1, show_default=True, help="Runs; each prints a line.")
@click.option("--handicap", is_flag=True, help="Work on the vector twice: the client's figure must about double.")
@click.option("--key-bits", type=click.Choice(["2048", "3072", "4096"]), default="3072", show_default=True)
@click.option("--profile", type=click.Choice(["provable", "fast"]), default="provable", show_default=True)
@click.option("--s", type=click.IntRange(1, 3), default=1, show_default=True, help="Damgård-Jurik's s.")
@options
def bench(
    engine: str, nodes: int, params: int, dropout: float, bits: int, repeat: int, handicap: bool,
    key_bits: str, profile: str, s: int,
) -> None:  # fmt: skip
    """Measure what an engine costs, and that its sum is exact.

    Engine paillier is measured beside phe (10 nodes and 10^5 parameters are the specification's case) and ignores
    --dropout and --handicap; only it reads --key-bits, --profile and --s.
    """
    import msgspec

    from secagg.errors import VerificationFailed

    for _ in range(repeat):
        if engine == "paillier":
            figures: masks.Figures | paillier.Figures = _paillier(nodes, params, bits, int(key_bits), profile, s)
        else:
            figures = _masks(nodes, params, bits, dropout, handicap)
        if current().format == "table":
            rows = _flat(msgspec.to_builtins(figures))
            click.echo("\n".join(f"{name:>24}  {value}" for name, value in rows) + "\n")
        else:
            click.echo(msgspec.json.encode(figures).decode())
        if not figures.exact:
            raise VerificationFailed("The sum differs from the integer reference.", "Report this case.", code="E-BENCH")


def _masks(nodes: int, params: int, bits: int, dropout: float, handicap: bool) -> "masks.Figures":
    from secagg.bench.masks import Case, measure
    from secagg.crypto.rng import system_rng

    return measure(Case(nodes, params, bits, dropout, handicap), system_rng)


def _paillier(nodes: int, params: int, bits: int, key_bits: int, profile: str, s: int) -> "paillier.Figures":
    from secagg.crypto.rng import system_rng
    from secagg.errors import BadConfiguration

    try:
        from secagg.bench.paillier import Case, measure
    except ModuleNotFoundError as error:
        raise BadConfiguration(
            f"{error.name} is not installed.", "Install the extra: pip install 'secagg[paillier]'."
        ) from None
    return measure(Case(nodes, params, bits, key_bits, cast("Profile", profile), s), system_rng)


def _flat(rows: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in rows.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
