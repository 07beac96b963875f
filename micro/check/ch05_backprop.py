"""The checks of notebook 05, backprop by hand."""
import torch
import torch.nn.functional as F

from micro.check import Exercise
from micro.check.kinds import EPS, Parts, by_autograd, cases_of, randn, shapes_of

# -- 1: counts, their sum, its inverse -----------------------------------------------------------------

def to_counts(g, n, classes):
    counts = randn(g, n, classes).exp()
    total = counts.sum(1, keepdim=True)
    return counts, total, total**-1, randn(g, n, classes)


def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):
    def forward(counts):
        total = counts.sum(1, keepdim=True)
        inverse = total**-1
        return counts * inverse, inverse, total
    return by_autograd(forward, [counts], dprobs)


ex05_1 = Parts(
    "05.1", answer=back_to_counts, cases=cases_of(to_counts, (5, 4), (3, 3), (1, 6)), show=shapes_of, tol=1e-9,
    parts=("dcounts_sum_inv", "dcounts_sum", "dcounts"), part_mistakes={
        "dcounts_sum_inv": {
            "the column was copied to every letter, so its gradient is a *sum* over dimension 1": """
                def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):
                    return counts * dprobs, None, None
                """,
            "a sum, not a mean: each copy counts fully": """
                def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):
                    return (counts * dprobs).mean(1, keepdim=True), None, None
                """,
            "the factor is missing: the derivative of a product by one factor is the other factor": """
                def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):
                    return dprobs.sum(1, keepdim=True), None, None
                """},
        "dcounts_sum": {
            "the derivative of 1/x is -1/x², not -1/x": """
                def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):
                    dcounts_sum_inv = (counts * dprobs).sum(1, keepdim=True)
                    return dcounts_sum_inv, -counts_sum_inv * dcounts_sum_inv, None
                """,
            "the derivative alone is not enough: multiply it by the gradient that arrives": """
                def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):
                    return None, -counts_sum**-2, None
                """},
        "dcounts": {
            "counts is used twice: the gradient that comes through the sum is missing": """
                def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):
                    return None, None, counts_sum_inv * dprobs
                """,
            "counts is used twice: the gradient that comes straight from the product is missing": """
                def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):
                    dcounts_sum_inv = (counts * dprobs).sum(1, keepdim=True)
                    dcounts_sum = -counts_sum**-2 * dcounts_sum_inv
                    return dcounts_sum_inv, dcounts_sum, dcounts_sum.expand_as(counts)
                """}})


# -- 2: exp, minus, max --------------------------------------------------------------------------------

def to_logits(g, n, classes):
    logits = 2 * randn(g, n, classes)
    return logits, (logits - logits.max(1, keepdim=True).values).exp(), randn(g, n, classes)


def back_to_logits(logits, counts, dcounts):
    def forward(logits):
        top = logits.max(1, keepdim=True).values
        norm = logits - top
        return norm.exp(), norm, top
    return by_autograd(forward, [logits], dcounts)


ex05_2 = Parts(
    "05.2", answer=back_to_logits, cases=cases_of(to_logits, (5, 4), (3, 3), (1, 6)), show=shapes_of, tol=1e-9,
    parts=("dnorm_logits", "dlogit_maxes", "dlogits"), part_mistakes={
        "dnorm_logits": {
            "the derivative of exp is exp itself, here counts: multiply by it": """
                def back_to_logits(logits, counts, dcounts):
                    return dcounts, None, None
                """,
            "the derivative of exp is exp(x), which counts already holds: no second exp": """
                def back_to_logits(logits, counts, dcounts):
                    return counts.exp() * dcounts, None, None
                """},
        "dlogit_maxes": {
            "it was copied to every letter of its row, so sum over dimension 1": """
                def back_to_logits(logits, counts, dcounts):
                    return counts * dcounts, -counts * dcounts, None
                """,
            "0 is right only at the end of our chain, where dcounts has a special form; here it is random": """
                def back_to_logits(logits, counts, dcounts):
                    return counts * dcounts, torch.zeros(len(logits), 1), None
                """},
        "dlogits": {
            "logits is used twice: the gradient through the maximum is missing": """
                def back_to_logits(logits, counts, dcounts):
                    return None, None, counts * dcounts
                """,
            "the maximum hands its gradient to the *largest* logit of the row alone, not to all": """
                def back_to_logits(logits, counts, dcounts):
                    dnorm_logits = counts * dcounts
                    dlogit_maxes = -dnorm_logits.sum(1, keepdim=True)
                    return dnorm_logits, dlogit_maxes, dnorm_logits + dlogit_maxes
                """,
            "at the largest logit both gradients add up; there the second one overwrites the first": """
                def back_to_logits(logits, counts, dcounts):
                    dnorm_logits = counts * dcounts
                    dlogit_maxes = -dnorm_logits.sum(1, keepdim=True)
                    dlogits = dnorm_logits.clone()
                    dlogits[range(len(logits)), logits.argmax(1)] = dlogit_maxes[:, 0]
                    return dnorm_logits, dlogit_maxes, dlogits
                """}})


