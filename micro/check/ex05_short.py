"""The exercises 7 to 10 of notebook 05: short forms, layer norm, attention's scores; autograd is the reference."""
import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.check.parts import EPS, Parts, bell, by_autograd, cases_of, shapes

# -- 7: cross entropy ----------------------------------------------------------------------------------

def _cross_entropy(logits, Y):
    return by_autograd(lambda x: (F.cross_entropy(x, Y),), [logits], None)[0]


ex05_7 = Exercise(
    "05.7", answer=_cross_entropy, tol=1e-9, show=lambda x, Y: f"logits of shape {tuple(x.shape)}",
    cases=cases_of(lambda g, n, c: (bell(g, n, c), torch.randint(0, c, (n,), generator=g)), (5, 4), (3, 3), (2, 7)),
    mistakes={
        "the mean is missing: divide by n": lambda x, Y: x.softmax(1) - F.one_hot(Y, x.shape[1]),
        "take 1 off at the right letter": lambda x, Y: x.softmax(1) / len(x),
        "the sign: what it said minus what was right": lambda x, Y: (F.one_hot(Y, x.shape[1]) - x.softmax(1)) / len(x),
        "divide by the number of rows, not of letters":
            lambda x, Y: (x.softmax(1) - F.one_hot(Y, x.shape[1])) / x.shape[1],
        "only the right answer's 1 was not divided by n: divide the whole difference":
            lambda x, Y: x.softmax(1) / len(x) - F.one_hot(Y, x.shape[1]),
        "p[:, Y] takes 1 off in *every* row: p[range(n), Y] pairs rows and answers":
            lambda x, Y: (x.softmax(1) - F.one_hot(Y, x.shape[1]).amax(0)) / len(x),
        "softmax over each row (dimension 1)": lambda x, Y: (x.softmax(0) - F.one_hot(Y, x.shape[1])) / len(x),
        "that is the gradient of the log-probabilities of section 3": lambda x, Y: -F.one_hot(Y, x.shape[1]) / len(x),
    })


# -- 8: batch norm -------------------------------------------------------------------------------------

def _norm_back(x, gain, dy, dim=0, correction=0, mean=1, slope=1, scale=1, divide=None,
               along=1):
    s = (x.var(dim, keepdim=True, correction=correction) + EPS)**-0.5
    xhat, g = (x - x.mean(dim, keepdim=True)) * s, gain * dy
    slant = (xhat * g).sum(dim, keepdim=True) / (divide or x.shape[dim])
    return (s if scale else 1) * (g - mean * g.mean(dim, keepdim=True) - slope * (xhat if along else 1) * slant)


def _batch_norm(x, gain, dy):
    def forward(x):
        return F.batch_norm(x, None, None, gain, None, training=True, eps=EPS),
    return by_autograd(forward, [x], dy)[0]


ex05_8 = Exercise(
    "05.8", answer=_batch_norm, show=shapes, tol=1e-9,
    cases=cases_of(lambda g, n, w: (3 * bell(g, n, w) + 1, 1 + 0.3 * bell(g, w), bell(g, n, w)),
                   (6, 4), (4, 4), (9, 1)),
    mistakes={
        "the mean of g is not taken off: no force that shifts the whole column passes":
            lambda *a: _norm_back(*a, mean=0),
        "the term along xhat is missing: that treats the variance as a constant": lambda *a: _norm_back(*a, slope=0),
        "both terms are missing: mean and variance depend on hprebn too": lambda *a: _norm_back(*a, mean=0, slope=0),
        "the gain is missing: it multiplies dhpreact": lambda x, gain, dy: _norm_back(x, 1, dy),
        "divide the variance by n, not by n - 1 (correction=0)": lambda *a: _norm_back(*a, correction=1),
        "the factor s, one over the standard deviation, is missing": lambda *a: _norm_back(*a, scale=0),
        "the last term wants the mean of xhat g, not the sum": lambda *a: _norm_back(*a, divide=1),
        "xhat is missing before the last mean": lambda *a: _norm_back(*a, along=0),
        "the sign of the last term: it is taken off": lambda *a: _norm_back(*a, slope=-1),
        "means over the batch (dimension 0), not over the row": lambda *a: _norm_back(*a, dim=1),
        "that is the lecture's n/(n - 1) in the last term, which belongs to a variance divided by n - 1":
            lambda *a: _norm_back(*a, divide=len(a[0]) - 1),
    })


