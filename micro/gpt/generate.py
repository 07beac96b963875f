"""Text from a GPT, one token at a time."""
import torch
import torch.nn.functional as F

from micro.train import evaluating


def choose(logits, temperature=1.0, top_k=None, top_p=None):
    """The probabilities (B, vocab_size) to draw the next token from, given its logits (B, vocab_size).

    temperature: divides the logits; below 1 the likely becomes likelier, and 0 takes the likeliest.
    top_k: only the k likeliest tokens, at least 1.  top_p, above 0: only the smallest set of likeliest tokens that
    together have probability top_p or more (nucleus sampling: Holtzman et al. 2019, https://arxiv.org/abs/1904.09751).

    >>> choose(torch.tensor([[0.5, 0.3, 0.2]]).log(), top_p=0.6).round(decimals=3).tolist()
    [[0.625, 0.375, 0.0]]
    """
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    logits = (logits - logits.amax(-1, keepdim=True)) / temperature     # at most 0: no overflow
    probs, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        probs[:, top_k:] = 0
    if top_p is not None:
        share = probs / probs.sum(-1, keepdim=True)
        probs[share.cumsum(-1) - share >= top_p] = 0                    # enough stands before it
    return torch.zeros_like(probs).scatter(-1, order, probs / probs.sum(-1, keepdim=True))


def generate(model, ix, n, generator=None, cached=True, **how):
    """ix (B, T), T at least 1, with n more tokens: (B, T + n). how: temperature, top_k, top_p of `choose`.

    Where the context is full, its older half is forgotten and the rest is read again: learned positions belong
    to one place, so what the cache holds cannot move. cached=False computes everything anew for each token; the
    tokens are the same.
    """
    size = model.config.block_size
    with evaluating(model):
        context, cache = ix[:, -size:], model.empty_cache()
        new = context                                                   # what was not read yet
        for _ in range(n):
            logits = model(new, cache) if cached else model(context)
            probs = choose(logits[:, -1], **how)
            new = torch.multinomial(probs, 1, generator=generator)      # (B, 1)
            ix, context = torch.cat([ix, new], 1), torch.cat([context, new], 1)
            if context.shape[1] > size:
                context, cache = context[:, -(size + 1) // 2:], model.empty_cache()
                new = context
    return ix
