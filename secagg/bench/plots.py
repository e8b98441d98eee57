"""The plots of docs/performance.md, from the results file: small SVGs, the same bytes for the same results.

Rules: log-log. What the hardware allows stands beside what we take, from the same run (AES time of the masks, plain
numpy sums). Text stays text, nothing in the file depends on the day. Needs matplotlib (the extra `bench`).
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from secagg.bench.results import Row

Figures = dict[str, Any]
Rows = dict[str, Row]
Field = Callable[[Figures], float]

matplotlib.rcParams.update(
    {
        "svg.hashsalt": "secagg", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.25,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "lines.markersize": 4,
    }
)  # fmt: skip


def _server(figures: Figures) -> float:
    return float(figures["server_seconds"] + figures["adding_seconds"])


def _aes(figures: Figures) -> float:
    return float(figures["self_aes_seconds"] + figures["pair_aes_seconds"])


def _client_aes(figures: Figures) -> float:
    return float(figures["mask_bytes"] / (figures["aes_gbps"] * 1e9))


CURVES: tuple[tuple[str, Field, str], ...] = (
    ("client", lambda f: f["client_seconds"], "C0o-"),
    ("AES limit of the client's masks", _client_aes, "C0:"),
    ("server, with adding all uploads", _server, "C1s-"),
    ("AES limit of the masks that come off", _aes, "C1:"),
    ("spot check of a node", lambda f: f["verify_seconds"], "C2^-"),
    ("n plain numpy sums", lambda f: f["additions_seconds"], "k--"),
)


def draw(folder: Path, rows: Rows) -> None:
    """Write every plot whose cases were measured."""
    folder.mkdir(exist_ok=True)
    _curves(
        folder / "masks-n.svg", rows, ("5-1e6", "10-1e6", "20-1e6", "50-1e6", "100-1e6"), "nodes", "nodes n, d = 10⁶"
    )
    _curves(folder / "masks-d.svg", rows, ("20-1e4", "20-1e5", "20-1e6", "20-1e7"), "params", "parameters d, n = 20")
    _dropouts(folder / "masks-dropouts.svg", rows)
    _sparse(folder / "masks-sparse.svg", rows)
    _paillier(folder / "paillier.svg", rows)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    # Trailing blanks are matplotlib's; a repository does not want them.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _curves(path: Path, rows: Rows, names: Iterable[str], field: str, label: str) -> None:
    found = [rows[name].figures for name in names if name in rows]
    if len(found) < 2:
        return
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for name, value, style in CURVES:
        axes.loglog([f[field] for f in found], [value(f) for f in found], style, label=name)
    axes.set_xlabel(label)
    axes.set_ylabel("seconds, one thread")
    axes.legend(fontsize=7)
    _save(figure, path)


def _dropouts(path: Path, rows: Rows) -> None:
    names = ("50-1e6", "50-1e6-10%", "50-1e6-20%", "50-1e6-30%")
    found = [rows[name].figures for name in names if name in rows]
    if len(found) < 2:
        return
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for name, value, style in CURVES:
        axes.semilogy([f["dropouts"] for f in found], [value(f) for f in found], style, label=name)
    axes.set_xlabel("drop-outs of 50 nodes, d = 10⁶")
    axes.set_ylabel("seconds, one thread")
    axes.set_ylim(top=4)
    axes.legend(fontsize=7, loc="upper left", ncols=2)
    _save(figure, path)


def _sparse(path: Path, rows: Rows) -> None:
    """What grows with the number of edges, against it: a line of slope one is n·k."""
    kinds = (("sparse graph", (100, 200, 400, 1000), "C0"), ("complete graph", (50, 100, 200), "C3"))
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    edges: list[float] = []
    for label, sizes, colour in kinds:
        names = [f"{size}-1e5-{label.split()[0]}" for size in sizes]
        found = [rows[name].figures for name in names if name in rows]
        x = [f["nodes"] * f["degree"] for f in found]
        edges += x
        axes.loglog(x, [f["nodes"] * f["protect_seconds"] for f in found], f"{colour}o-", label=f"masking, {label}")
        axes.loglog(x, [f["unmask_seconds"] for f in found], f"{colour}s--", label=f"removing masks, {label}")
        for one, at in zip(found, x, strict=True):
            where = (at, one["nodes"] * one["protect_seconds"])
            axes.annotate(f"{one['nodes']:,}", where, (0, 5), textcoords="offset points", fontsize=6, ha="center")
    if not edges:
        return
    ends = (min(edges), max(edges))
    first = min(row.figures["nodes"] * row.figures["protect_seconds"] for row in rows.values() if "-1e5-" in row.name)
    axes.loglog(ends, [first * end / ends[0] for end in ends], "k:", label="∝ n·k")
    axes.set_xticks([3e3, 1e4, 3e4, 1e5], ["3,000", "10,000", "30,000", "100,000"])
    axes.minorticks_off()
    axes.set_xlabel("n·k: members times neighbours, d = 10⁵, 10 % dropped")
    axes.set_ylabel("seconds, all members / server")
    axes.legend(fontsize=7)
    _save(figure, path)


COSTS = (("encrypt_us", "encrypt"), ("add_us", "add"), ("decrypt_us", "decrypt"), ("bytes_per_param", "bytes"))


def _paillier(path: Path, rows: Rows) -> None:
    """Costs per parameter of ours and everybody else's, 2048 and 3072 bits beside each other."""
    bars = _bars(rows)
    if not bars:
        return
    figure = Figure(figsize=(10, 3.4))
    panels = figure.subplots(1, 4, sharey=True)
    for axes, (field, title) in zip(panels, COSTS, strict=True):
        for offset, (bits, colour) in enumerate(((2048, "C0"), (3072, "C1"))):
            at = [index + 0.38 * offset for index, costs in enumerate(bars.values()) if bits in costs]
            sizes = [costs[bits][field] for costs in bars.values() if bits in costs]
            axes.barh(at, sizes, height=0.36, color=colour, label=f"{bits} bits")
        axes.set_xscale("log")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("bytes" if field == "bytes_per_param" else "µs per parameter", fontsize=8)
    panels[0].set_yticks([index + 0.19 for index in range(len(bars))], list(bars), fontsize=8)
    panels[0].invert_yaxis()
    panels[-1].legend(fontsize=7)
    _save(figure, path)


def _bars(rows: Rows) -> dict[str, dict[int, Figures]]:
    """Return costs by who has them and by key size, others before ours."""
    theirs: dict[str, dict[int, Figures]] = {}
    ours: dict[str, dict[int, Figures]] = {}
    for bits in (2048, 3072):
        for profile in ("provable", "fast"):
            row = rows.get(f"paillier-{bits}-{profile}")
            if row is None:
                continue
            ours.setdefault(f"ours, {profile}", {})[bits] = row.figures["ours"]
            if profile == "provable":
                for name, costs in _others(row.figures):
                    theirs.setdefault(name, {})[bits] = costs
    return {**theirs, **ours}


def _others(figures: Figures) -> list[tuple[str, Figures]]:
    measured = [(other["name"], other) for other in figures["others"] if other["encrypt_us"]]
    return [("phe, naive", figures["naive"]), ("phe, packed", figures["packed"]), *measured]
