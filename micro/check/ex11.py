"""The exercises of notebook 11, the speedrun: references, inputs and known mistakes. 6 to 8: ex11_more, ex11_price."""
import torch
from torch import nn

from micro.check.ex11_more import ex11_6, ex11_7  # noqa: F401
from micro.check.ex11_price import ex11_8  # noqa: F401
from micro.check.parts import Apart, Fresh, Shown, bell, draw, kind, shapes, shuffled, with_type

# -- 1: crop by indexing ------------------------------------------------------------------------------------

def _mirror(i, size):
    return (size - 1) - ((size - 1) - i.abs()).abs()


def _crop(images, dy, dx, back=_mirror, width=None):
    H, W = images.shape[1], width or images.shape[2]
    return images[:, back(torch.arange(H) + dy, H)[:, None], back(torch.arange(W) + dx, W)]


def _pictures(g):
    """First both shifts are negative: there Python's negative indices go unnoticed."""
    S, types = draw(g, 5, 7), shuffled(g, [torch.uint8, torch.float32, torch.int64])
    wanted = [(S, S, -2, -3), (S, S + 2, 2, -3), (S + 3, S, -3, 2), (S, S + 1, 1 - S, S), (S, S, 0, S - 1)]
    return [(torch.randint(0, 256, (draw(g, 2, 3), H, W, draw(g, 2, 3)), generator=g).to(types[k % 3]), dy, dx)
            for k, (H, W, dy, dx) in enumerate(wanted)]


ex11_1 = Fresh(
    "11.1", answer=_crop, make=_pictures, probe=with_type,
    show=lambda x, dy, dx: f"images {tuple(x.shape)} of {x.dtype}, dy={dy}, dx={dx}",
    mistakes={
        "the edge is repeated (−1 gives 0); mirrored, −1 gives 1 and H gives H − 2":
            lambda *a: _crop(*a, back=lambda i, size: i.clamp(0, size - 1)),
        "what leaves on one side comes in on the other: Python takes −1 for the last place; mirrored, −1 gives 1":
            lambda *a: _crop(*a, back=lambda i, size: i % size),
        "the edge itself is doubled (−1 gives 0, −2 gives 1); mirrored, −1 gives 1 and −2 gives 2":
            lambda *a: _crop(*a, back=lambda i, size: torch.minimum(torch.maximum(i, -1 - i), 2 * size - 1 - i)),
        "the far edge is doubled: mirrored, H gives H − 2, not H − 1":
            lambda *a: _crop(*a, back=lambda i, size: torch.where(i < size, i.abs(), 2 * size - 1 - i)),
        "the sign is wrong: out[b, i, j] is images[b, i + dy, j + dx], not i − dy":
            lambda images, dy, dx: _crop(images, -dy, -dx),
        "dy and dx are exchanged: dy moves rows, dimension 1, and dx columns, dimension 2":
            lambda images, dy, dx: _crop(images, dx, dy),
        "the width is taken for the height: pictures need not be square, so arange over H for rows, over W for columns":
            lambda images, dy, dx: _crop(images, dy, dx, width=images.shape[1]),
    })


# -- 2: whitening by a singular value decomposition -----------------------------------------------------------

def _whiten(patches, eps, n=None, size=None):
    """size(λ, eps): what a direction with the second moment λ is divided by."""
    _, S, Vh = torch.linalg.svd(patches, full_matrices=False)
    moments = S**2 / (n or len(patches))                          # (D,)
    return Vh / (size(moments, eps) if size else (moments + eps).sqrt())[:, None]


def _patches(g):
    """The singular values of the last ones go from 1 to 1e-9; eps is as small as their squares."""
    found = []
    for D, low, eps in [(5, -1.5, 0.1), (4, -2, 0.01), (6, -1, 0.5), (draw(g, 5, 7), -9, 1e-17)]:
        N = draw(g, 200, 400)
        U, V = (torch.linalg.qr(bell(g, rows, D) + 1)[0] for rows in (N, D))
        spread = torch.logspace(0, low, D, dtype=torch.double) * (1 + torch.rand(D, generator=g, dtype=torch.double))
        found.append((U * spread * N**0.5 @ V.T, eps))
    return found


