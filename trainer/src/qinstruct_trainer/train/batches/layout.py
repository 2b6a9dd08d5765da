"""Which records of a step lie in which row: equal work, records of one image together. Pure.

The order says which records a step has, this module where they are computed. Records of one image
form a piece, whose shared tokens are computed once in each row that has some of it. Whole pieces
seldom make rows of equal work (Q-Instruct has 12 of them for 8 ranks), so that some are divided; a
division costs another copy of what is shared. As few as needed are made: pieces are dealt to
groups of rows, at first to each row alone, then to pairs of rows and so on, until the rows are
equal after each group has divided its pieces among its own rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from math import inf

TOLERANCE = 0.02
"""How far the longest row may be above the mean: the others wait for it."""

_BEGINNINGS = 12
_FEW = 6
_HOPELESS = 0.1  # above the mean: no other beginning will change that


@dataclass(frozen=True)
class Piece:
    """Records that share their first tokens.

    Attributes:
        image: Which one; pieces of one image in one row are joined.
        shared: Tokens that all of them begin with.
        records: Of the caller's numbering, and the tokens that each has for itself.
    """

    image: int
    shared: int
    records: tuple[tuple[int, int], ...]

    @cached_property
    def own(self) -> int:
        """Tokens that are not shared."""
        return sum(tokens for _, tokens in self.records)

    @cached_property
    def tokens(self) -> int:
        """Tokens of a row that this piece alone fills."""
        return self.shared + self.own


Row = list[Piece]


def lay_out(pieces: Sequence[Piece], num_ranks: int, budget: int) -> list[Row]:
    """The rows of one step, those of the first pass before those of the next.

    Args:
        pieces: With at least as many records as there are ranks.
        num_ranks: Rows that are computed at the same time: the rows of a pass.
        budget: Most tokens of a row; no record is longer.

    Returns:
        As few passes as keep to the budget, or as many as there are records for. No row is empty.
    """
    most = sum(len(piece.records) for piece in pieces) // num_ranks
    least = -(-_tokens(pieces) // (num_ranks * budget))
    for passes in range(min(least, most), most):
        rows = _balanced(pieces, num_ranks * passes)
        if max(map(_tokens, rows)) <= budget:
            return rows
    return _balanced(pieces, num_ranks * most)


def _balanced(pieces: Sequence[Piece], num_rows: int) -> list[Row]:
    """The rows with the fewest divisions that are equal; or else the most equal ones."""
    best: list[Row] = []
    for rows in _candidates(pieces, num_rows):
        if not all(rows):
            continue
        if _unequal(rows) < TOLERANCE:
            return rows
        if not best or _unequal(rows) < _unequal(best):
            best = rows
    return best or _record_by_record(pieces, num_rows)


def _candidates(pieces: Sequence[Piece], num_rows: int) -> Iterator[list[Row]]:
    """From no division on, to rows that each share a piece with the next one."""
    for divisions in range(num_rows):
        num_groups = num_rows - divisions
        if num_groups <= len(pieces):
            sizes = [(num_rows + n) // num_groups for n in range(num_groups)]
            groups = _dealt(pieces, sizes)
            yield [
                row
                for group, size in zip(groups, sizes, strict=True)
                for row in _divided(group, size)
            ]


def _dealt(pieces: Sequence[Piece], sizes: Sequence[int]) -> list[Row]:
    """Whole pieces in groups, each of work for so many rows: the largest first, then exchanges.

    That ends where no exchange of two helps, so that it is tried from several beginnings.
    """
    order = sorted(pieces, key=lambda piece: -piece.tokens)
    copy = _copy(order)
    fair = (_tokens(order) + sum(size - 1 for size in sizes) * copy) / sum(sizes)
    best: list[Row] = []
    least = inf
    for beginning in range(min(_BEGINNINGS, len(order))):
        groups: list[Row] = [[] for _ in sizes]
        over = [(size - 1) * copy - size * fair for size in sizes]  # tokens above the fair share
        for piece in order[beginning:] + order[:beginning]:
            place = min(range(len(sizes)), key=lambda n: over[n] / sizes[n])
            groups[place].append(piece)
            over[place] += piece.tokens
        while _most(over, sizes) > TOLERANCE / 2 * fair and _exchange(groups, over, sizes):
            pass
        if _most(over, sizes) < least:
            best, least = groups, _most(over, sizes)
        if not TOLERANCE / 2 * fair < least < _HOPELESS * fair:
            break
    return best


def _most(over: Sequence[float], sizes: Sequence[int]) -> float:
    """Tokens that a row has too many, in the group where that is the most."""
    return max(tokens / size for tokens, size in zip(over, sizes, strict=True))


def _exchange(groups: list[Row], over: list[float], sizes: Sequence[int]) -> bool:
    """Make the two groups that gain most from it more alike; whether any two do.

    A move is an exchange for nothing. The gain is that of the sum of over^2 / size.
    """
    best, chosen = 1e-6, None
    tokens = [[piece.tokens for piece in group] + [0] for group in groups]
    for high, low in permutations(range(len(groups)), 2):
        apart = over[high] / sizes[high] - over[low] / sizes[low]
        weight = 1 / sizes[high] + 1 / sizes[low]
        if apart <= 0 or apart * apart <= best * weight:  # no exchange of these two gains more
            continue
        for i, given in enumerate(tokens[high][:-1]):
            for j, taken in enumerate(tokens[low]):
                moved = given - taken
                gain = moved * (2 * apart - moved * weight)
                if gain > best:
                    best, chosen = gain, (high, low, i, j)
    if chosen is None:
        return False
    high, low, i, j = chosen
    moved = tokens[high][i] - tokens[low][j]
    piece = groups[high].pop(i)
    if j < len(groups[low]):
        groups[high].append(groups[low].pop(j))
    groups[low].append(piece)
    over[high] -= moved
    over[low] += moved
    return True


def _copy(pieces: Row) -> int:
    """Tokens that a division adds."""
    return max((piece.shared for piece in pieces if len(piece.records) > 1), default=0)


def _divided(pieces: Row, num_rows: int) -> list[Row]:
    """Rows of equal work out of a group's pieces: by halves, with one division between two."""
    if num_rows == 1:
        return [pieces]
    copy = _copy(pieces)
    each = (_tokens(pieces) + (num_rows - 1) * copy) / num_rows
    num_left = num_rows // 2
    left, right = _halves(pieces, int(num_left * each) - (num_left - 1) * copy)
    return _divided(left, num_left) + _divided(right, num_rows - num_left)


