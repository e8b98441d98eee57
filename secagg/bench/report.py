"""Results to the tables of docs/performance.md: between two markers everything is written from the results file.

Rules: what stands outside the markers is a person's and is left alone; the same results give the same page, byte for
byte. Leaves to others: plots (plots.py), what is asked (targets.py).
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from secagg.bench.results import Row
from secagg.bench.targets import PAILLIER, TARGETS, Target, measured, met

Rows = dict[str, Row]
_MARKS = re.compile(r"(<!-- bench:([a-z-]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def page(text: str, rows: Rows) -> str:
    """Return the page with every marked part written anew.

    Raises: KeyError when a marker names no part.
    """
    return _MARKS.sub(lambda found: found[1] + "\n".join(PARTS[found[2]](rows)) + "\n" + found[3], text)


def _table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> list[str]:
    """Return a table, numbers to the right of their column."""
    names = list(head)
    return [_line(names), _line(["---", *["---:"] * (len(names) - 1)]), *(_line(line) for line in lines)]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _short(value: float) -> str:
    """Return three significant digits, without an exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def targets(rows: Rows, asked_for: Iterable[Target] = TARGETS) -> list[str]:
    """Return what is asked, what was measured, and whether that is enough."""
    lines = []
    for target in asked_for:
        found, good = measured(target, rows), met(target, rows)
        if target.field == "exact":
            asked, have = "exact", "not measured" if found is None else "exact" if good else "wrong"
        else:
            asked = f"{'≥' if target.least else '≤'} {_limit(target.limit)}{target.unit}"
            have = "not measured" if found is None else f"{_short(found)}{target.unit}"
        lines.append([target.text, asked, have, {None: "–", True: "yes", False: "**no**"}[good]])
    return _table(["", "asked", "measured", "met"], lines)


def _limit(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


_MASKS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("client ms", lambda f: _short(f["client_seconds"] * 1e3)),
    ("of it d-independent", lambda f: _short(f["client_setup_seconds"] * 1e3)),
    ("÷ AES", lambda f: _short(f["client_x"])),
    ("quantising ms", lambda f: _short(f["quantise_seconds"] * 1e3) if "quantise_seconds" in f else "–"),
    ("server ms", lambda f: _short(f["server_seconds"] * 1e3)),
    ("of it masks", lambda f: _short(f["unmask_seconds"] * 1e3)),
    ("AES ms", lambda f: _short((f["self_aes_seconds"] + f["pair_aes_seconds"]) * 1e3)),
    ("adding uploads ms", lambda f: _short(f["adding_seconds"] * 1e3)),
    ("n numpy sums ms", lambda f: _short(f["additions_seconds"] * 1e3)),
    ("spot check ms", lambda f: _short(f["verify_seconds"] * 1e3)),
    ("sent B/parameter", lambda f: _short(f["upload_bytes_per_param"])),
)


def _roles(rows: Rows, sparse: bool) -> list[str]:
    chosen = [row for row in rows.values() if "client_seconds" in row.figures]
    lines = []
    for row in (one for one in chosen if _is_sparse(one) is sparse):
        figures = row.figures
        lines.append([f"`{_arguments(row)}`", *(cell(figures) for _, cell in _MASKS)])
    return _table(["`secagg bench …`", *(name for name, _ in _MASKS)], lines)


def _is_sparse(row: Row) -> bool:
    return "sparse" in row.name or "complete" in row.name


def _arguments(row: Row) -> str:
    return row.command.removeprefix("secagg bench ").replace("--engine paillier ", "")


def _whole(rows: Rows) -> list[str]:
    lines = [
        [f"`{_arguments(row)}`", _short(row.figures["seconds"]), f"{row.figures['peak_rss_bytes'] / 2**30:.2f}",
         "yes" if row.figures["exact"] else "**no**"]
        for row in rows.values() if row.name.startswith("whole")
    ]  # fmt: skip
    return _table(["`secagg bench …`", "seconds, all members", "peak GiB", "exact"], lines)


_COSTS = (("encrypt", "encrypt_us"), ("add", "add_us"), ("decrypt", "decrypt_us"), ("bytes", "bytes_per_param"))


def _paillier(rows: Rows) -> list[str]:
    """Return microseconds per parameter of everybody, by key."""
    lines = []
    for row in (one for one in rows.values() if one.name.startswith("paillier")):
        figures, case = row.figures, row.figures["case"]
        key = f"{case['key_bits']}"
        if case["profile"] == "provable" and case["s"] == 1:
            parts = [("`phe`, naive", figures["naive"]), ("`phe`, packed", figures["packed"])]
            parts += [(other["name"], other) for other in figures["others"]]
            lines += [[name, key, *_costs(part, figures)] for name, part in parts]
        lines.append([f"**ours**, `{case['profile']}`, s = {case['s']}", key, *_costs(figures["ours"], figures)])
    return _table(["µs of CPU per parameter", "key", *(name for name, _ in _COSTS), "exact"], lines)


def _costs(part: dict[str, Any], figures: dict[str, Any]) -> list[str]:
    if part.get("note", "").endswith("not installed"):
        return [part["note"], "", "", "", ""]
    naive, cells = figures["naive"], []
    for _, field in _COSTS:
        times = naive[field] / part[field]
        cells.append(_short(part[field]) + ("" if part is naive else f" ({_times(times)})"))
    return [*cells, "yes" if part.get("exact", True) else "no"]


