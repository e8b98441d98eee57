"""`secagg bench`: measure what an engine costs on this machine, and that its sum is exact.

Rules: one JSON object per case; figures are read as ratios to the AES rate of the same run.
"""

import click

from secagg.daemon.options import current, options


@click.command(name="bench")
@click.option("--engine", type=click.Choice(["masks"]), default="masks", show_default=True)
@click.option("--nodes", type=click.IntRange(3, 1000), default=20, show_default=True)
@click.option("--params", type=click.IntRange(1, 10**9), default=1_000_000, show_default=True)
@click.option("--dropout", type=click.FloatRange(0, 0.9), default=0.0, show_default=True)
@click.option("--bits", type=click.IntRange(2, 31), default=16, show_default=True)
@click.option("--repeat", type=click.IntRange(1, 100), default=1, show_default=True, help="Runs; each prints a line.")
@click.option("--handicap", is_flag=True, help="Work on the vector twice: the client's figure must about double.")
@options
def bench(engine: str, nodes: int, params: int, dropout: float, bits: int, repeat: int, handicap: bool) -> None:
    """Measure what an engine costs, and that its sum is exact."""
    import msgspec

    from secagg.bench.masks import Case, measure
    from secagg.crypto.rng import system_rng
    from secagg.errors import VerificationFailed

    for _ in range(repeat):
        figures = measure(Case(nodes, params, bits, dropout, handicap), system_rng)
        if current().format == "table":
            rows = msgspec.to_builtins(figures)
            click.echo("\n".join(f"{name:>24}  {value}" for name, value in rows.items()) + "\n")
        else:
            click.echo(msgspec.json.encode(figures).decode())
        if not figures.exact:
            raise VerificationFailed("The sum differs from the integer reference.", "Report this case.", code="E-BENCH")