def _halves(pieces: Row, room: int) -> tuple[Row, Row]:
    """Pieces and a part of another that fill `room`; and the rest.

    The part and what it leaves are as large as can be: many records sum up to any number. Where
    none can be divided so, the whole pieces that come nearest.
    """
    best, chosen = 0, (frozenset[int](), -1)
    nearest, whole = inf, frozenset[int]()
    for left in _selections(len(pieces)):
        rest = room - sum(pieces[n].tokens for n in left)
        if abs(rest) < nearest:
            nearest, whole = abs(rest), left
        for number, piece in enumerate(pieces):
            margin = min(rest - piece.shared, piece.tokens - rest)
            if margin > best and number not in left and len(piece.records) > 1:
                best, chosen = margin, (left, number)
    left, number = chosen
    if number >= 0:
        rest = room - sum(pieces[n].tokens for n in left)
        part, remainder = _parts(pieces[number], rest)
        if part is not None:
            others = [p for n, p in enumerate(pieces) if n not in left and n != number]
            return [*(pieces[n] for n in left), part], [remainder, *others]
    return (
        [piece for n, piece in enumerate(pieces) if n in whole],
        [piece for n, piece in enumerate(pieces) if n not in whole],
    )


def _selections(number: int) -> Iterator[frozenset[int]]:
    """All selections of a few pieces; of many, those that follow each other in a circle."""
    if number <= _FEW:
        for mask in range(1 << number):
            yield frozenset(n for n in range(number) if mask >> n & 1)
        return
    for first in range(number):
        for length in range(number):
            yield frozenset((first + n) % number for n in range(length))


def _parts(piece: Piece, room: int) -> tuple[Piece | None, Piece]:
    """As much of a piece as fits into `room`, and the other records; None where none does.

    Which sums of records can be reached are the bits of one number, so that the sum is the
    best one.
    """
    reached = [1]
    for _, tokens in piece.records:
        reached.append(reached[-1] | reached[-1] << tokens)
    within = reached[-1] & ((1 << max(0, min(room - piece.shared, piece.own - 1) + 1)) - 1)
    total = within.bit_length() - 1
    if total <= 0:
        return None, piece
    chosen: list[tuple[int, int]] = []
    others: list[tuple[int, int]] = []
    for before, record in zip(reversed(reached[:-1]), reversed(piece.records), strict=True):
        if before >> total & 1:
            others.append(record)
        else:
            chosen.append(record)
            total -= record[1]
    return (
        replace(piece, records=tuple(reversed(chosen))),
        replace(piece, records=tuple(reversed(others))),
    )


def _joined(row: Row) -> Row:
    """One piece of each image."""
    found: dict[int, Piece] = {}
    for piece in row:
        other = found.get(piece.image)
        found[piece.image] = (
            replace(piece, records=other.records + piece.records) if other else piece
        )
    return list(found.values())


def _record_by_record(pieces: Sequence[Piece], num_rows: int) -> list[Row]:
    """No row is empty, whatever the pieces are."""
    alone = [replace(piece, records=(record,)) for piece in pieces for record in piece.records]
    return [_joined(row) for row in _dealt(alone, [1] * num_rows)]


def _tokens(row: Sequence[Piece]) -> int:
    return sum(piece.tokens for piece in row)


def _unequal(rows: Sequence[Row]) -> float:
    """How far the longest row is above the mean."""
    tokens = [_tokens(row) for row in rows]
    return max(tokens) * len(tokens) / sum(tokens) - 1
