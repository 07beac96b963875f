"""The checks of notebook 13, the speedrun."""
import math
import random
from collections import namedtuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from micro.check import short
from micro.check.kinds import Apart, Fresh, Places, Shown, randint, randn, shapes_of, shuffled, type_of, with_type

# -- 1: crop by indexing --------------------------------------------------------------------------------------

def mirrored(i, size):
    return (size - 1) - ((size - 1) - i.abs()).abs()


def cropped(images, dy, dx):
    H, W = images.shape[1:3]
    return images[:, mirrored(torch.arange(H) + dy, H)[:, None], mirrored(torch.arange(W) + dx, W)]


def pictures(g):
    """First both shifts are negative: there Python's negative indices go unnoticed."""
    S, types = randint(g, 5, 7), shuffled(g, [torch.uint8, torch.float32, torch.int64])
    wanted = [(S, S, -2, -3), (S, S + 2, 2, -3), (S + 3, S, -3, 2), (S, S + 1, 1 - S, S), (S, S, 0, S - 1)]
    return [(torch.randint(0, 256, (randint(g, 2, 3), H, W, randint(g, 2, 3)), generator=g).to(types[k % 3]), dy, dx)
            for k, (H, W, dy, dx) in enumerate(wanted)]

ex13_1 = Fresh(
    "13.1", answer=cropped, make=pictures, probe=with_type,
    show=lambda x, dy, dx: f"images {tuple(x.shape)} of {x.dtype}, dy={dy}, dx={dx}",
    mistakes={
        "the edge is repeated (−1 gives 0); mirrored, −1 gives 1 and H gives H − 2": """
            def crop(images, dy, dx):
                H, W = images.shape[1:3]
                rows = (torch.arange(H) + dy).clamp(0, H - 1)
                columns = (torch.arange(W) + dx).clamp(0, W - 1)
                return images[:, rows[:, None], columns]
            """,
        "what leaves on one side comes in on the other: Python takes −1 for the last index; mirrored, −1 gives 1": """
            def crop(images, dy, dx):
                return torch.roll(images, (-dy, -dx), (1, 2))
            """,
        "the edge itself is doubled (−1 gives 0, −2 gives 1); mirrored, −1 gives 1 and −2 gives 2": """
            def crop(images, dy, dx):
                H, W = images.shape[1:3]
                rows, columns = torch.arange(H) + dy, torch.arange(W) + dx
                rows = torch.where(rows < 0, -1 - rows, rows)
                rows = torch.where(rows < H, rows, 2 * H - 1 - rows)
                columns = torch.where(columns < 0, -1 - columns, columns)
                columns = torch.where(columns < W, columns, 2 * W - 1 - columns)
                return images[:, rows[:, None], columns]
            """,
        "the sign is wrong: out[b, i, j] is images[b, i + dy, j + dx], not i − dy": """
            def crop(images, dy, dx):
                H, W = images.shape[1:3]
                rows = (H - 1) - ((H - 1) - (torch.arange(H) - dy).abs()).abs()
                columns = (W - 1) - ((W - 1) - (torch.arange(W) - dx).abs()).abs()
                return images[:, rows[:, None], columns]
            """,
        "dy and dx are swapped: dy moves rows, dimension 1, and dx columns, dimension 2": """
            def crop(images, dy, dx):
                H, W = images.shape[1:3]
                rows = (H - 1) - ((H - 1) - (torch.arange(H) + dx).abs()).abs()
                columns = (W - 1) - ((W - 1) - (torch.arange(W) + dy).abs()).abs()
                return images[:, rows[:, None], columns]
            """,
        "the height is taken for the width, but images need not be square: arange(W) for columns": """
            def crop(images, dy, dx):
                S = images.shape[1]
                rows = (S - 1) - ((S - 1) - (torch.arange(S) + dy).abs()).abs()
                columns = (S - 1) - ((S - 1) - (torch.arange(S) + dx).abs()).abs()
                return images[:, rows[:, None], columns]
            """,
    })


