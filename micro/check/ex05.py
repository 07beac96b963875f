"""The exercises of notebook 05, backprop: autograd as the reference, random shapes, known mistakes.

Every case holds what the forward pass computed and a random gradient that arrives from above, so an
answer is judged by its own lines alone, not by those before it.
"""
import torch
import torch.nn.functional as F

from micro.check.ex05_short import ex05_7, ex05_8, ex05_9, ex05_10  # noqa: F401
from micro.check.parts import EPS, Parts, bell, by_autograd, cases_of, shapes

# -- 1: counts, their sum, its inverse -----------------------------------------------------------------

def _to_counts(g, n, classes):
    counts = bell(g, n, classes).exp()
    total = counts.sum(1, keepdim=True)
    return counts, total, total**-1, bell(g, n, classes)


def _from_probs(counts, counts_sum, counts_sum_inv, dprobs):
    def forward(counts):
        total = counts.sum(1, keepdim=True)
        inverse = total**-1
        return counts * inverse, inverse, total
    return by_autograd(forward, [counts], dprobs)


ex05_1 = Parts(
    "05.1", answer=_from_probs, cases=cases_of(_to_counts, (5, 4), (3, 3), (1, 6)), show=shapes, tol=1e-9,
    parts=("dcounts_sum_inv", "dcounts_sum", "dcounts"), part_mistakes={
        "dcounts_sum_inv": {
            "the column was copied to every letter, so its gradient is a *sum* over dimension 1":
                lambda c, s, i, d: c * d,
            "keepdim is lost: it must keep the shape (n, 1)": lambda c, s, i, d: (c * d).sum(1),
            "the factor is missing: the slope of a product for one side is the other side":
                lambda c, s, i, d: d.sum(1, keepdim=True),
            "a sum, not a mean: each copy counts fully": lambda c, s, i, d: (c * d).mean(1, keepdim=True),
            "that sums over the batch (dimension 0); it was copied along dimension 1":
                lambda c, s, i, d: (c * d).sum(0, keepdim=True)},
        "dcounts_sum": {
            "the sign is missing: the slope of 1/x is -1/x²": lambda c, s, i, d: i**2 * (c * d).sum(1, keepdim=True),
            "the slope of 1/x is -1/x², not -1/x": lambda c, s, i, d: -i * (c * d).sum(1, keepdim=True),
            "the slope alone is not enough: times the gradient that arrives": lambda c, s, i, d: -(i**2)},
        "dcounts": {
            "counts is used twice: the gradient that comes through the sum is missing": lambda c, s, i, d: i * d,
            "counts is used twice: the gradient that comes straight from the product is missing":
                lambda c, s, i, d: (-(i**2) * (c * d).sum(1, keepdim=True)).expand_as(c),
            "the gradient of the sum is copied to its terms, not divided among them":
                lambda c, s, i, d: i * d - i**2 * (c * d).sum(1, keepdim=True) / c.shape[1]}})


# -- 2: exp, minus, max --------------------------------------------------------------------------------

def _to_logits(g, n, classes):
    logits = 2 * bell(g, n, classes)
    return logits, (logits - logits.max(1, keepdim=True).values).exp(), bell(g, n, classes)


def _from_counts(logits, counts, dcounts):
    def forward(logits):
        top = logits.max(1, keepdim=True).values
        norm = logits - top
        return norm.exp(), norm, top
    return by_autograd(forward, [logits], dcounts)


def _largest(x):
    return F.one_hot(x.argmax(1), x.shape[1])


ex05_2 = Parts(
    "05.2", answer=_from_counts, cases=cases_of(_to_logits, (5, 4), (3, 3), (1, 6)), show=shapes, tol=1e-9,
    parts=("dnorm_logits", "dlogit_maxes", "dlogits"), part_mistakes={
        "dnorm_logits": {
            "the slope of exp is exp itself, here counts: multiply by it": lambda x, c, d: d,
            "the slope of exp is exp(x), which counts already holds: no second exp": lambda x, c, d: c.exp() * d,
            "the slope of exp is counts: multiply by it, do not divide": lambda x, c, d: d / c},
        "dlogit_maxes": {
            "the sign is missing: it was subtracted": lambda x, c, d: (c * d).sum(1, keepdim=True),
            "keepdim is lost: it must keep the shape (n, 1)": lambda x, c, d: -(c * d).sum(1),
            "it was copied to every letter of its row, so sum over dimension 1": lambda x, c, d: -c * d,
            "0 is right only at the end of our chain, where dcounts has a special form; here it is random":
                lambda x, c, d: torch.zeros(len(x), 1, dtype=x.dtype)},
        "dlogits": {
            "logits is used twice: the gradient through the maximum is missing": lambda x, c, d: c * d,
            "the maximum hands its gradient to the *largest* logit of the row alone, not to all":
                lambda x, c, d: c * d - (c * d).sum(1, keepdim=True),
            "the gradient of the maximum has the wrong sign":
                lambda x, c, d: c * d + _largest(x) * (c * d).sum(1, keepdim=True),
            "at the largest logit both gradients add up; there the second one overwrites the first":
                lambda x, c, d: torch.where(_largest(x).bool(), -(c * d).sum(1, keepdim=True), c * d)}})


