"""`secagg bench`: measure what an engine costs on this machine, and that its sum is exact.

Rules: one JSON object per case, medians of its rounds; figures are read as ratios to the AES rate of the same run.
"""

import statistics
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from secagg.daemon.options import current, options

if TYPE_CHECKING:
    from secagg.crypto.paillier.keys import Profile


@click.command(name="bench")
@click.option("--engine", type=click.Choice(["masks", "paillier"]), default="masks", show_default=True)
@click.option("--nodes", type=click.IntRange(3, 1000), default=20, show_default=True)
@click.option("--params", type=click.IntRange(1, 10**9), default=1_000_000, show_default=True)
@click.option("--dropout", type=click.FloatRange(0, 0.9), default=0.0, show_default=True)
@click.option("--bits", type=click.IntRange(2, 31), default=16, show_default=True)
@click.option("--threads", type=click.IntRange(1, 2), default=1, show_default=True, help="Workers of each role.")
@click.option("--graph", type=click.Choice(["complete", "sparse"]), default="complete", show_default=True)
@click.option("--gamma", type=click.FloatRange(0, 0.3), default=0.05, show_default=True, help="Colluders (sparse).")
@click.option("--delta", type=click.FloatRange(0, 0.3), default=0.05, show_default=True, help="Drop-outs (sparse).")
@click.option("--repeat", type=click.IntRange(1, 100), default=1, show_default=True, help="Rounds; medians.")
@click.option("--whole", is_flag=True, help="A whole round in one process, every member real and checking everything.")
@click.option("--handicap", is_flag=True, help="Work on the vector twice: the client's figure must about double.")
@click.option("--key-bits", type=click.Choice(["2048", "3072", "4096"]), default="3072", show_default=True)
@click.option("--profile", type=click.Choice(["provable", "fast"]), default="provable", show_default=True)
@click.option("--s", type=click.IntRange(1, 3), default=1, show_default=True, help="Damgård-Jurik's s.")
@options
def bench(
    engine: str, nodes: int, params: int, bits: int, repeat: int, whole: bool, key_bits: str, profile: str, s: int,
    **rest: object,
) -> None:  # fmt: skip
    """Measure what an engine costs, and that its sum is exact.

    Engine paillier is measured beside phe; the specification's case is 10 nodes and 10^5 parameters. Only it reads
    --key-bits, --profile and --s, and of the options from --dropout to --handicap it reads --whole. With --whole two of
    three trustees open the sum, or a single holder where a key cannot be shared.
    """
    import msgspec

    from secagg.errors import VerificationFailed

    if engine == "paillier":
        figures = _paillier(nodes, params, bits, int(key_bits), profile, s, repeat, whole)
    else:
        figures = _masks({"nodes": nodes, "params": params, "bits": bits, "repeat": repeat, **rest}, whole)
    if current().format == "table":
        click.echo("\n".join(f"{name:>24}  {value}" for name, value in _flat(figures)) + "\n")
    else:
        click.echo(msgspec.json.encode(figures).decode())
    if not figures["exact"]:
        raise VerificationFailed("The sum differs from the integer reference.", "Report this case.", code="E-BENCH")


def _masks(options: dict[str, object], whole: bool) -> dict[str, Any]:
    import msgspec

    from secagg.bench.case import Case
    from secagg.bench.masks import measure
    from secagg.bench.whole import measure as measure_whole
    from secagg.crypto.rng import system_rng

    case = msgspec.convert(options, Case)
    return cast("dict[str, Any]", msgspec.to_builtins(measure_whole(case, system_rng) if whole else measure(case)))


def _paillier(
    nodes: int, params: int, bits: int, key_bits: int, profile: str, s: int, repeat: int, whole: bool
) -> dict[str, Any]:  # fmt: skip
    import msgspec

    from secagg.crypto.rng import system_rng
    from secagg.errors import BadConfiguration

    try:
        from secagg.bench.entrusted import measure as measure_whole
        from secagg.bench.paillier import Case, measure
    except ModuleNotFoundError as error:
        raise BadConfiguration(
            f"{error.name} is not installed.", "Install the extra: pip install 'secagg[paillier]'."
        ) from None
    case = Case(nodes, params, bits, key_bits, cast("Profile", profile), s)
    run = measure_whole if whole else measure
    return cast("dict[str, Any]", _median([msgspec.to_builtins(run(case, system_rng)) for _ in range(repeat)]))


def _median(values: list[Any]) -> Any:
    """Return the median of numbers, by field in dictionaries; everything else is as in the first."""
    first = values[0]
    if isinstance(first, dict):
        return {name: _median([value[name] for value in values]) for name in first}
    if isinstance(first, bool):
        return all(values)
    if isinstance(first, list | tuple):
        return [_median(list(parts)) for parts in zip(*values, strict=True)]
    return statistics.median(values) if isinstance(first, float) else first


def _flat(rows: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in rows.items():
        if isinstance(value, list | tuple):
            value = {part["name"]: part for part in value}
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