# -- 2: whitening by a singular value decomposition -----------------------------------------------------------

def whitened(patches, eps):
    _, S, Vh = torch.linalg.svd(patches, full_matrices=False)
    return Vh / (S**2 / len(patches) + eps).sqrt()[:, None]


def patches_and_eps(g):
    """The singular values of the last ones go from 1 to 1e-9; eps is as small as their squares."""
    found = []
    for D, low, eps in [(5, -1.5, 0.1), (4, -2, 0.01), (6, -1, 0.5), (randint(g, 5, 7), -9, 1e-17)]:
        N = randint(g, 200, 400)
        U, V = (torch.linalg.qr(randn(g, rows, D) + 1)[0] for rows in (N, D))
        spread = torch.logspace(0, low, D, dtype=torch.double) * (1 + torch.rand(D, generator=g, dtype=torch.double))
        found.append((U * spread * N**0.5 @ V.T, eps))
    return found


def moments(patches, filters):
    """Second moments of the answers, the largest first, without the signs that a filter's sign decides."""
    answers = patches @ filters.detach().double().T
    found = (answers.T @ answers / len(patches)).abs()
    order = found.diag().argsort(descending=True)
    return found[order][:, order]


def facts_of_filters(fn, patches, eps):
    original, D = patches.clone(), patches.shape[1]
    filters = fn(patches, eps)
    if not isinstance(filters, torch.Tensor):
        raise TypeError(f"a tensor ({D}, {D}) is wanted, not {type(filters).__name__}")
    shape = Shown(tuple(filters.shape))
    if shape != str((D, D)):
        return {"shape of the filters": shape}
    found = moments(original, filters)
    columns = moments(original, filters.T)
    wanted = moments(original, whitened(original, eps))
    turned = torch.allclose(columns, wanted, atol=1e-5) and not torch.allclose(found, wanted, atol=1e-5)
    return {"shape of the filters": shape, "place of a filter": Shown("a column" if turned else "a row"),
            "second moments of the answers": columns if turned else found}

ex13_2 = Apart(
    "13.2", answer=whitened, make=patches_and_eps, probe=facts_of_filters, tol=1e-5,
    hard="right for easy patches, but where their singular values go from 1 down to 1e-9, small ones are lost. The "
         "squares in patches.T @ patches go down to 1e-18, and float64 has 16 digits: take torch.linalg.svd of the "
         "patches themselves, in their type",
    show=lambda patches, eps: f"{shapes_of(patches)}, eps={eps:g}",
    mistakes={
        "a singular value of the patches is √(N λ): λ is its square divided by N, the number of patches": """
            def whitening(patches, eps):
                _, S, Vh = torch.linalg.svd(patches, full_matrices=False)
                return Vh / (S**2 + eps).sqrt()[:, None]
            """,
        "divide by N, not by N − 1: second moments are means of products": """
            def whitening(patches, eps):
                _, S, Vh = torch.linalg.svd(patches, full_matrices=False)
                return Vh / (S**2 / (len(patches) - 1) + eps).sqrt()[:, None]
            """,
        "divide by the *root* of λ + eps": """
            def whitening(patches, eps):
                _, S, Vh = torch.linalg.svd(patches, full_matrices=False)
                return Vh / (S**2 / len(patches) + eps)[:, None]
            """,
        "each filter is a column; return one per row": """
            def whitening(patches, eps):
                _, S, Vh = torch.linalg.svd(patches, full_matrices=False)
                return Vh.T / (S**2 / len(patches) + eps).sqrt()
            """,
        "eps belongs to λ, under the root: √(λ + eps), not √λ + eps": """
            def whitening(patches, eps):
                _, S, Vh = torch.linalg.svd(patches, full_matrices=False)
                return Vh / (S / len(patches)**0.5 + eps)[:, None]
            """,
        "eps was added to the singular values themselves; it belongs to λ = s² / N: √(λ + eps)": """
            def whitening(patches, eps):
                _, S, Vh = torch.linalg.svd(patches, full_matrices=False)
                return Vh / ((S + eps) / len(patches)**0.5)[:, None]
            """,
        "the mean was subtracted first: second moments are those of the patches as they are": """
            def whitening(patches, eps):
                _, S, Vh = torch.linalg.svd(patches - patches.mean(0), full_matrices=False)
                return Vh / (S**2 / len(patches) + eps).sqrt()[:, None]
            """,
        "torch.linalg.svd returns Vᵀ, not V: its rows are the directions": """
            def whitening(patches, eps):
                _, S, V = torch.linalg.svd(patches, full_matrices=False)
                return (V / (S**2 / len(patches) + eps).sqrt()).T
            """,
    })


