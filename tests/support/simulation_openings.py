"""What all openings tell together: exact linear algebra over every sum that somebody could make.

An `Unknown` is one input: whose (a seat) and of which identity, as the simulator knows it and not as anybody says it.
That is the source for sums, source and model for training, the source alone while the model was handed out. A `Row` is
a set of unknowns whose sum can be made. The rule: no rational combination of rows isolates fewer than K_min - c honest
inputs of one identity, whichever c members collude. Cheaters whose fault is proven, and what persons allowed, stand
aside.
How to read it: `isolated` judges rows; `Collected` makes rows of the shares and decisions that were really released.
Leaves to others: taking them from the wire (simulation_oracles), who is whom (simulation_roles).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import NamedTuple


class Unknown(NamedTuple):
    """One input: of which seat, and which identity."""

    seat: str
    identity: str


class Row(NamedTuple):
    """A sum that can be made: of which inputs, in which attempt, and the K_min and c of its job."""

    where: str
    inputs: frozenset[Unknown]
    k_min: int
    colluders: int = 0


def _never(one: Row, other: Row) -> bool:
    return False


def isolated(
    rows: Iterable[Row], cheaters: frozenset[str] = frozenset(), excused: Callable[[Row, Row], bool] = _never
) -> list[str]:
    """Return every smallest set of inputs that some combination shows although it is too small, in words.

    `cheaters` are seats whose fault is proven: their inputs are known. `excused` says of two rows that persons allowed
    them beside each other: no combination holds both.
    """
    found: dict[str, None] = {}
    for chosen in _together(list(dict.fromkeys(rows)), excused):
        for component in _components(chosen, cheaters):
            found.update(dict.fromkeys(_of_component(component, cheaters)))
    return list(found)


def _together(rows: list[Row], excused: Callable[[Row, Row], bool]) -> list[list[Row]]:
    """Return the largest collections of rows of which no two excuse each other."""
    left, seen, found = [rows], {tuple(rows)}, []
    while left:
        collection = left.pop()
        pair = next((pair for pair in combinations(collection, 2) if excused(*pair)), None)
        if pair is None:
            found.append(collection)
            continue
        for one in pair:
            smaller = [row for row in collection if row is not one]
            if tuple(smaller) not in seen:
                seen.add(tuple(smaller))
                left.append(smaller)
    return found


def _components(rows: Sequence[Row], cheaters: frozenset[str]) -> list[list[Row]]:
    """Return rows that share inputs, directly or over others: nothing is told by rows that share none."""
    components: list[tuple[set[Unknown], list[Row]]] = []
    for row in rows:
        inputs, members = {unknown for unknown in row.inputs if unknown.seat not in cheaters}, [row]
        apart = []
        for known, others in components:
            if known & inputs:
                inputs |= known
                members = [*others, *members]
            else:
                apart.append((known, others))
        components = [*apart, (inputs, members)]
    return [members for _, members in components]


def _of_component(rows: Sequence[Row], cheaters: frozenset[str]) -> list[str]:
    sums = {frozenset(unknown for unknown in row.inputs if unknown.seat not in cheaters) for row in rows}
    known = {unknown.seat for row in rows for unknown in row.inputs} & cheaters
    # Whoever colludes knows its own input: c of those in a combination may, and proven cheaters are among the c.
    fewest = min(row.k_min - min(row.colluders, len(known)) for row in rows)
    if len(sums) == 1:
        (only,) = sums
        return [_told(only, rows)] if 0 < len(only) < fewest else []
    matrix = [sum_ for sum_ in sums if sum_]
    full = _rank(matrix, frozenset())
    classes: dict[str, list[Unknown]] = {}
    for unknown in sorted({unknown for sum_ in matrix for unknown in sum_}):
        classes.setdefault(unknown.identity, []).append(unknown)
    found = []
    for members in classes.values():
        smallest = _smallest(matrix, full, members, fewest)
        if smallest:
            found.append(_told(smallest, rows))
    return found


def _smallest(
    matrix: Sequence[frozenset[Unknown]], full: int, members: Sequence[Unknown], fewest: int
) -> frozenset[Unknown]:
    """Return a smallest set of fewer than `fewest` unknowns that carries a combination of rows; empty when none does.

    Some combination is zero outside a set exactly when rows without its columns have a lower rank.
    """
    for size in range(1, fewest):
        for chosen in combinations(members, size):
            if _rank(matrix, frozenset(chosen)) < full:
                return frozenset(chosen)
    return frozenset()


def _rank(matrix: Iterable[frozenset[Unknown]], without: frozenset[Unknown]) -> int:
    """Return the rational rank of rows of zeros and ones, some columns left away: elimination in whole numbers."""
    left = [dict.fromkeys(row - without, 1) for row in matrix]
    rank = 0
    while left:
        row = left.pop()
        if not row:
            continue
        rank += 1
        column, factor = next(iter(row.items()))
        left = [_eliminated(other, row, column, factor) for other in left]
    return rank


def _eliminated(other: dict[Unknown, int], row: dict[Unknown, int], column: Unknown, factor: int) -> dict[Unknown, int]:
    times = other.get(column, 0)
    if not times:
        return other
    mixed = {key: factor * other.get(key, 0) - times * row.get(key, 0) for key in (*other, *row)}
    return {key: value for key, value in mixed.items() if value}


def _told(unknowns: Iterable[Unknown], rows: Iterable[Row]) -> str:
    shown = ", ".join(f"{unknown.seat} ({unknown.identity})" for unknown in sorted(unknowns))
    return f"{shown} from {', '.join(sorted({row.where for row in rows}))}"


class Attempt(NamedTuple):
    """What an attempt needs before it opens: how many shares of one owner make a secret, K_min and c."""

    shares: int
    k_min: int
    colluders: int


class Collected:
    """Everything that was released, put together as whoever holds all messages would.

    With engine masks an upload is its input under a mask of its own and one of every pair in U2. Whoever has t shares
    of a self mask, c of them from colluders, has the mask; so with the key behind pair masks. Then the sum of all
    whose pair masks remain can be made, and the input of each of whom both secrets are known.
    """

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}
        self._sets: dict[tuple[str, bytes], tuple[str, ...]] = {}
        self._uploads: dict[tuple[str, bytes, str], Unknown] = {}
        self._shares: dict[tuple[str, str, str], set[str]] = {}
        self._decided: dict[tuple[str, frozenset[Unknown]], set[str]] = {}

    def attempt(self, label: str, shares: int, k_min: int, colluders: int) -> None:
        """Learn of an attempt."""
        self._attempts.setdefault(label, Attempt(shares, k_min, colluders))

    def masked_over(self, label: str, u2: bytes, members: Iterable[str]) -> None:
        """Learn a U2 by its digest."""
        self._sets[label, u2] = tuple(members)

    def upload(self, label: str, u2: bytes, member: str, unknown: Unknown) -> None:
        """Learn of an upload, masked over this U2, and of what it holds."""
        self._uploads[label, u2, member] = unknown

    def share(self, label: str, kind: str, owner: str, holder: str) -> None:
        """Learn that a share was released: `seed` of a self mask, `key` of pair masks."""
        self._shares.setdefault((label, kind, owner), set()).add(holder)

    def decided(self, label: str, trustee: str, unknowns: Iterable[Unknown]) -> None:
        """Learn that a trustee released its part of the sum of these ciphertexts."""
        self._decided.setdefault((label, frozenset(unknowns)), set()).add(trustee)

    def rows(self) -> list[Row]:
        """Return every sum that can be made."""
        found = [
            self._row(label, unknowns)
            for (label, unknowns), holders in self._decided.items()
            if len(holders) >= self._attempts[label].shares
        ]
        for (label, u2), members in self._sets.items():
            found += [self._row(label, sum_) for sum_ in self._masked(label, u2, members)]
        return found

    def _row(self, label: str, unknowns: Iterable[Unknown]) -> Row:
        attempt = self._attempts[label]
        return Row(label, frozenset(unknowns), attempt.k_min, attempt.colluders)

    def _masked(self, label: str, u2: bytes, members: Sequence[str]) -> list[list[Unknown]]:
        selves, pairs = self._known(label, "seed"), self._known(label, "key")
        uploads = {name: self._uploads[label, u2, name] for name in members if (label, u2, name) in self._uploads}
        alone = [[uploads[name]] for name in members if name in uploads and name in selves & pairs]
        together = [name for name in members if name not in pairs]
        whole = together and all(name in uploads and name in selves for name in together)
        return [*alone, [uploads[name] for name in together]] if whole else alone

    def _known(self, label: str, kind: str) -> set[str]:
        attempt = self._attempts[label]
        needed = max(1, attempt.shares - attempt.colluders)
        return {
            owner
            for (found, of, owner), holders in self._shares.items()
            if (found, of) == (label, kind) and len(holders) >= needed
        }