def _moments(patches, filters):
    """Second moments of the answers, the largest first, without the signs that a filter's sign decides."""
    answers = patches @ filters.detach().double().T
    found = (answers.T @ answers / len(patches)).abs()
    order = found.diag().argsort(descending=True)
    return found[order][:, order]


def _probe_whiten(fn, patches, eps):
    original, D = patches.clone(), patches.shape[1]
    filters = fn(patches, eps)
    if not isinstance(filters, torch.Tensor):
        raise TypeError(f"a tensor ({D}, {D}) is wanted, not {type(filters).__name__}")
    shape = Shown(tuple(filters.shape))
    if shape != str((D, D)):
        return {"shape of the filters": shape}
    found = _moments(original, filters)
    columns = _moments(original, filters.T)
    wanted = _moments(original, _whiten(original, eps))
    turned = torch.allclose(columns, wanted, atol=1e-5) and not torch.allclose(found, wanted, atol=1e-5)
    return {"shape of the filters": shape, "place of a filter": Shown("a column" if turned else "a row"),
            "second moments of the answers": columns if turned else found}


ex11_2 = Apart(
    "11.2", answer=_whiten, make=_patches, probe=_probe_whiten, tol=1e-5,
    hard="right for easy patches, but where their singular values go from 1 down to 1e-9, small ones are lost. The "
         "squares in patches.T @ patches go down to 1e-18, and float64 has 16 digits: take torch.linalg.svd of the "
         "patches themselves, in their type",
    show=lambda patches, eps: f"{shapes(patches)}, eps={eps:g}",
    mistakes={
        "a singular value of the patches is √(N λ): λ is its square divided by N, the number of patches":
            lambda P, eps: _whiten(P, eps, n=1),
        "divide by N, not by N − 1: second moments are means of products": lambda P, eps: _whiten(P, eps, n=len(P) - 1),
        "divide by the *root* of λ + eps": lambda P, eps: _whiten(P, eps, size=lambda v, e: v + e),
        "each filter is a column; wanted is one a row": lambda P, eps: _whiten(P, eps).T.contiguous(),
        "eps belongs to λ, under the root: √(λ + eps), not √λ + eps":
            lambda P, eps: _whiten(P, eps, size=lambda v, e: v.sqrt() + e),
        "eps was added to the singular values themselves; it belongs to λ = s² / N: √(λ + eps)":
            lambda P, eps: _whiten(P, eps, size=lambda v, e: v.sqrt() + e / len(P)**0.5),
        "the mean was subtracted first: second moments are those of the patches as they are":
            lambda P, eps: _whiten(P - P.mean(0), eps),
        "eps has no effect": lambda P, eps: _whiten(P, eps, size=lambda v, e: v.sqrt()),
        "torch.linalg.svd returns Vᵀ, not V: its rows are the directions":
            lambda P, eps: (lambda S, V: (V / (S**2 / len(P) + eps).sqrt()).T)(
                *torch.linalg.svd(P, full_matrices=False)[1:]),
    })


# -- 3: which side when ------------------------------------------------------------------------------------------

def _sides(n, epochs, g, draws=None, turns=None):
    first = torch.rand(n, generator=g) < 0.5 if draws is None else draws
    odd = torch.arange(epochs)[:, None] % 2 == 1 if turns is None else turns[:epochs, None]
    return first ^ odd                                            # (epochs, n)


def _share(flags):
    """All, none or some of (k,) flags; about half of them, if that is what it is."""
    k, n = int(flags.sum()), len(flags)
    if n and k in (0, n):
        return "all" if k else "none"
    return "about half" if abs(k - n / 2) <= 3 * n**0.5 else f"{k} of {n}"    # six standard deviations


def _probe_sides(fn, n, epochs, seed):
    generators = [torch.Generator().manual_seed(seed + max(0, k - 1)) for k in range(16)]   # the first seed twice
    start = generators[0].get_state()
    out, again, *others = [fn(n, epochs, g) for g in generators]
    facts = {"type": kind(out)}
    facts["shape"] = Shown(tuple(out.shape) if isinstance(out, torch.Tensor) else "none")
    if facts["type"] != "torch.bool" or facts["shape"] != str((epochs, n)):
        return facts
    first = {_share(out[0]), _share(again[0])}
    facts["same generator again"] = Shown("the same sides" if torch.equal(out, again) else "other sides")
    facts["share of neighbours on two sides in the first epoch"] = Shown(_share(out[0, 1:] ^ out[0, :-1]))
    facts["share mirrored in the first epoch"] = Shown("all or none" if first <= {"all", "none"} else max(first))
    facts["share of images that turn, from epoch to epoch"] = Shown([_share(a ^ b) for a, b in zip(out, out[1:])])
    used = not torch.equal(start, generators[0].get_state()) and any(not torch.equal(out, x) for x in others)
    facts["result"] = Shown("drawn with the generator" if used else "the same for every generator")
    return facts