# -- 3: which side when ---------------------------------------------------------------------------------------

def by_turns(n, epochs, generator):
    first = torch.rand(n, generator=generator) < 0.5
    return first ^ (torch.arange(epochs)[:, None] % 2 == 1)           # (epochs, n)


def share(flags):
    """All, none or some of (k,) flags; about half of them, if that is what it is."""
    k, n = int(flags.sum()), len(flags)
    if n and k in (0, n):
        return "all" if k else "none"
    return "about half" if abs(k - n / 2) <= 3 * n**0.5 else f"{k} of {n}"    # six standard deviations


def facts_of_sides(fn, n, epochs, seed):
    generators = [torch.Generator().manual_seed(seed + max(0, k - 1)) for k in range(16)]   # the first seed twice
    start = generators[0].get_state()
    out, again, *others = [fn(n, epochs, g) for g in generators]
    facts = {"type": type_of(out)}
    facts["shape"] = Shown(tuple(out.shape) if isinstance(out, torch.Tensor) else "none")
    if facts["type"] != "torch.bool" or facts["shape"] != str((epochs, n)):
        return facts
    first = {share(out[0]), share(again[0])}
    facts["same generator again"] = Shown("the same sides" if torch.equal(out, again) else "other sides")
    facts["share of neighbours on two sides in the first epoch"] = Shown(share(out[0, 1:] ^ out[0, :-1]))
    facts["share mirrored in the first epoch"] = Shown("all or none" if first <= {"all", "none"} else max(first))
    facts["share of images that turn, from epoch to epoch"] = Shown([share(a ^ b) for a, b in zip(out, out[1:])])
    used = not torch.equal(start, generators[0].get_state()) and any(not torch.equal(out, x) for x in others)
    facts["result"] = Shown("drawn with the generator" if used else "the same for every generator")
    return facts

ex13_3 = Fresh(
    "13.3", answer=by_turns, probe=facts_of_sides, show=lambda n, epochs, seed: f"n={n}, epochs={epochs}",
    make=lambda g: [(randint(g, 300, 500), epochs, randint(g, 0, 10**6)) for epochs in (5, 2, 1, 8)],
    mistakes={
        "drawn anew every epoch, so half of the images show the same side twice: draw the first epoch, then turn": """
            def sides(n, epochs, generator):
                return torch.rand(epochs, n, generator=generator) < 0.5
            """,
        "all images of an epoch are on the same side: draw the first side of each image": """
            def sides(n, epochs, generator):
                return (torch.arange(epochs) % 2 == 1)[:, None].expand(epochs, n)
            """,
        "there is one draw for all images: each one needs its own, torch.rand(n, generator=generator)": """
            def sides(n, epochs, generator):
                first = torch.rand(1, generator=generator) < 0.5
                return (first ^ (torch.arange(epochs)[:, None] % 2 == 1)).expand(epochs, n)
            """,
        "the generator is not used: torch.rand(n, generator=generator)": """
            def sides(n, epochs, generator):
                first = torch.rand(n) < 0.5
                return first ^ (torch.arange(epochs)[:, None] % 2 == 1)
            """,
        "the result is the same for every generator: draw with the one that is given": """
            def sides(n, epochs, generator):
                generator = torch.Generator().manual_seed(42)
                first = torch.rand(n, generator=generator) < 0.5
                return first ^ (torch.arange(epochs)[:, None] % 2 == 1)
            """,
        "the images keep their side, but from each epoch to the next all of them must turn": """
            def sides(n, epochs, generator):
                first = torch.rand(n, generator=generator) < 0.5
                return first.expand(epochs, n)
            """,
    })


