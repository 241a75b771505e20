"""Which two faces form the pair at a position of an iteration: a pure function, with no state to save or restore.

Every draw comes from numpy's counter-based Philox generator: the key is (seed, purpose), the counter is (position,
iteration), so position p of iteration i has its own four 64-bit words, in O(1) from anywhere. One rank, two ranks, any
number of workers and a resumed run therefore see the same global batch. Only raw words are used: numpy guarantees
Philox's words across versions, but not the numbers of `Generator.integers`.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from simswap.errors import InputError

PAIRINGS = ("alternate", "mixed")
# Purposes keep the streams of one seed apart.
PAIR_PURPOSE, AUGMENTATION_PURPOSE, EVALUATION_PURPOSE = 1, 2, 3
MIXING_PURPOSE = 0x6D6978  # "mix"
WORDS = 4  # a Philox counter value gives four words
_MASK = (1 << 64) - 1


class Pairs(NamedTuple):
    """Rows of the targets and sources and whether both are the same person; three arrays [n] of int64, int64, bool."""

    target: np.ndarray
    source: np.ndarray
    same: np.ndarray


def random_words(seed: int, purpose: int, iteration: int, start: int, stop: int) -> np.ndarray:
    """Four random words for each of the positions start..stop-1 of an iteration: uint64 [stop - start, 4]."""
    # numpy counts up before it draws, so the counter starts one position earlier (and wraps below position 0).
    counter = ((iteration & _MASK) << 64) + start - 1
    bits = np.random.Philox(key=((purpose & _MASK) << 64) | (seed & _MASK), counter=counter % (1 << 256))
    return bits.random_raw(WORDS * (stop - start)).reshape(stop - start, WORDS)


def unit(words: np.ndarray) -> np.ndarray:
    """Random words to float64 in [0, 1), same shape."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(words: np.ndarray, bound: np.ndarray | int) -> np.ndarray:
    """Random words to integers in [0, bound), int64, same shape; `bound` (scalar or array) is below 2**32.

    The upper 32 bits times the bound, shifted: off from uniform by at most bound / 2**32.
    """
    return (((words >> np.uint64(32)) * np.asarray(bound, dtype=np.uint64)) >> np.uint64(32)).astype(np.int64)


def mixing_weights(seed: int, iteration: int, start: int, stop: int) -> np.ndarray:
    """Interpolation weights of the gradient penalty at positions start..stop-1 of an iteration.

    Positions count the pairs of all ranks, draw after draw: the numbers are the same on any number of ranks.

    Returns:
        float64 [stop - start] in [0, 1).
    """
    return unit(random_words(seed, MIXING_PURPOSE, iteration, start, stop)[:, 0])


def split_persons(names: Sequence[str], fractions: Mapping[str, float], salt: str = "simswap") -> np.ndarray:
    """The split of each person, as an index into `fractions`: int8 [len(names)].

    A person's blake2b hash, read as a number in [0, 1), falls into one of the consecutive intervals that `fractions`
    cuts; so a person stays in its split when others are added or removed. Names are compared in Unicode's NFC form,
    because some file systems hand them back decomposed.

    Raises:
        InputError: fractions that are negative, not numbers, or do not sum to 1.
    """
    values = np.array([float(value) for value in fractions.values()], dtype=np.float64)
    if len(values) == 0 or not np.all(values >= 0) or abs(values.sum() - 1) > 1e-6:
        raise InputError(f"data.fractions: {dict(fractions)} must be shares from 0 to 1 that sum to 1")
    edges = np.cumsum(values)
    # Rounding must not leave a gap under 1, nor open an interval after the last split that has a share.
    edges[np.flatnonzero(values)[-1] :] = 1.0
    points = np.array([_point(name, salt) for name in names], dtype=np.float64)
    return np.searchsorted(edges, points, side="right").astype(np.int8)


def _point(name: str, salt: str) -> float:
    text = f"{salt}\0{unicodedata.normalize('NFC', name)}".encode("utf-8", "surrogateescape")
    return (int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 11) * 2.0**-53


class PersonIndex:
    """The rows of each person in compressed form: `order` lists all rows, person after person, `offsets` cuts it.

    Persons with two or more images come first, so the rows that can form a same-person pair are the first `paired`
    entries of `order`. 4 bytes a row and 8 a person: 13 MB for 3.3 million rows.
    """

    def __init__(self, person: np.ndarray) -> None:
        _, group, counts = np.unique(np.asarray(person), return_inverse=True, return_counts=True)
        rank = np.empty(len(counts), dtype=np.int32)
        by_size = np.argsort(counts < 2, kind="stable")
        rank[by_size] = np.arange(len(counts), dtype=np.int32)
        self.order = np.argsort(rank[group], kind="stable").astype(np.int32)
        self.counts = counts[by_size].astype(np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.counts)])
        self.paired = int(self.counts[self.counts >= 2].sum())

    @property
    def persons(self) -> int:
        """Number of persons."""
        return len(self.counts)

    def person_of(self, slots: np.ndarray) -> np.ndarray:
        """The person (0..persons-1, in this index's own order) that each slot of `order` belongs to."""
        return np.searchsorted(self.offsets, slots, side="right") - 1

    def require_persons(self, what: str) -> None:
        """Check that there are two persons for a pair.

        Args:
            what: names the data in the error.

        Raises:
            InputError: fewer than two persons.
        """
        if self.persons < 2:
            raise InputError(
                f"{what}: {self.persons} person(s) there, a pair of different persons needs two; "
                "prepare more persons or change data.fractions"
            )