def _rand(g, *shape):
    return torch.rand(*shape, generator=g) < 0.5


ex11_3 = Fresh(
    "11.3", answer=_sides, probe=_probe_sides, show=lambda n, epochs, seed: f"n={n}, epochs={epochs}",
    make=lambda g: [(draw(g, 300, 500), epochs, draw(g, 0, 10**6)) for epochs in (5, 2, 1, 8)],
    mistakes={
        "drawn anew every epoch, so half of the images show the same side twice: draw the first epoch, then turn":
            lambda n, epochs, g: _rand(g, epochs, n),
        "in an epoch all images are on the same side, and that is not drawn: the first side of each image is":
            lambda n, epochs, g: _sides(n, epochs, g, torch.zeros(n, dtype=torch.bool)),
        "there is one draw for all images: each one needs its own, torch.rand(n, generator=generator)":
            lambda n, epochs, g: _sides(n, epochs, g, _rand(g, 1).expand(n)),
        "there is one draw for all images of an epoch: draw for each image, and once for all epochs":
            lambda n, epochs, g: _rand(g, epochs, 1).expand(epochs, n),
        "the generator is not used: torch.rand(n, generator=generator)":
            lambda n, epochs, g: _sides(n, epochs, g, _rand((own := torch.Generator(), own.seed())[0], n)),
        "the result is the same for every generator: draw with the one that is given":
            lambda n, epochs, g: _sides(n, epochs, g, _rand(torch.Generator().manual_seed(0), n)),
        "the images keep their side: from each epoch to the next all of them turn":
            lambda n, epochs, g: _sides(n, epochs, g, turns=torch.zeros(8, dtype=torch.bool)),
        "they turn once and then stay: from *each* epoch to the next all of them turn":
            lambda n, epochs, g: _sides(n, epochs, g, turns=torch.arange(8) > 0),
        "the shape is (n, epochs); wanted is a row for each epoch, (epochs, n)":
            lambda n, epochs, g: _sides(n, epochs, g).T,
    })


# -- 4: may pooling and batch norm change places? ------------------------------------------------------------------

def _at_least(name, strictly=False):
    """In which channels is norm's tensor `name` at least 0? All, if it has none."""
    def answer(norm):
        t = getattr(norm, name)
        return torch.ones(norm.num_features, dtype=torch.bool) if t is None else t > 0 if strictly else t >= 0
    return answer


def _norms(g):
    """Batch norms in eval mode, with weights of each sign and a 0; the last without weights."""
    found = []
    for _ in range(4):
        norm = nn.BatchNorm2d(draw(g, 8, 12), affine=len(found) < 3)
        norm.running_mean, norm.running_var = bell(g, norm.num_features), bell(g, norm.num_features)**2 + 0.1
        if norm.affine:
            norm.weight.data, norm.bias.data = bell(g, norm.num_features), bell(g, norm.num_features)
            a, b, c = torch.randperm(norm.num_features, generator=g)[:3]
            norm.weight.data[a], norm.weight.data[b], norm.weight.data[c] = 0, 0.7, -0.7
            norm.bias.data[a], norm.bias.data[b], norm.bias.data[c] = -0.5, -0.6, 0.6
        found.append((norm.float().eval(),))
    return found