# -- 4: may pooling and batch norm change places? -------------------------------------------------------------

def swap(norm):
    return torch.ones(norm.num_features, dtype=torch.bool) if norm.weight is None else norm.weight >= 0


def norms(g):
    """Batch norms in eval mode, with weights of each sign and a 0; the last without weights."""
    found = []
    for _ in range(4):
        norm = nn.BatchNorm2d(randint(g, 8, 12), affine=len(found) < 3)
        norm.running_mean, norm.running_var = randn(g, norm.num_features), randn(g, norm.num_features)**2 + 0.1
        if norm.affine:
            norm.weight.data, norm.bias.data = randn(g, norm.num_features), randn(g, norm.num_features)
            a, b, c = torch.randperm(norm.num_features, generator=g)[:3]
            norm.weight.data[a], norm.weight.data[b], norm.weight.data[c] = 0, 0.7, -0.7
            norm.bias.data[a], norm.bias.data[b], norm.bias.data[c] = -0.5, -0.6, 0.6
        found.append((norm.float().eval(),))
    return found

ex13_4 = Fresh(
    "13.4", answer=swap, make=norms, probe=with_type,
    show=lambda norm: f"norm with {norm.num_features} channels, "
                      + (f"weight {[round(w, 1) for w in norm.weight.tolist()]}" if norm.affine else "affine=False"),
    advice=". (With affine=False norm.weight is None, and the scale is 1 / √(var + eps).)",
    mistakes={
        "a weight of 0 gives the same value everywhere, before and after: there they are equal, too": """
            def swaps(norm):
                if norm.weight is None:
                    return torch.ones(norm.num_features, dtype=torch.bool)
                return norm.weight > 0
            """,
        "the bias is added to all values alike: the largest stays the largest. Look at the scale": """
            def swaps(norm):
                if norm.bias is None:
                    return torch.ones(norm.num_features, dtype=torch.bool)
                return norm.bias >= 0
            """,
        "the running mean is subtracted from all values alike: the largest stays the largest. Look at the scale": """
            def swaps(norm):
                return norm.running_mean >= 0
            """,
        "not in all channels: where the weight is negative, the largest value becomes the smallest": """
            def swaps(norm):
                return torch.ones(norm.num_features, dtype=torch.bool)
            """,
        "the other way round: a *negative* weight makes the largest value the smallest": """
            def swaps(norm):
                if norm.weight is None:
                    return torch.ones(norm.num_features, dtype=torch.bool)
                return norm.weight < 0
            """,
        "without weights the scale is 1 / √(var + eps), which is positive: all True": """
            def swaps(norm):
                if norm.weight is None:
                    return torch.zeros(norm.num_features, dtype=torch.bool)
                return norm.weight >= 0
            """,
    })


# -- 5: Newton–Schulz -----------------------------------------------------------------------------------------

def newton_schulz(G, steps):
    X = G / G.norm(dim=(-2, -1), keepdim=True)
    for _ in range(steps):
        X = 1.5 * X - 0.5 * X @ X.mT @ X
    return X


def matrix(g, *shape):
    """Singular values from 3 to 9, so that nothing works unscaled and all arrive after 40 steps."""
    U, S, Vh = torch.linalg.svd(randn(g, *shape), full_matrices=False)
    return U * (3 + 6 * torch.rand(S.shape, generator=g, dtype=torch.double))[..., None, :] @ Vh


