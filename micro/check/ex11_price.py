"""Exercise 8 of notebook 11: the price of an idea."""
import random
from collections import namedtuple

from micro.check import short
from micro.check.parts import Fresh, Places, Shown, draw, shuffled

IDEAS = ("half precision", "a small net", "whitening", "identity start", "lookahead", "six views", "Muon", "one launch")
_Made = namedtuple("Recipe", "top without")  # what stands for a recipe here


def _recipe(top, without=()):
    if isinstance(without, str) or set(without) - {*IDEAS}:
        raise ValueError(f"without is a list of rungs' names, not {short(without)}")
    return _Made(top, frozenset(without))


def _price(train, recipe, top, names, key=lambda p: -p[1], without=lambda names, k: [names[k]], sign=1, again=False):
    whole, found = None if again else train(recipe(top)), []
    for k, name in enumerate(names):
        part = train(recipe(top, without=without(names, k)))
        found.append((name, sign * ((train(recipe(top)) if again else whole) - part)))
    return sorted(found, key=key) if key else found


def _accuracy(made, seed):
    """A number that depends on each idea that is left, and a little on all of them together."""
    parts = [f"{seed} {name}" for name in IDEAS if name not in made.without]
    return 0.8 + sum(random.Random(p).uniform(-0.01, 0.01) for p in parts) + random.Random("".join(parts)).random() / 50


def _probe_price(fn, top, names, seed):
    seen = []

    def train(made):
        if not isinstance(made, _Made):
            raise TypeError(f"train takes a recipe, not {short(made)}")
        seen.append(made)
        return _accuracy(made, seed)
    found = fn(train, _recipe, top, names)
    if not isinstance(found, list) or not all(len(pair) == 2 and isinstance(pair[0], str) for pair in found):
        raise TypeError(f"a list of pairs (name, accuracy lost) is wanted, not {short(found)}")
    facts = Places("pair", [(name, round(float(lost), 6) + 0.0) for name, lost in found])
    facts["number of calls of train"] = Shown(len(seen))
    return facts


def _prices(g):
    found = []
    while len(found) < 4:
        names, seed = shuffled(g, IDEAS[:-1])[:draw(g, 4, 6)], draw(g, 0, 10**6)
        lost = _price(lambda made, seed=seed: _accuracy(made, seed), _recipe, IDEAS[-1], names)
        order, sizes = [name for name, _ in lost], [p for _, p in lost]
        clear = min(a - b for a, b in zip(sizes, sizes[1:])) > 1e-4 and min(map(abs, sizes)) > 1e-4
        if clear and sizes[0] > 0 > sizes[-1] and order not in (names, sorted(names), names[::-1]):
            found.append((IDEAS[-1], names, seed))
    return found


ex11_8 = Fresh(
    "11.8", answer=_price, make=_prices, probe=_probe_price,
    show=lambda top, names, seed: f"top={top!r}, names={names}",
    mistakes={
        "leave out one rung at a time: with those before it still gone, the losses pile up":
            lambda *a: _price(*a, without=lambda names, k: names[:k + 1]),
        "the sign is wrong: wanted is the accuracy of the whole recipe minus that without the rung":
            lambda *a: _price(*a, sign=-1),
        "the sign is wrong: what is lost is positive where a rung helped":
            lambda *a: _price(*a, sign=-1, key=lambda pair: pair[1]),
        "the order is wrong: the dearest comes first": lambda *a: _price(*a, key=lambda pair: pair[1]),
        "a rung that does harm has a negative price: no abs()":
            lambda *a: sorted([(n, abs(p)) for n, p in _price(*a)], key=lambda pair: -pair[1]),
        "sorted by name; wanted is by what is lost": lambda *a: _price(*a, key=lambda pair: pair[0]),
        "not sorted: wanted is from the dearest to the cheapest": lambda *a: _price(*a, key=None),
        "the whole recipe is trained again for every name: once is enough": lambda *a: _price(*a, again=True),
        "those are accuracies; wanted is what is lost": lambda *a: [(n, a[0](a[1](a[2])) - p) for n, p in _price(*a)],
    })