# -- 3: a linear layer ---------------------------------------------------------------------------------

ex05_3 = Parts(
    "05.3", answer=lambda h, W2, dlogits: by_autograd(lambda h, W, b: (h @ W + b,), [h, W2, dlogits[0]], dlogits),
    cases=cases_of(lambda g, n, a, b: (randn(g, n, a), randn(g, a, b), randn(g, n, b)),
                   (5, 4, 3), (3, 3, 3), (1, 2, 6)),
    show=shapes_of, tol=1e-9, parts=("dh", "dW2", "db2"), part_mistakes={
        "dW2": {
            "a sum over the examples, not a mean: the mean is in dlogits already": """
                def back_linear(h, W2, dlogits):
                    return dlogits @ W2.T, h.T @ dlogits / len(h), None
                """},
        "db2": {
            "b2 was copied to every row, so its gradient is a sum over dimension 0": """
                def back_linear(h, W2, dlogits):
                    return None, None, dlogits
                """,
            "b2 was copied to every row: sum, not mean": """
                def back_linear(h, W2, dlogits):
                    return None, None, dlogits.mean(0)
                """,
            "b2 has shape (classes,), so no keepdim here": """
                def back_linear(h, W2, dlogits):
                    return None, None, dlogits.sum(0, keepdim=True)
                """,
            "that sums over the letters; b2 was copied over the examples (dimension 0)": """
                def back_linear(h, W2, dlogits):
                    return None, None, dlogits.sum(1)
                """}})


# -- 4: tanh, gain, bias -------------------------------------------------------------------------------

def to_gain(g, n, width):
    raw, gain = randn(g, n, width), 1 + 0.1 * randn(g, width)
    return torch.tanh(gain * raw + 0.3), raw, gain, randn(g, n, width)


def back_tanh_gain(h, bnraw, bngain, dh):
    def forward(raw, gain, bias):
        pre = gain * raw + bias
        return torch.tanh(pre), pre
    pre, raw, gain, bias = by_autograd(forward, [bnraw, bngain, torch.full_like(bngain, 0.3)], dh)
    return pre, gain, bias, raw