def matrices(g):
    B, low, high = 2, randint(g, 3, 4), randint(g, 5, 7)
    wanted = [((low, high), 1), ((B, high, low), 3), ((B, 2, low, high), 5), ((low, low), 40), ((B, high, low), 40),
              ((high, low), 0)]
    return [(matrix(g, *shape), steps) for shape, steps in wanted]

ex13_5 = Fresh(
    "13.5", answer=newton_schulz, make=matrices, tol=1e-7, advice=" (a lost keepdim?)",
    show=lambda G, steps: f"{shapes_of(G)}, steps={steps}", mistakes={
        "each matrix has a norm of its own, over its last two dimensions, with keepdim=True: that is the norm of all "
        "of them together": """
            def orthogonal(G, steps):
                X = G / G.norm()
                for _ in range(steps):
                    X = 1.5 * X - 0.5 * X @ X.mT @ X
                return X
            """,
        "G must be divided by its norm first: singular values above √5 grow without end": """
            def orthogonal(G, steps):
                X = G
                for _ in range(steps):
                    X = 1.5 * X - 0.5 * X @ X.mT @ X
                return X
            """,
        "divide by the Frobenius norm, √(sum of squares): the largest singular value would do, but costs more": """
            def orthogonal(G, steps):
                X = G / torch.linalg.matrix_norm(G, 2, keepdim=True)
                for _ in range(steps):
                    X = 1.5 * X - 0.5 * X @ X.mT @ X
                return X
            """,
        "divide each matrix by *one* norm: with a norm for each row the singular vectors change": """
            def orthogonal(G, steps):
                X = G / G.norm(dim=-1, keepdim=True)
                for _ in range(steps):
                    X = 1.5 * X - 0.5 * X @ X.mT @ X
                return X
            """,
        "those are Muon's quintic coefficients, fast but never exactly 1; here X becomes 1.5 X − 0.5 X Xᵀ X": """
            def orthogonal(G, steps):
                X = G / G.norm(dim=(-2, -1), keepdim=True)
                for _ in range(steps):
                    A = X @ X.mT
                    X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
                return X
            """,
        "a tall matrix comes back wide: transpose it back at the end": """
            def orthogonal(G, steps):
                X = G.mT if G.shape[-2] > G.shape[-1] else G
                X = X / X.norm(dim=(-2, -1), keepdim=True)
                for _ in range(steps):
                    X = 1.5 * X - 0.5 * X @ X.mT @ X
                return X
            """,
        "that is U Vᵀ at once, by a singular value decomposition: return what `steps` steps reach": """
            def orthogonal(G, steps):
                U, S, Vh = torch.linalg.svd(G, full_matrices=False)
                return U @ Vh
            """,
    })


# -- 6: waits for the GPU -------------------------------------------------------------------------------------

WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::equal"}
MASK = "aten::index.Tensor"


