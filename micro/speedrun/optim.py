"""Muon for the convolutions, SGD for the rest, lookahead: optimizers in which no step waits for the GPU.

They keep no Python number that changes from step to step (the rate is handed in), so that a CUDA graph may
record a whole run of them; `reset()` starts afresh in place.
"""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan 2024, https://kellerjordan.github.io/posts/muon/


def newton_schulz(G, steps=3, coefficients=COEFFICIENTS):
    """Nearly orthogonal matrices: G = U S Vᵀ → about U Vᵀ, without a singular value decomposition.

    G (..., rows, columns). Each step maps every singular value s to a s + b s³ + c s⁵. With these coefficients
    three steps bring all but small s (relative to √(Σ s²)) near 1: within about 0.5 to 1.3, not to 1 itself.
    Computes in bfloat16 on a GPU and in G's type elsewhere. Returns the shape and type of G.
    """
    a, b, c = coefficients
    tall = G.shape[-2] > G.shape[-1]
    X = G.to(torch.bfloat16 if G.is_cuda else G.dtype)
    X = X.mT if tall else X                                       # (..., r, c), r ≤ c: the small product below
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)           # so all singular values are ≤ 1
    for _ in range(steps):
        A = X @ X.mT                                              # (..., r, r)
        X = a * X + (b * A + c * A @ A) @ X
    return (X.mT if tall else X).to(G.dtype)


class Muon:
    """Momentum, orthogonalized: each convolution (D, C, k, k) is a matrix (D, C k²) and moves by about U Vᵀ.

    Before each step a weight is scaled to the norm √D, so that a step of one size turns every layer equally
    far. Layers of one shape are worked on as one batch. Source: Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon/, in the form of airbench94.
    """

    def __init__(self, params, lr, momentum, coefficients=COEFFICIENTS):
        self.lr, self.momentum = lr, momentum
        self.orthogonalize = lambda G: newton_schulz(G, coefficients=coefficients)
        shapes = dict.fromkeys(p.shape for p in params)
        self.stacks = [[p for p in params if p.shape == shape] for shape in shapes]
        self.buffers = [ps[0].new_zeros(len(ps), len(ps[0]), ps[0][0].numel())
                        for ps in self.stacks]

    def reset(self):
        torch._foreach_zero_(self.buffers)

    @torch.no_grad()
    def step(self, share):
        """One step at `share` of the rate."""
        for ps, buffer in zip(self.stacks, self.buffers):
            g = torch.stack([p.grad.reshape(len(p), -1) for p in ps])          # (n, D, C k²)
            buffer.mul_(self.momentum).add_(g)
            update = self.orthogonalize(g + self.momentum * buffer)
            for p, u in zip(ps, update):
                p.mul_(len(p)**0.5 / p.norm())
                p.sub_(u.view(p.shape), alpha=self.lr * share)


class SGD:
    """torch.optim.SGD with Nesterov momentum, of groups (params, lr, when): `when` is "all" or "first".

    decay: at the full rate this part of a weight joins its step (momentum then multiplies it), whatever the group's
    rate. Equal to torch.optim.SGD with weight_decay = decay / lr.
    """

    def __init__(self, groups, momentum, decay):
        self.groups = [group for group in groups if group[0]]
        self.momentum, self.decay = momentum, decay
        self.buffers = [[torch.zeros_like(p) for p in params] for params, _, _ in self.groups]

    def reset(self):
        for buffers in self.buffers:
            torch._foreach_zero_(buffers)

    @torch.no_grad()
    def step(self, share, share_first=0.0):
        """One step: groups "all" at `share` of their rate, groups "first" at `share_first`; at 0, none."""
        for (params, lr, when), buffers in zip(self.groups, self.buffers):
            if now := lr * (share if when == "all" else share_first):
                g = torch._foreach_add([p.grad for p in params], params, alpha=self.decay / lr)
                torch._foreach_mul_(buffers, self.momentum)
                torch._foreach_add_(buffers, g)
                torch._foreach_add_(g, buffers, alpha=self.momentum)
                torch._foreach_add_(params, g, alpha=-now)


class Lookahead:
    """An average of the weights that is given back to the net: slow ← decay · slow + (1 - decay) · net, net ← slow.

    Source: Zhang et al. 2019, https://arxiv.org/abs/1907.08610.
    """

    def __init__(self, net):
        self.fast = [t for t in [*net.parameters(), *net.buffers()] if t.is_floating_point()]
        self.slow = [t.detach().clone() for t in self.fast]

    def reset(self):
        torch._foreach_copy_(self.slow, self.fast)

    @torch.no_grad()
    def update(self, decay):
        for slow, fast in zip(self.slow, self.fast):
            slow.lerp_(fast, 1 - decay)
            fast.copy_(slow)