ex05_4 = Parts(
    "05.4", answer=back_tanh_gain, cases=cases_of(to_gain, (5, 4), (3, 3), (1, 6)), show=shapes_of, tol=1e-9,
    parts=("dhpreact", "dbngain", "dbnbias", "dbnraw"), part_mistakes={
        "dhpreact": {
            "the derivative of tanh, 1 - tanh², is missing": """
                def back_tanh_gain(h, bnraw, bngain, dh):
                    return dh, None, None, None
                """,
            "h is tanh already: the derivative is 1 - h², with no second tanh": """
                def back_tanh_gain(h, bnraw, bngain, dh):
                    return (1 - torch.tanh(h)**2) * dh, None, None, None
                """},
        "dbngain": {
            "the gain was copied to every row: the sum over the batch is missing": """
                def back_tanh_gain(h, bnraw, bngain, dh):
                    dhpreact = (1 - h**2) * dh
                    return dhpreact, bnraw * dhpreact, None, None
                """,
            "the gain multiplies bnraw, so bnraw is its derivative: that factor is missing": """
                def back_tanh_gain(h, bnraw, bngain, dh):
                    dhpreact = (1 - h**2) * dh
                    return dhpreact, dhpreact.sum(0), None, None
                """,
            "start from dhpreact, not from dh": """
                def back_tanh_gain(h, bnraw, bngain, dh):
                    return None, (bnraw * dh).sum(0), None, None
                """},
        "dbnbias": {
            "the bias was copied to every row: the sum over the batch is missing": """
                def back_tanh_gain(h, bnraw, bngain, dh):
                    dhpreact = (1 - h**2) * dh
                    return dhpreact, None, dhpreact, None
                """,
            "start from dhpreact, not from dh": """
                def back_tanh_gain(h, bnraw, bngain, dh):
                    return None, None, dh.sum(0), None
                """},
        "dbnraw": {
            "the gain is missing": """
                def back_tanh_gain(h, bnraw, bngain, dh):
                    dhpreact = (1 - h**2) * dh
                    return dhpreact, None, None, dhpreact
                """}})


# -- 5: batch norm -------------------------------------------------------------------------------------

def to_norm(g, n, width):
    x = 3 * randn(g, n, width) + 1
    diff = x - x.mean(0, keepdim=True)
    var = (diff**2).mean(0, keepdim=True)
    arrives = randn(g, n, width)
    return diff, var, (var + EPS)**-0.5, arrives, (diff * arrives).sum(0, keepdim=True)


def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
    def forward(x):
        mean = x.mean(0, keepdim=True)
        diff = x - mean
        squares = diff**2
        var = squares.mean(0, keepdim=True)
        return diff * (var + EPS)**-0.5, var, squares, diff, mean
    return by_autograd(forward, [bndiff], dbnraw)  # a shift of x changes no gradient, so bndiff stands for hprebn


ex05_5 = Parts(
    "05.5", answer=back_batch_norm, cases=cases_of(to_norm, (5, 4), (4, 4), (9, 2)), show=shapes_of, tol=1e-9,
    parts=("dbnvar", "dbndiff2", "dbndiff", "dbnmean", "dhprebn"), part_mistakes={
        "dbnvar": {
            "the exponent goes *down* by one, from -1/2 to -3/2": """
                def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
                    return -0.5 * (bnvar + 1e-5)**-0.5 * dbnvar_inv, None, None, None, None
                """,
            "the 1e-5 that the forward pass adds to the variance is missing": """
                def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
                    return -0.5 * bnvar**-1.5 * dbnvar_inv, None, None, None, None
                """},
        "dbndiff2": {
            "the 1/n of the mean is missing": """
                def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
                    dbnvar = -0.5 * bnvar_inv**3 * dbnvar_inv
                    return dbnvar, dbnvar.expand_as(bndiff), None, None, None
                """},
        "dbndiff": {
            "bndiff is used twice: the gradient through the variance is missing": """
                def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
                    return None, None, bnvar_inv * dbnraw, None, None
                """,
            "the derivative of a square is 2 · bndiff: the 2 is missing": """
                def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
                    dbndiff2 = (-0.5 * bnvar_inv**3 * dbnvar_inv).expand_as(bndiff) / len(bndiff)
                    return None, dbndiff2, bnvar_inv * dbnraw + bndiff * dbndiff2, None, None
                """},
        "dbnmean": {
            "it was subtracted from every row: sum over the batch": """
                def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
                    dbndiff2 = (-0.5 * bnvar_inv**3 * dbnvar_inv).expand_as(bndiff) / len(bndiff)
                    dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2
                    return None, dbndiff2, dbndiff, -dbndiff, None
                """},
        "dhprebn": {
            "hprebn is used twice: the gradient through the mean is missing": """
                def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
                    dbndiff2 = (-0.5 * bnvar_inv**3 * dbnvar_inv).expand_as(bndiff) / len(bndiff)
                    dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2
                    return None, dbndiff2, dbndiff, -dbndiff.sum(0, keepdim=True), dbndiff
                """,
            "the mean hands each row only 1/n of its gradient: the 1/n is missing": """
                def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):
                    dbndiff2 = (-0.5 * bnvar_inv**3 * dbnvar_inv).expand_as(bndiff) / len(bndiff)
                    dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2
                    dbnmean = -dbndiff.sum(0, keepdim=True)
                    return None, dbndiff2, dbndiff, dbnmean, dbndiff + dbnmean
                """}})