class PairSampler:
    """Training pairs as a pure function of (seed, iteration, position).

    The target image is drawn uniformly over the rows (for a same-person pair: over the rows of persons with at least
    two images). The source of a same-person pair is another image of the target's person, uniformly; the source of a
    different-person pair is first a person, uniformly among all others, then one of its images, uniformly: identities
    are what the source brings, so a person with many photos does not crowd out the rest.

    Args:
        person: person of each row, integers [N], any values. Rows that pairs name are indices into this array.
        seed: any integer.
        batch_size: positions of one iteration over all ranks, the global effective batch.
        pairing: `alternate`, the paper's: even iterations same person, odd iterations different persons; or `mixed`:
            each position draws, same person with probability `same_probability`.
        same_probability: in [0, 1], read by `mixed` only.
        what: names the data in error messages.

    Raises:
        InputError: a setting out of its range; fewer than two persons; no person with two images where same-person
            pairs are wanted.
    """

    def __init__(
        self,
        person: np.ndarray,
        seed: int,
        batch_size: int,
        pairing: str = "alternate",
        same_probability: float = 0.5,
        what: str = "training data",
    ) -> None:
        if pairing not in PAIRINGS:
            raise InputError(f"data.pairing: {pairing!r} is not one of {', '.join(PAIRINGS)}")
        if not 0 <= same_probability <= 1:
            raise InputError(f"data.same_probability: {same_probability} is not in [0, 1]")
        if batch_size < 1:
            raise InputError(f"data.batch_size: {batch_size} is not at least 1")
        self.seed, self.batch_size, self.pairing = int(seed), int(batch_size), pairing
        self.same_probability = float(same_probability)
        self.index = PersonIndex(person)
        if pairing == "alternate" or same_probability < 1:
            self.index.require_persons(what)
        if (pairing == "alternate" or same_probability > 0) and self.index.paired == 0:
            raise InputError(
                f"{what}: no person with two images, a same-person pair needs one; prepare more images a person, or "
                "set data.pairing=mixed data.same_probability=0"
            )

    def pair(self, iteration: int, position: int) -> tuple[int, int, bool]:
        """(target row, source row, same person) at one position of one iteration."""
        pairs = self.pairs(iteration, position, position + 1)
        return int(pairs.target[0]), int(pairs.source[0]), bool(pairs.same[0])

    def pairs(self, iteration: int, start: int, stop: int) -> Pairs:
        """The pairs at positions start..stop-1. Positions past the batch exist too: replacements come from there."""
        words = random_words(self.seed, PAIR_PURPOSE, iteration, start, stop)  # [n, 4]
        if self.pairing == "alternate":
            same = np.full(stop - start, iteration % 2 == 0)
        else:
            same = unit(words[:, 0]) < self.same_probability
        index = self.index
        slot = below(words[:, 1], np.where(same, index.paired, len(index.order)))
        person = index.person_of(slot)
        # Drawing among all but one and stepping over that one keeps the draw uniform, with no retry.
        other_person = below(words[:, 2], max(index.persons - 1, 1))
        other_person += other_person >= person
        source_person = np.where(same, person, other_person)
        source_person = np.minimum(source_person, index.persons - 1)  # only a lone person, whose pairs are all `same`
        images = index.counts[source_person]
        place = below(words[:, 3], np.where(same, np.maximum(images - 1, 1), images))
        place += same & (place >= slot - index.offsets[person])
        source = index.offsets[source_person] + place
        return Pairs(index.order[slot].astype(np.int64), index.order[source].astype(np.int64), same)


def evaluation_pairs(person: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fixed cross-person pairs for validation and evaluation: (target rows, source rows), two int64 [count].

    Balanced over persons: each round draws an order of all persons, takes each once as target and the next one in
    that order as source, so every person is target and source equally often (to within one) whatever its number of
    images. The image is drawn uniformly. A longer list starts with the shorter one of the same seed.

    Raises:
        InputError: fewer than two persons, or a count below 1.
    """
    if count < 1:
        raise InputError(f"evaluation pairs: {count} is not at least 1")
    index = PersonIndex(person)
    index.require_persons("evaluation data")
    targets: list[np.ndarray] = []
    sources: list[np.ndarray] = []
    for turn in range(-(-count // index.persons)):
        words = random_words(seed, EVALUATION_PURPOSE, turn, 0, index.persons)  # [persons, 4]
        order = np.argsort(words[:, 0], kind="stable")
        for persons, draw, rows in ((order, words[:, 1], targets), (np.roll(order, -1), words[:, 2], sources)):
            rows.append(index.order[index.offsets[persons] + below(draw, index.counts[persons])])
    return np.concatenate(targets)[:count].astype(np.int64), np.concatenate(sources)[:count].astype(np.int64)