# -- 3: a linear layer ---------------------------------------------------------------------------------

ex05_3 = Parts(
    "05.3", answer=lambda h, W, d: by_autograd(lambda h, W, b: (h @ W + b,), [h, W, d[0].detach()], d),
    cases=cases_of(lambda g, n, a, b: (bell(g, n, a), bell(g, a, b), bell(g, n, b)), (5, 4, 3), (3, 3, 3), (1, 2, 6)),
    show=shapes, tol=1e-9, parts=("dh", "dW2", "db2"), part_mistakes={
        "dh": {"for square matrices the shapes fit either way: it is W2 *transposed*, as h[i, k] meets row k of W2":
               lambda h, W, d: d @ W if W.shape[0] == W.shape[1] else d @ W.T},
        "dW2": {"that is dW2 transposed": lambda h, W, d: d.T @ h,
                "a sum over the examples, not a mean: the mean is in dlogits already":
                    lambda h, W, d: h.T @ d / len(h)},
        "db2": {"b2 was copied to every row: sum over dimension 0": lambda h, W, d: d,
                "b2 was copied to every row: sum, not mean": lambda h, W, d: d.mean(0),
                "b2 has shape (classes,), so no keepdim here": lambda h, W, d: d.sum(0, keepdim=True),
                "that sums over the letters; b2 was copied over the examples (dimension 0)":
                    lambda h, W, d: d.sum(1)}})


# -- 4: tanh, gain, bias -------------------------------------------------------------------------------

def _to_gain(g, n, width):
    raw, gain = bell(g, n, width), 1 + 0.1 * bell(g, width)
    return torch.tanh(gain * raw + 0.3), raw, gain, bell(g, n, width)


def _from_tanh(h, bnraw, bngain, dh):
    def forward(raw, gain, bias):
        pre = gain * raw + bias
        return torch.tanh(pre), pre
    pre, raw, gain, bias = by_autograd(forward, [bnraw, bngain, torch.full_like(bngain, 0.3)], dh)
    return pre, gain, bias, raw


ex05_4 = Parts(
    "05.4", answer=_from_tanh, cases=cases_of(_to_gain, (5, 4), (3, 3), (1, 6)), show=shapes, tol=1e-9,
    parts=("dhpreact", "dbngain", "dbnbias", "dbnraw"), part_mistakes={
        "dhpreact": {
            "the slope of tanh is missing: 1 - tanh²": lambda h, r, g, d: d,
            "h is tanh already: the slope is 1 - h², with no second tanh":
                lambda h, r, g, d: (1 - torch.tanh(h)**2) * d,
            "the slope is 1 - h², not 1 - h": lambda h, r, g, d: (1 - h) * d},
        "dbngain": {
            "the gain was copied to every row: the sum over the batch is missing":
                lambda h, r, g, d: r * (1 - h**2) * d,
            "a sum over the batch, not a mean": lambda h, r, g, d: (r * (1 - h**2) * d).mean(0),
            "it multiplies bnraw, so bnraw is its slope: it is missing": lambda h, r, g, d: ((1 - h**2) * d).sum(0),
            "start from dhpreact, not from dh": lambda h, r, g, d: (r * d).sum(0),
            "that sums over the neurons; the gain was copied over the examples (dimension 0)":
                lambda h, r, g, d: (r * (1 - h**2) * d).sum(1),
            "bngain has shape (width,) here: no keepdim":
                lambda h, r, g, d: (r * (1 - h**2) * d).sum(0, keepdim=True)},
        "dbnbias": {
            "the bias was copied to every row: the sum over the batch is missing": lambda h, r, g, d: (1 - h**2) * d,
            "a sum over the batch, not a mean": lambda h, r, g, d: ((1 - h**2) * d).mean(0),
            "that sums over the neurons; the bias was copied over the examples (dimension 0)":
                lambda h, r, g, d: ((1 - h**2) * d).sum(1),
            "start from dhpreact, not from dh": lambda h, r, g, d: d.sum(0)},
        "dbnraw": {
            "the gain is missing": lambda h, r, g, d: (1 - h**2) * d,
            "start from dhpreact, not from dh": lambda h, r, g, d: g * d}})


# -- 5: batch norm -------------------------------------------------------------------------------------

def _to_norm(g, n, width):
    x = 3 * bell(g, n, width) + 1
    diff = x - x.mean(0, keepdim=True)
    var = (diff**2).mean(0, keepdim=True)
    arrives = bell(g, n, width)
    return diff, var, (var + EPS)**-0.5, arrives, (diff * arrives).sum(0, keepdim=True)


