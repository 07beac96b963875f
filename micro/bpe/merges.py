"""Byte pair encoding itself: which pairs to merge, found by touching only what changes."""
from collections import defaultdict
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import inf
from operator import add


def as_bytes(text: str) -> bytes:
    """UTF-8, for every Python string: halves of a character (lone surrogates) get three bytes, as others do."""
    return text.encode("utf-8", "surrogatepass")


def replace_pair(word: str, pair: str, new: str) -> tuple[str, list[str], list[str]]:
    """`word` with each `pair` made `new`, from the left; the pairs of neighbours it loses by that, and gains.

    A word is a str of tokens: chr(id) stands for a token, so that merging is str.replace. `pair` itself is not
    listed among the lost, but where it overlaps itself.

    >>> replace_pair("xaby", "ab", "Z")
    ('xZy', ['xa', 'by'], ['xZ', 'Zy'])
    """
    parts = word.split(pair)
    lost, gained = [], []
    for k, (left, right) in enumerate(pairwise(parts)):
        if left or k:                   # a neighbour: a token, or the pair replaced before it
            lost.append((left or pair)[-1] + pair[0])
            gained.append((left or new)[-1] + new)
        if right:
            lost.append(pair[1] + right[0])
            gained.append(new + right[0])
    return new.join(parts), lost, gained


def learn_merges(chunks: dict[str, int], n: int) -> dict[tuple[int, int], int]:
    """The first n merges for `chunks`, a text's chunks -> how often each occurs, in order of first sight.

    Merged is the most frequent pair of neighbours; among equals the one that stands first in the text, as it is
    by then. Returns {(id, id): id}, with fewer than n entries where no pair is left.

    >>> learn_merges({"aaabdaaabac": 1}, 3)
    {(97, 97): 256, (256, 97): 257, (257, 98): 258}
    """
    words, times = [as_bytes(chunk).decode("latin-1") for chunk in chunks], list(chunks.values())
    count, where = defaultdict(int), defaultdict(list)      # pair -> how often, in which words
    for i, word in enumerate(words):
        for pair in map(add, word, word[1:]):
            count[pair] += times[i]
            where[pair].append(i)

    def place(pair):
        """What the heap sorts by. From the end, as merges elsewhere in the word can only make it later."""
        i = next(i for i in where[pair] if pair in words[i])
        return -count[pair], i, words[i].find(pair) - len(words[i]), pair

    heap, merges = [(-number, where[pair][0], -inf, pair) for pair, number in count.items()], {}
    heapify(heap)
    while heap and len(merges) < n:
        hoped = heappop(heap)                               # a pair, and the best place it may have
        pair = hoped[-1]
        if count[pair] and hoped != place(pair):            # it lost some: back, where it belongs
            heappush(heap, place(pair))
        elif count[pair]:
            new = chr(256 + len(merges))
            merges[ord(pair[0]), ord(pair[1])] = ord(new)
            born = set()
            for i in dict.fromkeys(where.pop(pair)):        # only words that hold the pair
                words[i], lost, gained = replace_pair(words[i], pair, new)
                for other in lost:
                    count[other] -= times[i]
                for other in gained:
                    count[other] += times[i]
                    where[other].append(i)
                born.update(gained)
            for other in born:
                heappush(heap, (-count[other], where[other][0], -inf, other))
    return merges


def apply_merges(word: str, new: dict[str, str], pair: dict[str, str]) -> str:
    """Merge what can be merged in a word, what was learnt first before all else.

    new: pair -> the token it becomes, the earlier the smaller; pair: the other way round.

    >>> apply_merges("xaba", {"ab": "Y", "xY": "Z"}, {"Y": "ab", "Z": "xY"})
    'Za'
    """
    heap = [new[both] for both in set(map(add, word, word[1:])) if both in new]
    heapify(heap)
    while heap:                                             # the earliest merge that may be left
        token = heappop(heap)
        word, _, gained = replace_pair(word, pair[token], token)
        for both in set(gained):
            if both in new:
                heappush(heap, new[both])
    return word