# -- 9 and 10: layer norm, scores ----------------------------------------------------------------------

def _layer_norm(x, gain, dy):
    leaves = [x, gain, torch.zeros_like(gain)]
    return by_autograd(lambda x, g, b: (F.layer_norm(x, x.shape[1:], g, b, EPS),), leaves, dy)


def _xhat(x):
    return (x - x.mean(1, keepdim=True)) * (x.var(1, keepdim=True, correction=0) + EPS)**-0.5


ex05_9 = Parts(
    "05.9", answer=_layer_norm, show=shapes, tol=1e-9, parts=("dx", "dgain", "dbias"),
    cases=cases_of(lambda g, n, w: (2 * bell(g, n, w), 1 + 0.3 * bell(g, w), bell(g, n, w)), (5, 4), (4, 4), (2, 7)),
    part_mistakes={
        "dx": {"the gain must be inside g before the means are taken, since it differs within the row":
               lambda x, gain, dy: gain * _norm_back(x, 1, dy, dim=1),
               "the gain is missing": lambda x, gain, dy: _norm_back(x, 1, dy, dim=1),
               "that is batch norm: the means go over the row, dimension 1": lambda *a: _norm_back(*a, dim=0),
               "the variance of a row is divided by its width, not by width - 1":
                   lambda *a: _norm_back(*a, dim=1, correction=1),
               "mean and variance depend on x too: two terms are missing":
                   lambda *a: _norm_back(*a, dim=1, mean=0, slope=0)},
        "dgain": {"the gain was copied to every row: sum over dimension 0": lambda x, gain, dy: _xhat(x) * dy,
                  "the gain multiplies xhat: xhat is missing": lambda x, gain, dy: dy.sum(0),
                  "it multiplies xhat, not x": lambda x, gain, dy: (x * dy).sum(0)},
        "dbias": {"the bias was copied to every row: sum over dimension 0": lambda x, gain, dy: dy}})


def _to_scores(g, n, T, d):
    q, k = bell(g, n, T, d), bell(g, n, T, d)
    return q, k, (q @ k.transpose(1, 2) / d**0.5).softmax(-1), bell(g, n, T, T)


def _scores(q, k, p, dp):
    def forward(q, k):
        s = q @ k.transpose(1, 2) / q.shape[-1]**0.5
        return s.softmax(-1), s
    return by_autograd(forward, [q, k], dp)


def _ds(p, dp):
    return p * (dp - (dp * p).sum(-1, keepdim=True))


ex05_10 = Parts(
    "05.10", answer=_scores, show=shapes, tol=1e-9, parts=("ds", "dq", "dk"),
    cases=cases_of(_to_scores, (2, 4, 3), (1, 5, 5), (3, 1, 2)), part_mistakes={
        "ds": {"the weights of a row add up to 1, so raising one lowers the others: that term is missing":
               lambda q, k, p, dp: p * dp,
               "a weighted mean, by p, not a plain mean":
                   lambda q, k, p, dp: p * (dp - dp.mean(-1, keepdim=True)),
               "ds is the gradient of the scores themselves: the root of d belongs to dq and dk":
                   lambda q, k, p, dp: _ds(p, dp) / q.shape[-1]**0.5,
               "the factor p in front is missing": lambda q, k, p, dp: dp - (dp * p).sum(-1, keepdim=True),
               "sum over the last dimension, where the softmax went":
                   lambda q, k, p, dp: p * (dp - (dp * p).sum(1, keepdim=True))},
        "dq": {"divide by the root of d": lambda q, k, p, dp: _ds(p, dp) @ k,
               "divide by the *root* of d": lambda q, k, p, dp: _ds(p, dp) @ k / q.shape[-1],
               "s[i, j] = q[i] · k[j]: for dq sum over j, so ds is not transposed":
                   lambda q, k, p, dp: _ds(p, dp).transpose(1, 2) @ k / q.shape[-1]**0.5,
               "it meets k, not q": lambda q, k, p, dp: _ds(p, dp) @ q / q.shape[-1]**0.5},
        "dk": {"divide by the root of d": lambda q, k, p, dp: _ds(p, dp).transpose(1, 2) @ q,
               "s[i, j] = q[i] · k[j]: for dk sum over i, so ds is transposed":
                   lambda q, k, p, dp: _ds(p, dp) @ q / q.shape[-1]**0.5}})