class Waits(TorchDispatchMode):
    """Collects the names of the operators that wait."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        if name in WAITS or name == MASK and any(i is not None and i.dtype == torch.bool for i in args[1]):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def waits_of(step):
    with Waits() as waits:
        step()
    return waits.found

DOES = {  # what a step does with x (6, 4): in words -> code
    "t.item()": lambda x: x.sum().item(),
    "if t > 0": lambda x: 1 if x.mean() > 0 else 0,
    "x[mask]": lambda x: x[x > 0],
    "x[:, mask]": lambda x: x[:, torch.tensor([True, False, True, True])],
    "x[i] with whole numbers": lambda x: x[x[:, 0].argsort()],
    "torch.where(mask)": lambda x: torch.where(x > 0)[0],
    "torch.unique": lambda x: torch.unique(x.round()),
    "torch.masked_select": lambda x: torch.masked_select(x, x < 0),
    "torch.equal": lambda x: torch.equal(x, x.flip(0)),
    "F.one_hot": lambda x: F.one_hot(x[:, 0].argsort()),
    "zeros in int64": lambda x: torch.zeros(3, dtype=torch.int64),
    "a gradient": lambda x: torch.autograd.grad((x @ x.T).square().mean(), x)[0],
}


def step_that(does, seed):
    """(step, what it has computed so far)."""
    x, log = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).requires_grad_(), []

    def step():
        log.extend(DOES[words](x if words == "a gradient" else x.detach()) for words in does)
    return step, log


def facts_of_waits(fn, does, seed):
    (step, log), (plain, wanted), calls = step_that(does, seed), step_that(does, seed), []
    found = fn(lambda: (calls.append(1), step())[1])
    if not isinstance(found, (list, tuple)) or not all(isinstance(name, str) for name in found):
        raise TypeError(f"a list of names is wanted, not {short(found)}")
    plain()
    right = repr(log[:len(wanted)]) in (repr(wanted), "[]")        # repr tells the type, too
    facts = Places("wait", [MASK if name == "aten::index" else name for name in found])
    facts |= {"number of calls of step": Shown(len(calls)), "results of step": Shown("as ever" if right else "others")}
    return facts


def steps(g):
    fixed = [["t.item()", "x[i] with whole numbers", "zeros in int64"], ["a gradient"],
             ["x[:, mask]", "t.item()", "x[i] with whole numbers", "t.item()", "torch.where(mask)"]]
    rest = shuffled(g, [*DOES, "t.item()", "x[mask]"])
    return [(does, randint(g, 0, 10**6)) for does in [*fixed, rest[:7], rest[7:], shuffled(g, list(DOES))]]

# What most of the wrong answers begin with.
WATCH = """
            from torch.utils._python_dispatch import TorchDispatchMode
            WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select",
                     "aten::_unique2", "aten::equal"}
            class Watch(TorchDispatchMode):
                def __init__(self):
                    super().__init__()
                    self.seen = []
                def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                    self.seen.append((func, args))
                    return func(*args, **(kwargs or {}))
            """

ex13_6 = Fresh(
    "13.6", answer=waits_of, make=steps, probe=facts_of_waits, show=lambda does, seed: f"a step with {', '.join(does)}",
    advice=". (__torch_dispatch__ must return what func returns; an index in args[1] may be None)",
    mistakes={
        "only .item() is found, but `if t > 0` and many functions wait like it: watch operators, not one method": """
            from torch.overrides import TorchFunctionMode
            found = []
            class Watch(TorchFunctionMode):
                def __torch_function__(self, func, types, args=(), kwargs=None):
                    if func.__name__ == "item":
                        found.append("aten::_local_scalar_dense")
                    return func(*args, **(kwargs or {}))
            def waits(step):
                found.clear()
                with Watch():
                    step()
                return list(found)
            """,
        "an index that is a mask is missing: aten::index.Tensor waits if one of args[1] is of type bool": WATCH + """
            def waits(step):
                with Watch() as watch:
                    step()
                return [func.name() for func, args in watch.seen if func.name() in WAITS]
            """,
        "aten::index.Tensor waits only if one of args[1] is a mask, of type bool; with whole numbers it does not":
            WATCH + """
            def waits(step):
                names = WAITS | {"aten::index.Tensor"}
                with Watch() as watch:
                    step()
                return [func.name() for func, args in watch.seen if func.name() in names]
            """,
        "nothing is found: func.name() is like \"aten::nonzero\", while str(func) is \"aten.nonzero.default\"":
            WATCH + """
            def waits(step):
                with Watch() as watch:
                    step()
                return [str(func) for func, args in watch.seen if str(func) in WAITS]
            """,
        "those are all operators; return those that wait": WATCH + """
            def waits(step):
                with Watch() as watch:
                    step()
                return [func.name() for func, args in watch.seen]
            """,
        "kwargs are lost: func(*args, **kwargs), or torch.zeros(3, dtype=torch.int64) makes floats": WATCH + """
            class Careless(Watch):
                def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                    self.seen.append((func, args))
                    return func(*args)
            def waits(step):
                with Careless() as watch:
                    step()
                return [func.name() for func, args in watch.seen if func.name() in WAITS or "index.T" in func.name()
                        and any(i is not None and i.dtype == torch.bool for i in args[1])]
            """,
    })


# -- 7: the seconds of a run ----------------------------------------------------------------------------------

def seconds(n, epochs, batch, flops, rate, kernels, launch):
    return math.ceil(epochs * (n // batch)) * max(3 * flops * batch / rate, kernels * launch)


def runs(g):
    """Launching takes this share of the work; no number of steps comes out whole."""
    found = []
    for k, share in enumerate([0.3, 3, 0.004, 500]):
        batch, each = 2 * randint(g, 5, 10), 4 * randint(g, 2, 4) + 1
        n, epochs = batch * each + batch // 2, randint(g, 3, 9) + (0.75 if k % 2 else 0.25)
        flops, rate, kernels = randint(g, 1, 300) * 1e9, randint(g, 5, 400) * 1e12, randint(g, 200, 400)
        found.append((n, epochs, batch, flops, rate, kernels, share * 3 * flops * batch / rate / kernels))
    return found

ex13_7 = Fresh(
    "13.7", answer=seconds, make=runs, tol=1e-9, mistakes={
        "work and launching overlap: the longer of the two counts, not their sum": """
            def run_seconds(n, epochs, batch, flops, rate, kernels, launch):
                steps = math.ceil(epochs * (n // batch))
                return steps * (3 * flops * batch / rate + kernels * launch)
            """,
        "that is the forward pass alone: with the backward pass it is 3 times as much": """
            def run_seconds(n, epochs, batch, flops, rate, kernels, launch):
                steps = math.ceil(epochs * (n // batch))
                return steps * max(flops * batch / rate, kernels * launch)
            """,
        "flops are those of one image: a step works on `batch` images": """
            def run_seconds(n, epochs, batch, flops, rate, kernels, launch):
                steps = math.ceil(epochs * (n // batch))
                return steps * max(3 * flops / rate, kernels * launch)
            """,
        "an incomplete batch at the end of an epoch is dropped: n // batch": """
            def run_seconds(n, epochs, batch, flops, rate, kernels, launch):
                steps = math.ceil(epochs * n / batch)
                return steps * max(3 * flops * batch / rate, kernels * launch)
            """,
        "an incomplete batch at the end of an epoch is dropped, not counted: n // batch, rounded down": """
            def run_seconds(n, epochs, batch, flops, rate, kernels, launch):
                steps = math.ceil(epochs * math.ceil(n / batch))
                return steps * max(3 * flops * batch / rate, kernels * launch)
            """,
        "a run has a whole number of steps: round up": """
            def run_seconds(n, epochs, batch, flops, rate, kernels, launch):
                steps = epochs * (n // batch)
                return steps * max(3 * flops * batch / rate, kernels * launch)
            """,
        "part of a step counts as a step: round up, not down": """
            def run_seconds(n, epochs, batch, flops, rate, kernels, launch):
                steps = int(epochs * (n // batch))
                return steps * max(3 * flops * batch / rate, kernels * launch)
            """,
        "kernels are launched in *every* step: multiply both the work and the launches by the steps": """
            def run_seconds(n, epochs, batch, flops, rate, kernels, launch):
                steps = math.ceil(epochs * (n // batch))
                return max(steps * 3 * flops * batch / rate, kernels * launch)
            """,
    })


# -- 8: the price of an idea ----------------------------------------------------------------------------------

IDEAS = ("half precision", "a small net", "whitening", "identity start", "lookahead", "six views", "Muon", "one launch")

Made = namedtuple("Recipe", "top without")  # what stands for a recipe here


def recipe_of(top, without=()):
    if isinstance(without, str) or set(without) - {*IDEAS}:
        raise ValueError(f"without is a list of rungs' names, not {short(without)}")
    return Made(top, frozenset(without))


def prices(train, recipe, top, names):
    whole = train(recipe(top))
    lost = [(name, whole - train(recipe(top, without=[name]))) for name in names]
    return sorted(lost, key=lambda pair: -pair[1])


def accuracy(made, seed):
    """A number that depends on each idea that is left, and a little on all of them together."""
    parts = [f"{seed} {name}" for name in IDEAS if name not in made.without]
    return 0.8 + sum(random.Random(p).uniform(-0.01, 0.01) for p in parts) + random.Random("".join(parts)).random() / 50


def facts_of_prices(fn, top, names, seed):
    seen = []

    def train(made):
        if not isinstance(made, Made):
            raise TypeError(f"train takes a recipe, not {short(made)}")
        seen.append(made)
        return accuracy(made, seed)
    found = fn(train, recipe_of, top, names)
    if not isinstance(found, list) or not all(len(pair) == 2 and isinstance(pair[0], str) for pair in found):
        raise TypeError(f"a list of pairs (name, accuracy lost) is wanted, not {short(found)}")
    facts = Places("pair", [(name, round(float(lost), 6) + 0.0) for name, lost in found])
    facts["number of calls of train"] = Shown(len(seen))
    return facts


def names_and_seeds(g):
    found = []
    while len(found) < 4:
        names, seed = shuffled(g, IDEAS[:-1])[:randint(g, 4, 6)], randint(g, 0, 10**6)
        lost = prices(lambda made, seed=seed: accuracy(made, seed), recipe_of, IDEAS[-1], names)
        order, sizes = [name for name, _ in lost], [p for _, p in lost]
        clear = min(a - b for a, b in zip(sizes, sizes[1:])) > 1e-4 and min(map(abs, sizes)) > 1e-4
        if clear and sizes[0] > 0 > sizes[-1] and order not in (names, sorted(names), names[::-1]):
            found.append((IDEAS[-1], names, seed))
    return found

ex13_8 = Fresh(
    "13.8", answer=prices, make=names_and_seeds, probe=facts_of_prices,
    show=lambda top, names, seed: f"top={top!r}, names={names}",
    mistakes={
        "leave out one rung at a time: with those before it still gone, the losses pile up": """
            def price(train, recipe, top, names):
                whole, gone, lost = train(recipe(top)), [], []
                for name in names:
                    gone.append(name)
                    lost.append((name, whole - train(recipe(top, without=gone))))
                return sorted(lost, key=lambda pair: -pair[1])
            """,
        "the sign is wrong: subtract the accuracy without the rung from that of the whole recipe": """
            def price(train, recipe, top, names):
                whole = train(recipe(top))
                lost = [(name, train(recipe(top, without=[name])) - whole) for name in names]
                return sorted(lost, key=lambda pair: -pair[1])
            """,
        "the sign is wrong: what is lost is positive where a rung helped": """
            def price(train, recipe, top, names):
                whole = train(recipe(top))
                lost = [(name, train(recipe(top, without=[name])) - whole) for name in names]
                return sorted(lost, key=lambda pair: pair[1])
            """,
        "the order is wrong: the dearest comes first": """
            def price(train, recipe, top, names):
                whole = train(recipe(top))
                lost = [(name, whole - train(recipe(top, without=[name]))) for name in names]
                return sorted(lost, key=lambda pair: pair[1])
            """,
        "not sorted: return the pairs from the dearest to the cheapest": """
            def price(train, recipe, top, names):
                whole = train(recipe(top))
                return [(name, whole - train(recipe(top, without=[name]))) for name in names]
            """,
        "the whole recipe is trained again for every name: once is enough": """
            def price(train, recipe, top, names):
                lost = [(name, train(recipe(top)) - train(recipe(top, without=[name]))) for name in names]
                return sorted(lost, key=lambda pair: -pair[1])
            """,
    })