def _times(value: float) -> str:
    return f"{value:,.0f}×" if value >= 10 else f"{value:.1f}×"


def _beside(rows: Rows) -> list[str]:
    """Return what Paillier's rounds cost besides."""
    wanted: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
        ("encrypting from a full pool µs", lambda f: _short(f["ours"]["online_us"]) + f" ({_times(f['online_x'])})"),
        ("proof of knowledge, making µs", lambda f: _short(f["ours"]["knowledge_prove_us"])),
        ("verifying µs", lambda f: _short(f["ours"]["knowledge_verify_us"])),
        ("proof of decryption, making", lambda f: f"{100 * f['ours']['decryption_prove_part']:.1f} %"),
        ("verifying", lambda f: f"{100 * f['ours']['decryption_verify_part']:.1f} %"),
        ("its bytes", lambda f: str(f["ours"]["decryption_proof_bytes"])),
        ("table MiB", lambda f: _short(f["ours"]["table_mib"])),
        ("two threads", lambda f: _short(f["ours"]["two_threads_x"]) + "×"),
        ("timing: secret / public t", lambda f: f"{f['timing']['secret_t']:.1f} / {f['timing']['public_t']:.0f}"),
    )
    chosen = [row for row in rows.values() if row.name.startswith("paillier")]
    lines = [[f"`{_arguments(row)}`", *(cell(row.figures) for _, cell in wanted)] for row in chosen]
    return _table(["`secagg bench --engine paillier …`", *(name for name, _ in wanted)], lines)


def _threshold(rows: Rows) -> list[str]:
    lines = []
    for row in (one for one in rows.values() if one.name.startswith("paillier")):
        shared = row.figures.get("threshold")
        if shared:
            cells = [_short(shared[f"{what}_{unit}"]) for what in ("partial", "verify") for unit in ("us", "ms")]
            lines.append([str(row.figures["case"]["key_bits"]), *cells, _short(shared["combine_us"])])
    head = ["key, 2 of 3", "answer µs", "+ ms", "verifying µs", "+ ms", "combining µs"]
    return _table(head, lines)


def _powers(rows: Rows) -> list[str]:
    """Return what decryption's power costs by each routine, and the most that decryption could be with it."""
    lines = []
    for row in (one for one in rows.values() if "powers" in one.figures):
        powers, case = row.figures["powers"], row.figures["case"]
        cells = [f"{_short(powers[name]['us'])} ({_times(powers[name]['x'])})" for name in ("ordinary", "gmp")]
        openssl = powers["openssl"]
        cells.append(f"{_short(openssl['us'])} ({_times(openssl['x'])})" if openssl["us"] else "not in reach")
        lines.append([
            f"{case['key_bits']}, `{case['profile']}`, s = {case['s']}", *cells, _times(row.figures["decrypt_x"])
        ])  # fmt: skip
    head = ["key", "ordinary", "GMP, constant time", "OpenSSL, constant time", "decryption"]
    return _table(head, lines)


def _entrusted(rows: Rows) -> list[str]:
    """Return what whole rounds with trustees cost."""
    lines = []
    for row in (one for one in rows.values() if one.name.startswith("entrusted")):
        figures = row.figures
        who = f"{figures['threshold']} of {figures['trustees']}" if figures["trustees"] > 1 else "one holder"
        parts = ("node_seconds", "trustee_seconds", "aggregator_seconds", "seconds", "phe_seconds")
        lines.append([
            f"`{_arguments(row)}`", who, *(_short(figures[part]) for part in parts), _times(figures["phe_x"]),
            _short(figures["sent_bytes_per_param"]), "yes" if figures["exact"] else "**no**",
        ])  # fmt: skip
    head = ["`secagg bench --engine paillier …`", "opened by", "a node s", "a trustee s", "aggregator s", "everybody s"]
    return _table([*head, "`phe`, naive s", "ratio", "upload B/parameter", "exact"], lines)


def _where(rows: Rows) -> list[str]:
    """Return commits, dates and the AES rate that the figures are of."""
    if not rows:
        return ["Not measured yet."]
    commits = ", ".join(sorted({row.commit for row in rows.values()}))
    dates = sorted({row.date[:10] for row in rows.values()})
    loads = [row.load for row in rows.values()]
    rates = [row.figures["aes_gbps"] for row in rows.values() if "aes_gbps" in row.figures]
    between = f"{min(rates):.1f}–{max(rates):.1f} GB/s" if rates else "not measured"
    return [
        f"Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))} at commit {commits}. AES-128-CTR into a warm",
        f"256 KiB buffer: {between} on one core. Load average before a case: {min(loads):.1f}–{max(loads):.1f}.",
    ]


PARTS: dict[str, Callable[[Rows], list[str]]] = {
    "where": _where,
    "targets": targets,
    "masks": lambda rows: _roles(rows, sparse=False),
    "sparse": lambda rows: _roles(rows, sparse=True),
    "whole": _whole,
    "paillier": _paillier,
    "paillier-beside": _beside,
    "paillier-targets": lambda rows: targets(rows, PAILLIER),
    "paillier-powers": _powers,
    "entrusted": _entrusted,
    "threshold": _threshold,
}