# -- 6: the embedding ----------------------------------------------------------------------------------

def to_embedding(g, n, block, width):
    return torch.randint(0, 6, (n, block), generator=g), randn(g, 6, width), randn(g, n, block * width)


def back_embedding(X, C, dembcat):
    dC, = by_autograd(lambda C: (C[X].flatten(1),), [C], dembcat)
    return dembcat.view(*X.shape, -1), dC


ex05_6 = Parts(
    "05.6", answer=back_embedding, show=shapes_of, tol=1e-9,
    cases=cases_of(to_embedding, (7, 3, 4), (1, 8, 2), (5, 2, 2)), parts=("demb", "dC"), part_mistakes={
        "demb": {
            "it needs the shape of emb, (n, block_size, n_embd)": """
                def back_embedding(X, C, dembcat):
                    return dembcat, None
                """},
        "dC": {
            "a letter at several positions gets the sum of its gradients; with dC[X] = … or dC[X] += … "
            "one of them survives (index_add_ adds all)": """
                def back_embedding(X, C, dembcat):
                    demb = dembcat.view(*X.shape, -1)
                    dC = torch.zeros_like(C)
                    dC[X] += demb
                    return demb, dC
                """,
            "a letter that appears twice in *one* context counts twice: dC[x] += … with a context in x keeps one": """
                def back_embedding(X, C, dembcat):
                    demb = dembcat.view(*X.shape, -1)
                    dC = torch.zeros_like(C)
                    for x, d in zip(X, demb):
                        dC[x] += d
                    return demb, dC
                """,
            "dC is still all zeros: index_add_, with the _ at the end, changes dC; index_add returns a new tensor": """
                def back_embedding(X, C, dembcat):
                    demb = dembcat.view(*X.shape, -1)
                    dC = torch.zeros_like(C)
                    dC.index_add(0, X.flatten(), demb.flatten(0, 1))
                    return demb, dC
                """}})


# -- 7: cross entropy ----------------------------------------------------------------------------------

ex05_7 = Exercise(
    "05.7", answer=lambda logits, Y: by_autograd(lambda x: (F.cross_entropy(x, Y),), [logits], None)[0],
    cases=cases_of(lambda g, n, c: (randn(g, n, c), torch.randint(0, c, (n,), generator=g)), (5, 4), (3, 3), (2, 7)),
    tol=1e-9, show=lambda logits, Y: f"logits of shape {tuple(logits.shape)}",
    mistakes={
        "the mean is missing: divide by n": """
            def dlogits_at_once(logits, Y):
                return logits.softmax(1) - F.one_hot(Y, logits.shape[1])
            """,
        "subtract 1 at the right letter": """
            def dlogits_at_once(logits, Y):
                return logits.softmax(1) / len(Y)
            """,
        "divide by the number of rows, not of letters": """
            def dlogits_at_once(logits, Y):
                return (logits.softmax(1) - F.one_hot(Y, logits.shape[1])) / logits.shape[1]
            """,
        "the 1 of the right answer was not divided by n: divide the whole difference": """
            def dlogits_at_once(logits, Y):
                dlogits = logits.softmax(1) / len(Y)
                dlogits[range(len(Y)), Y] -= 1
                return dlogits
            """,
        "p[:, Y] subtracts 1 in *every* row: p[range(n), Y] pairs rows and answers": """
            def dlogits_at_once(logits, Y):
                p = logits.softmax(1)
                p[:, Y] -= 1
                return p / len(Y)
            """,
        "softmax goes over each row (dimension 1)": """
            def dlogits_at_once(logits, Y):
                return (logits.softmax(0) - F.one_hot(Y, logits.shape[1])) / len(Y)
            """,
        "that is the gradient of the log-probabilities of section 3": """
            def dlogits_at_once(logits, Y):
                dlogprobs = torch.zeros_like(logits)
                dlogprobs[range(len(Y)), Y] = -1 / len(Y)
                return dlogprobs
            """,
    })