ex11_4 = Fresh(
    "11.4", answer=_at_least("weight"), make=_norms, probe=with_type,
    show=lambda norm: f"norm with {norm.num_features} channels, "
                      + (f"weight {[round(w, 1) for w in norm.weight.tolist()]}" if norm.affine else "affine=False"),
    advice=". (With affine=False norm.weight is None, and the scale is 1 / √(var + eps).)",
    mistakes={
        "a weight of 0 gives the same number everywhere, before and after: there they are equal too":
            _at_least("weight", strictly=True),
        "the bias is added to all numbers alike: the largest stays the largest. Look at the scale": _at_least("bias"),
        "the running mean is taken off all numbers alike: the largest stays the largest. Look at the scale":
            _at_least("running_mean"),
        "not in all: where the weight is negative, the largest number becomes the smallest": _at_least("running_var"),
        "the other way round: a *negative* weight makes the largest number the smallest":
            lambda norm: ~_at_least("weight")(norm) if norm.affine else _at_least("weight")(norm),
        "without weights the scale is 1 / √(var + eps), which is positive: all True":
            lambda norm: _at_least("weight")(norm) & norm.affine,
        "one answer for each channel, (C,), not one for all of them": lambda norm: _at_least("weight")(norm).all(),
    })


# -- 5: Newton–Schulz -----------------------------------------------------------------------------------

def _orthogonal(G, steps, norm=lambda G: G.norm(dim=(-2, -1), keepdim=True), a=1.5, b=-0.5, c=0.0):
    X = G / norm(G)
    for _ in range(steps):
        A = X @ X.mT                                              # (..., rows, rows)
        X = a * X + (b * A + c * A @ A) @ X
    return X


def _limit(G, steps):
    U, _, Vh = torch.linalg.svd(G, full_matrices=False)
    return U @ Vh


def _matrix(g, *shape):
    """Singular values from 3 to 9, so that nothing works unscaled and all arrive after 40 steps."""
    U, S, Vh = torch.linalg.svd(bell(g, *shape), full_matrices=False)
    return U * (3 + 6 * torch.rand(S.shape, generator=g, dtype=torch.double))[..., None, :] @ Vh


def _matrices(g):
    B, low, high = 2, draw(g, 3, 4), draw(g, 5, 7)
    wanted = [((low, high), 1), ((B, high, low), 3), ((B, 2, low, high), 5), ((low, low), 40), ((B, high, low), 40),
              ((high, low), 0)]
    return [(_matrix(g, *shape), steps) for shape, steps in wanted]


ex11_5 = Fresh(
    "11.5", answer=_orthogonal, make=_matrices, tol=1e-7, advice=" (a lost keepdim?)",
    show=lambda G, steps: f"{shapes(G)}, steps={steps}", mistakes={
        "each matrix has a norm of its own, over its last two dimensions, with keepdim=True: that is the norm of all "
        "of them together": lambda G, steps: _orthogonal(G, steps, torch.norm),
        "G must be divided by its norm first: singular values above √5 grow without end":
            lambda G, steps: _orthogonal(G, steps, lambda G: 1),
        "divide by the Frobenius norm, √(sum of squares): the largest singular value would do, but is dear to compute":
            lambda G, steps: _orthogonal(G, steps, lambda G: torch.linalg.matrix_norm(G, 2, keepdim=True)),
        "divide each matrix by *one* norm: with a norm for each row the singular vectors change":
            lambda G, steps: _orthogonal(G, steps, lambda G: G.norm(dim=-1, keepdim=True)),
        "that is G as it came: divide it by its norm, then take `steps` steps": lambda G, steps: G,
        "that is G divided by its norm: the steps are missing": lambda G, steps: _orthogonal(G, 0),
        "one step too few": lambda G, steps: _orthogonal(G, max(steps - 1, 0)),
        "one step too many": lambda G, steps: _orthogonal(G, steps + 1),
        "the number of steps plays no part: that is one step": lambda G, steps: _orthogonal(G, 1),
        "those are Muon's quintic coefficients, fast but never exactly 1; here X becomes 1.5 X − 0.5 X Xᵀ X":
            lambda G, steps: _orthogonal(G, steps, a=3.4445, b=-4.7750, c=2.0315),
        "the sign is wrong: X becomes 1.5 X *minus* 0.5 X Xᵀ X": lambda G, steps: _orthogonal(G, steps, b=0.5),
        "a tall matrix comes back lying down: turn it round again at the end":
            lambda G, steps: _orthogonal(G if G.shape[-2] <= G.shape[-1] else G.mT, steps),
        "that is U Vᵀ at once, by a singular value decomposition: wanted is what `steps` steps reach": _limit,
    })