def _from_raw(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
    def forward(x):
        mean = x.mean(0, keepdim=True)
        diff = x - mean
        squares = diff**2
        var = squares.mean(0, keepdim=True)
        return diff * (var + EPS)**-0.5, var, squares, diff, mean
    return by_autograd(forward, [bndiff], dbnraw)  # a shift of x changes no gradient, so bndiff stands for hprebn


def _dvar(v, dinv):
    return -0.5 * (v + EPS)**-1.5 * dinv


def _ddiff(diff, v, inv, d, dinv):
    return inv * d + 2 * diff * _dvar(v, dinv) / len(diff)


ex05_5 = Parts(
    "05.5", answer=_from_raw, cases=cases_of(_to_norm, (5, 4), (4, 4), (9, 2)), show=shapes, tol=1e-9,
    parts=("dbnvar", "dbndiff2", "dbndiff", "dbnmean", "dhprebn"), part_mistakes={
        "dbnvar": {
            "the factor -1/2 is missing": lambda f, v, i, d, e: (v + EPS)**-1.5 * e,
            "the sign is missing: the power -1/2 comes down as a factor": lambda f, v, i, d, e: -_dvar(v, e),
            "the exponent goes *down* by one, from -1/2 to -3/2": lambda f, v, i, d, e: -0.5 * (v + EPS)**-0.5 * e,
            "keepdim is lost: it must keep the shape (1, width)": lambda f, v, i, d, e: _dvar(v, e)[0],
            "the 1e-5 that the forward pass adds to the variance is missing": lambda f, v, i, d, e: -0.5 * v**-1.5 * e},
        "dbndiff2": {
            "the 1/n of the mean is missing": lambda f, v, i, d, e: _dvar(v, e).expand_as(f),
            "it must have the shape (n, width): every row gets its 1/n": lambda f, v, i, d, e: _dvar(v, e) / len(f)},
        "dbndiff": {
            "bndiff is used twice: the gradient through the variance is missing": lambda f, v, i, d, e: i * d,
            "bndiff is used twice: the gradient straight from the product is missing":
                lambda f, v, i, d, e: _ddiff(f, v, i, 0, e),
            "the slope of a square is 2 · bndiff: the 2 is missing":
                lambda f, v, i, d, e: i * d + f * _dvar(v, e) / len(f)},
        "dbnmean": {
            "the sign is missing: the mean was subtracted":
                lambda *a: _ddiff(*a).sum(0, keepdim=True),
            "keepdim is lost: it must keep the shape (1, width)": lambda *a: -_ddiff(*a).sum(0),
            "it was subtracted from every row: sum over the batch": lambda *a: -_ddiff(*a)},
        "dhprebn": {
            "hprebn is used twice: the mean's own gradient is missing": lambda *a: _ddiff(*a),
            "each row has only 1/n of the mean: the 1/n is missing":
                lambda *a: _ddiff(*a) - _ddiff(*a).sum(0, keepdim=True),
            "the gradient of the mean has the wrong sign": lambda *a: _ddiff(*a) + _ddiff(*a).mean(0)}})


# -- 6: the embedding ----------------------------------------------------------------------------------

def _letters(g, n, block, width):
    return torch.randint(0, 6, (n, block), generator=g), bell(g, 6, width), bell(g, n, block * width)


def _lookup(X, C, dembcat):
    return by_autograd(lambda C: (C[X].flatten(1),), [C], dembcat)


def _scatter(X, C, d, how):
    demb, dC = d.view(*X.shape, -1), torch.zeros_like(C)
    if how == "last":
        for x, row in zip(X.flatten().tolist(), demb.flatten(0, 1)):
            dC[x] = row
    elif how == "mean":
        dC.index_add_(0, X.flatten(), demb.flatten(0, 1))
        dC /= torch.bincount(X.flatten(), minlength=len(C)).clamp(min=1)[:, None]
    elif how == "contexts":
        for x, rows in zip(X, demb):
            dC[x] += rows
    elif how == "last letter":
        dC.index_add_(0, X[:, -1], demb[:, -1])
    return dC


ex05_6 = Parts(
    "05.6", answer=lambda X, C, d: (d.view(*X.shape, -1), _lookup(X, C, d)[0]), show=shapes, tol=1e-9,
    cases=cases_of(_letters, (7, 3, 4), (1, 8, 2), (5, 2, 2)), parts=("demb", "dC"), part_mistakes={
        "demb": {"it needs the shape of emb, (n, block_size, n_embd)": lambda X, C, d: d,
                 "the right shape, but the numbers stand in the wrong places: undo `view` with `view`":
                     lambda X, C, d: d.view(len(X), -1, X.shape[1]).transpose(1, 2)},
        "dC": {"a letter that stands in several places gets the sum of its gradients; with dC[X] = … or dC[X] += … "
               "one of them survives (index_add_ adds all)": lambda *a: _scatter(*a, "last"),
               "a letter that stands twice in *one* context counts twice: dC[x] += … with a context in x keeps one":
               lambda *a: _scatter(*a, "contexts"),
               "a sum over the places of a letter, not a mean": lambda *a: _scatter(*a, "mean"),
               "all letters of the context count, not only the last": lambda *a: _scatter(*a, "last letter"),
               "nothing was added to dC": lambda *a: _scatter(*a, "nothing")}})