# -- 8: batch norm at once -----------------------------------------------------------------------------

def dhprebn_at_once(hprebn, bngain, dhpreact):
    def forward(x):
        return F.batch_norm(x, None, None, bngain, None, training=True, eps=EPS),
    return by_autograd(forward, [hprebn], dhpreact)[0]


ex05_8 = Exercise(
    "05.8", answer=dhprebn_at_once, show=shapes_of, tol=1e-9,
    cases=cases_of(lambda g, n, w: (3 * randn(g, n, w) + 1, 1 + 0.3 * randn(g, w), randn(g, n, w)),
                   (6, 4), (4, 4), (9, 1)),
    mistakes={
        "the mean of g is not subtracted: no force that shifts the whole column passes": """
            def dhprebn_at_once(hprebn, bngain, dhpreact):
                s = (hprebn.var(0, correction=0) + 1e-5)**-0.5
                xhat, g = (hprebn - hprebn.mean(0)) * s, bngain * dhpreact
                return s * (g - xhat * (xhat * g).mean(0))
            """,
        "the term along xhat is missing: that treats the variance as a constant": """
            def dhprebn_at_once(hprebn, bngain, dhpreact):
                s = (hprebn.var(0, correction=0) + 1e-5)**-0.5
                g = bngain * dhpreact
                return s * (g - g.mean(0))
            """,
        "both terms are missing: mean and variance depend on hprebn too": """
            def dhprebn_at_once(hprebn, bngain, dhpreact):
                s = (hprebn.var(0, correction=0) + 1e-5)**-0.5
                return s * bngain * dhpreact
            """,
        "the gain is missing: it multiplies dhpreact": """
            def dhprebn_at_once(hprebn, bngain, dhpreact):
                s = (hprebn.var(0, correction=0) + 1e-5)**-0.5
                xhat, g = (hprebn - hprebn.mean(0)) * s, dhpreact
                return s * (g - g.mean(0) - xhat * (xhat * g).mean(0))
            """,
        "divide the variance by n, not by n - 1 (correction=0)": """
            def dhprebn_at_once(hprebn, bngain, dhpreact):
                s = (hprebn.var(0) + 1e-5)**-0.5
                xhat, g = (hprebn - hprebn.mean(0)) * s, bngain * dhpreact
                return s * (g - g.mean(0) - xhat * (xhat * g).mean(0))
            """,
        "the factor s, one over the standard deviation, is missing": """
            def dhprebn_at_once(hprebn, bngain, dhpreact):
                s = (hprebn.var(0, correction=0) + 1e-5)**-0.5
                xhat, g = (hprebn - hprebn.mean(0)) * s, bngain * dhpreact
                return g - g.mean(0) - xhat * (xhat * g).mean(0)
            """,
        "the last term needs the mean of xhat · g, not the sum": """
            def dhprebn_at_once(hprebn, bngain, dhpreact):
                s = (hprebn.var(0, correction=0) + 1e-5)**-0.5
                xhat, g = (hprebn - hprebn.mean(0)) * s, bngain * dhpreact
                return s * (g - g.mean(0) - xhat * (xhat * g).sum(0))
            """,
        "that is the lecture's n/(n - 1) in the last term, which belongs to a variance divided by n - 1": """
            def dhprebn_at_once(hprebn, bngain, dhpreact):
                n = len(hprebn)
                s = (hprebn.var(0, correction=0) + 1e-5)**-0.5
                xhat = (hprebn - hprebn.mean(0)) * s
                return bngain * s / n * (n * dhpreact - dhpreact.sum(0) - n / (n - 1) * xhat * (dhpreact * xhat).sum(0))
            """,
    })
