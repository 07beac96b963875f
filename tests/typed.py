"""Wrong answers to the exercises as a learner would type them, each with a word that the verdict must contain."""

# What some answers to 11_6 begin with: it keeps all operators.
WATCH = (
    "from torch.utils._python_dispatch import TorchDispatchMode\n"
    "WAITS = {\"aten::_local_scalar_dense\", \"aten::nonzero\", \"aten::masked_select\",\n"
    "         \"aten::_unique2\", \"aten::equal\"}\n"
    "class Watch(TorchDispatchMode):\n"
    "    def __init__(self):\n"
    "        super().__init__()\n"
    "        self.seen = []\n"
    "    def __torch_dispatch__(self, func, types, args=(), kwargs=None):\n"
    "        self.seen.append((func, args))\n"
    "        return func(*args, **(kwargs or {}))\n")

# What some answers to 08_9 begin with: the best way to cut a word.
BEST = (
    "def best(word, logp):\n    if not word:\n        return 0\n"
    "    return max(logp[word[:k]] + best(word[k:], logp)\n"
    "               for k in range(1, len(word) + 1) if word[:k] in logp)\n\n")

TYPED = {
    "01_1": [("def central_slope(f, x, h=1e-5):\n    return (f(x + h) - f(x)) / h", "one side"),
             ("def central_slope(f, x, h=1e-5):\n    return (f(x + h) - f(x - h)) / 2 * h", "2 * h"),
             ("def central_slope(f, x, h=1e-5):\n    return (f(x - h) - f(x + h)) / (2 * h)", "sign"),
             ("def central_slope(f, x, h=0.1):\n    return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5", "plays no part")],
    "01_2": [("def hand_gradient(a, b, c):\n    return [b + c, b + c, a + b]", "both factors"),
             ("def hand_gradient(a, b, c):\n    return [b + c, a + 2 * b + c]", "shape")],
    "01_3": [("def backward_of_mul(a, b, out):\n    a.grad = b.data\n    b.grad += a.data * out.grad\n    return out",
              "still the two mistakes"),
             ("def backward_of_mul(a, b, out):\n    a.grad += b.data * out.grad\n    b.grad += a.data * out.grad",
              "return")],
    "01_4": [("def is_topological(order):\n    return all(p in order for n in order for p in n._prev)", "expected"),
             ("def is_topological(order):\n    return order.sorted()", "AttributeError")],
    "01_5": [("def softplus(x):\n    return math.log(1 + math.exp(x.data))", "return a Value"),
             ("def softplus(x):\n    y = math.log(1 + math.exp(x.data))\n    return Value(y, (x,), (1.0,), 'sp')",
              "always 1"),
             ("def softplus(x):\n    return (1 + x.exp()).log()", "one input")],
    "01_6": [("def logistic_loss(score, target):\n    return (1 + (target * score).exp()).log()", "sign"),
             ("def logistic_loss(score, target):\n    return math.log(1 + math.exp(-target * score.data))", "Value")],
    "01_7": [("def momentum_step(parameters, velocity, lr, beta):\n"
              "    velocity = [beta * v + p.grad for v, p in zip(velocity, parameters)]\n"
              "    for v, p in zip(velocity, parameters):\n        p.data -= lr * v\n    return velocity", "in place")],
    "02_1": [("def trigrams(word):\n    m = '.' + word + '.'\n    return list(zip(m, m[1:], m[2:]))", "two dots")],
    "02_2": [("def normalize(N, over):\n    return N / N.sum()", "expected"),
             ("def normalize(N, over):\n    return N / N.sum({'row': 1, 'column': 0}[over])", "keepdim")],
    "02_3": [("def temperature(p, T):\n    return p ** (1 / T)", "sum to 1"),
             ("def temperature(p, T):\n    return (p / T).softmax(0)", "logits"),
             ("def temperature(p, T):\n    return (p ** (1 / T)).max()", "shape")],
    "02_4": [("def best_strength(N_train, N_dev, strengths):\n"
              "    return min(strengths, key=lambda s: count_loss(smooth(N_train, s), N_train))", "N_dev alone"),
             ("def best_strength(N_train, N_dev, strengths):\n"
              "    return min(count_loss(smooth(N_train, s), N_dev) for s in strengths)", "not the loss")],
    "02_5": [("def fast_loss(W, xs, ys):\n    return F.cross_entropy(W[xs].softmax(1), ys)", "twice"),
             ("def fast_loss(W, xs, ys):\n    return F.cross_entropy(W[xs], ys).item()", "tensor"),
             ("def fast_loss(W, xs, ys):\n    return F.cross_entropy(W[xs].detach(), ys)", "cut off")],
    "03_1": [("def size(vocab, n_embd, block_size, n_hidden):\n"
              "    return vocab * n_embd + block_size * n_embd * n_hidden",
              "expected"),
             ("def size(vocab, n_embd, block_size, n_hidden):\n"
              "    return vocab * n_embd + n_embd * n_hidden + n_hidden + n_hidden * vocab + vocab", "side by side")],
    "03_2": [("def safe_cross_entropy(logits, Y):\n    p = logits.softmax(1)\n"
              "    return -p[torch.arange(len(Y)), Y].log().mean()", "underflows"),
             ("def safe_cross_entropy(logits, Y):\n    p = logits.softmax(1) + 1e-10\n"
              "    return -p[torch.arange(len(Y)), Y].log().mean()", "small number"),
             ("def safe_cross_entropy(logits, Y):\n    top = logits.max()\n"
              "    sums = (logits - top).exp().sum(1).log() + top\n"
              "    return (sums - logits[torch.arange(len(Y)), Y]).mean()", "underflow"),
             ("def safe_cross_entropy(logits, Y):\n    sums = logits.exp().sum(1).log()\n"
              "    return (sums - logits[torch.arange(len(Y)), Y]).mean()", "overflow")],
    "03_3": [("def floor(X, Y):\n    return 0.0", "several answers"),
             ("def floor(X, Y):\n    seen = {}\n    for x, y in zip(X, Y.tolist()):\n"
              "        seen.setdefault(x, []).append(y)\n"
              "    return sum(-math.log(v.count(y) / len(v)) for v in seen.values() for y in v) / len(Y)", "tuple"),
             ("def floor(X, Y):\n    p = torch.bincount(Y) / len(Y)\n    return -p[Y].log().mean()", "plays no part")],
    "03_4": [("def read_sweep(rates, losses):\n    return rates[losses.index(min(losses))] / 10", "expected"),
             ("def read_sweep(rates, losses):\n    losses = [math.inf if math.isnan(x) else x for x in losses]\n"
              "    if not any(x <= 0.9 * losses[0] for x in losses):\n        return 'too low'\n"
              "    for x in losses:\n        if x > 2 * losses[0]:\n            return 'too high'\n"
              "        if x <= 0.9 * losses[0]:\n            return rates[losses.index(min(losses))] / 10",
              "ask that first")],
    "03_5": [("def calm_parameters(n_embd, n_hidden, g):\n    return [torch.zeros(27, n_embd), "
              "torch.zeros(3 * n_embd, n_hidden), torch.zeros(n_hidden), torch.zeros(n_hidden, 27), torch.zeros(27)]",
              "all the same"),
             ("def calm_parameters(n_embd, n_hidden, g):\n    return [torch.randn(s, generator=g) for s in "
              "[(27, n_embd), (3 * n_embd, n_hidden), (n_hidden,), (n_hidden, 27), (27,)]]", "within 0.05"),
             ("def calm_parameters(n_embd, n_hidden, g):\n    return [torch.randn(s, generator=g) for s in "
              "[(27, n_embd), (n_embd, n_hidden), (n_hidden,), (n_hidden, 27), (27,)]]", "shapes")],
    "03_6": [("def gap(a, b):\n    d = statistics.mean(a) - statistics.mean(b)\n"
              "    e = math.sqrt(statistics.pvariance(a) / len(a) + statistics.pvariance(b) / len(b))\n"
              "    return d, e, abs(d) > 2 * e", "n - 1"),
             ("def gap(a, b):\n    d = statistics.mean(a) - statistics.mean(b)\n"
              "    e = statistics.variance(a) / len(a) + statistics.variance(b) / len(b)\n"
              "    return d, e, abs(d) > 2 * e", "root")],
    "03_7": [("def tied(X, parameters):\n    C, W1, b1, W2, b2 = parameters\n"
              "    return torch.tanh(C[X].view(len(X), -1) @ W1 + b1) @ W2 @ C.T", "b2"),
             ("def tied(X, parameters):\n    C, W1, b1, W2, b2 = parameters\n"
              "    return torch.tanh(C[X].view(len(X), -1) @ W1 + b1) @ W2", "C.T")],
    "03_8": [("def direct(X, parameters):\n    C, H, d, U, b, W = parameters\n    x = C[X].view(len(X), -1)\n"
              "    return b + torch.tanh(d + x @ H) @ U", "shortcut")],
    "03_9": [("def my_recipe(Xtr, Ytr):\n    return lambda X: torch.zeros(len(X), 27)", "all logits are equal"),
             ("def my_recipe(Xtr, Ytr):\n    return lambda X: counted(Xtr, Ytr)[X[:, 0], X[:, 1], X[:, 2]].log()",
              "mix in a network"),
             ("def my_recipe(Xtr, Ytr):\n    return lambda X: torch.zeros(len(X), 26)", "shape"),
             ("mine = counted(*build_dataset(names()))\ndef my_recipe(Xtr, Ytr):\n"
              "    return lambda X: mine[X[:, 0], X[:, 1], X[:, 2]].log()", "expected")],
    "04_1": [("def dead_units(h, kind):\n    return (h.abs() > 0.97).all(0).sum().item()", "`kind` plays no part"),
             ("def dead_units(h, kind):\n    silent = h > 0.97 if kind == 'tanh' else h == 0\n"
              "    return silent.all(0).sum().item()", "both ends")],
    "04_2": [("def gain_for(f):\n    x = torch.randn(1_000_000)\n    return x.std().item() / f(x).std().item()",
              "variance"),
             ("def gain_for(f):\n    return nn.init.calculate_gain('relu')", "expected")],
    "04_3": [("def running(values, momentum):\n    r, out = 0.0, []\n    for v in values:\n"
              "        r = momentum * r + (1 - momentum) * v\n        out.append(r)\n    return out", "*new* value")],
    "04_4": [("def group_norm(x, groups):\n    return F.group_norm(x, 1)", "layer norm"),
             ("def group_norm(x, groups):\n    g = x.view(len(x), groups, -1)\n"
              "    return ((g - g.mean(2, keepdim=True)) / (g.var(2, keepdim=True) + 1e-5).sqrt()).view(x.shape)",
              "n - 1")],
    "04_5": [("def fold(linear, bn):\n    s = bn.weight / torch.sqrt(bn.running_var + bn.eps)\n"
              "    return linear.weight * s[:, None], linear.bias", "the output"),
             ("def fold(linear, bn):\n    s = bn.weight / torch.sqrt(bn.running_var)\n"
              "    b = 0 if linear.bias is None else linear.bias\n"
              "    return linear.weight * s[:, None], (b - bn.running_mean) * s + bn.bias", "eps")],
    "04_6": [("def retune(weights, grads):\n    r = torch.stack([g.std() / w.std() for w, g in zip(weights, grads)])\n"
              "    return 1e-3 / r.mean().item()", "median")],
    "04_7": [("def diagnoses():\n    return {'A': ('4', 'exploding')}", "two words"),
             ("def diagnoses():\n    return {'A': ('4', 'exploding'), 'B': ('1', 'wrong mode'), 'C': ('3', 'dead')}",
              "another layer")],
    "04_8": [("def moves(zero):\n    return {'C', 'W1', 'b1', 'W2', 'b2'}", "not everything"),
             ("def moves(zero):\n    return {'C', 'W1', 'b1', 'W2', 'b2'} - zero", "b2 always")],
    "02_6": [("def trigram_loss(train_words, dev_words, strength):\n"
              "    return -sum(math.log(1 / 27) for _ in dev_words) / len(dev_words)", "expected"),
             ("def trigram_loss(train_words, dev_words, strength):\n    return 0.0", "expected")],
    "05_1": [("def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):\n"
              "    d = (counts * dprobs).sum(1, keepdim=True)\n"
              "    return d, -counts_sum**-2 * d, counts_sum_inv * dprobs", "through the sum is missing"),
             ("def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):\n"
              "    d = (counts * dprobs).sum(1)\n    return d, d * counts_sum, d", "keepdim"),
             ("def back_to_counts(counts, counts_sum, counts_sum_inv, dprobs):\n"
              "    return counts * dprobs, None, None", "*sum*")],
    "05_2": [("def back_to_logits(logits, counts, dcounts):\n    d = counts * dcounts\n"
              "    return d, -d.sum(1, keepdim=True), d", "through the maximum"),
             ("def back_to_logits(logits, counts, dcounts):\n    d = counts * dcounts\n"
              "    m = -d.sum(1, keepdim=True)\n    out = d.clone()\n"
              "    out[range(len(d)), logits.argmax(1)] = m[:, 0]\n    return d, m, out", "overwrites")],
    "05_3": [("def back_linear(h, W2, dlogits):\n"
              "    return dlogits @ W2.T, h.T @ dlogits, dlogits.sum(0, keepdim=True)", "no keepdim"),
             ("def back_linear(h, W2, dlogits):\n    return dlogits @ W2, h.T @ dlogits, dlogits.sum(0)", "line 2")],
    "05_4": [("def back_tanh_gain(h, bnraw, bngain, dh):\n    d = (1 - h**2) * dh\n"
              "    return d, bnraw * d, d.sum(0), bngain * d", "sum over the batch"),
             ("def back_tanh_gain(h, bnraw, bngain, dh):\n    d = (1 - torch.tanh(h)**2) * dh\n"
              "    return d, (bnraw * d).sum(0), d.sum(0), bngain * d", "no second tanh")],
    "05_5": [("def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):\n    n = len(bndiff)\n"
              "    dvar = -0.5 * (bnvar + 1e-5)**-1.5 * dbnvar_inv\n    d2 = dvar.expand_as(bndiff) / n\n"
              "    d = bnvar_inv * dbnraw + 2 * bndiff * d2\n    return dvar, d2, d, -d.sum(0, keepdim=True), d",
              "mean's own gradient"),
             ("def back_batch_norm(bndiff, bnvar, bnvar_inv, dbnraw, dbnvar_inv):\n    n = len(bndiff)\n"
              "    dvar = -0.5 * bnvar**-1.5 * dbnvar_inv\n    return dvar, None, None, None, None", "1e-5")],
    "05_6": [("def back_embedding(X, C, dembcat):\n    demb = dembcat.view(*X.shape, -1)\n"
              "    dC = torch.zeros_like(C)\n    dC[X] += demb\n    return demb, dC", "one of them survives"),
             ("def back_embedding(X, C, dembcat):\n    demb = dembcat.view(*X.shape, -1)\n"
              "    dC = torch.zeros_like(C)\n    for x, d in zip(X, demb):\n        dC[x] += d\n    return demb, dC",
              "twice in *one* context")],
    "05_7": [("def dlogits_at_once(logits, Y):\n    p = logits.softmax(1)\n    p[:, Y] -= 1\n    return p / len(Y)",
              "every* row"),
             ("def dlogits_at_once(logits, Y):\n    return logits.softmax(1) - F.one_hot(Y, logits.shape[1])", "mean")],
    "05_8": [("def dhprebn_at_once(hprebn, bngain, dhpreact):\n    s = (hprebn.var(0, correction=0) + 1e-5)**-0.5\n"
              "    return s * bngain * dhpreact", "depend on hprebn"),
             ("def dhprebn_at_once(hprebn, bngain, dhpreact):\n    s = (hprebn.var(0) + 1e-5)**-0.5\n"
              "    x, g = (hprebn - hprebn.mean(0)) * s, bngain * dhpreact\n"
              "    return s * (g - g.mean(0) - x * (x * g).mean(0))", "n - 1")],
    "05_9": [("def back_layer_norm(x, gain, dy):\n    s = (x.var(1, keepdim=True, correction=0) + 1e-5)**-0.5\n"
              "    xhat = (x - x.mean(1, keepdim=True)) * s\n"
              "    dx = gain * s * (dy - dy.mean(1, keepdim=True) - xhat * (xhat * dy).mean(1, keepdim=True))\n"
              "    return dx, (xhat * dy).sum(0), dy.sum(0)", "inside g")],
    "05_10": [("def back_scores(q, k, p, dp):\n    ds = p * (dp - (dp * p).sum(-1, keepdim=True))\n"
               "    return ds, ds @ k, ds.transpose(1, 2) @ q", "root of d"),
              ("def back_scores(q, k, p, dp):\n    ds = p * dp\n    return ds, None, None", "raising one lowers")],
    "06_1": [("def smooth(losses, n):\n    return torch.tensor(losses).view(-1, n).mean(1)", "stopped"),
             ("def smooth(losses, n):\n    k = len(losses) // n * n\n"
              "    return torch.tensor(losses[:k]).view(-1, n).mean(1)", "last few")],
    "06_2": [("def causal_conv(x, weight, bias, dilation):\n    k, T = len(weight), x.shape[1]\n"
              "    p = F.pad(x, (0, 0, 0, (k - 1) * dilation))\n"
              "    return bias + sum(p[:, j * dilation:j * dilation + T] @ weight[j] for j in range(k))", "future"),
             ("def causal_conv(x, weight, bias, dilation):\n    k, T = len(weight), x.shape[1]\n"
              "    p = F.pad(x, (0, 0, k - 1, 0))\n    return bias + sum(p[:, j:j + T] @ weight[j] for j in range(k))",
              "dilation plays no part")],
    "06_3": [("def looks_back(f, x, t):\n    before, out = f(x)[0, t], []\n    for s in range(t + 1):\n"
              "        moved = x.clone()\n        moved[0, s] += 1\n"
              "        if not torch.equal(f(moved)[0, t], before):\n            out.append(t - s)\n"
              "    return sorted(out)", "looking ahead"),
             ("def looks_back(f, x, t):\n    before, out = f(x)[0, t].clone(), []\n    for s in range(x.shape[1]):\n"
              "        x[0, s] += 1\n        if not torch.allclose(f(x)[0, t], before):\n"
              "            out.append(t - s)\n    return sorted(out)", "input")],
    "06_4": [("def dropout(x, p, training, g):\n    return x * (torch.rand(x.shape, generator=g) >= p) / (1 - p)",
              "does nothing"),
             ("def dropout(x, p, training, g):\n    if training:\n"
              "        x = x * (torch.rand(x.shape, generator=g) >= p)\n    return x", "made larger")],
    "06_5": [("def step(x, queue, weight, bias, dilation):\n"
              "    past = queue[0] if queue else torch.zeros_like(x)\n"
              "    return past @ weight[0] + x @ weight[1] + bias, (queue + [x])[-dilation:]",
              "until the queue is full"),
             ("def step(x, queue, weight, bias, dilation):\n"
              "    past = queue[-1] if len(queue) == dilation else torch.zeros_like(x)\n"
              "    return past @ weight[0] + x @ weight[1] + bias, (queue + [x])[-dilation:]", "oldest")],
    "06_6": [("def my_recipe(words):\n    return lambda word: torch.zeros(len(word) + 1, 27)", "all logits are equal"),
             ("def my_recipe(words):\n    return lambda word: torch.zeros(len(word), 27)", "is wanted")],
    "07_1": [("def leaks(model, ix, vocab_size):\n    before, found = model(ix), []\n    for t in range(ix.shape[1]):\n"
              "        other = ix.clone()\n        other[:, t] = (other[:, t] + 1) % vocab_size\n"
              "        if not torch.allclose(model(other)[:, t], before[:, t]):\n            found.append(t)\n"
              "    return found", "not even its last position"),
             ("def leaks(model, ix, vocab_size):\n    before, found = model(ix), []\n"
              "    for t in range(ix.shape[1] - 1):\n        other = ix\n"
              "        other[:, t + 1:] = (ix[:, t + 1:] + 1) % vocab_size\n"
              "        if not torch.allclose(model(other)[:, t], before[:, t]):\n            found.append(t)\n"
              "    return found", "ix was changed"),
             ("def leaks(model, ix, vocab_size):\n    before, found = model(ix), []\n"
              "    for s in range(1, ix.shape[1]):\n        ix[:, s] = (ix[:, s] + 1) % vocab_size\n"
              "        moved = (model(ix) - before).abs().amax((0, 2)) > 1e-6\n"
              "        found += [t for t in range(s) if moved[t] and t not in found]\n    return found",
              "ix was changed"),
             ("def leaks(model, ix, vocab_size):\n    found = set()\n    for s in range(1, ix.shape[1]):\n"
              "        other = ix.clone()\n        other[:, s] = (ix[:, s] + 1) % vocab_size\n"
              "        moved = (model(other) - model(ix)).abs().amax((0, 2)) > 1e-6\n"
              "        if moved[:s].any():\n            found.add(s)\n    return found", "outputs that move"),
             ("def leaks(model, ix, vocab_size):\n    other = ix.clone()\n"
              "    other[:, -1] = (ix[:, -1] + 1) % vocab_size\n"
              "    moved = (model(other) - model(ix)).abs().sum((0, 2)) > 1e-6\n"
              "    return [t for t in range(ix.shape[1] - 1) if moved[t]]", "only the last token"),
             ("def leaks(model, ix, vocab_size):\n    return not model(ix).any()", "a list of positions")],
    "07_2": [("def loss_by_position(logits, targets):\n"
              "    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction='none')"
              ".view(-1, len(logits)).mean(1)", "view(B, T)"),
             ("def loss_by_position(logits, targets):\n"
              "    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())", "mean of everything"),
             ("def loss_by_position(logits, targets):\n"
              "    return F.cross_entropy(logits, targets, reduction='none').mean(0)", "stopped"),
             ("def loss_by_position(logits, targets):\n    B, T, V = logits.shape\n"
              "    return F.cross_entropy(logits.view(B, V, T), targets, reduction='none').mean(0)", "transpose")],
    "07_3": [("def cross_attention(x, memory, wq, wk, wv):\n"
              "    w = (x @ wq) @ (x @ wk).transpose(1, 2) / wq.shape[1]**0.5\n"
              "    return w.softmax(-1) @ (x @ wv)", "self-attention"),
             ("def cross_attention(x, memory, wq, wk, wv):\n"
              "    return F.scaled_dot_product_attention(memory @ wq, x @ wk, x @ wv)", "exchanged"),
             ("def cross_attention(x, memory, wq, wk, wv):\n"
              "    return F.scaled_dot_product_attention(x @ wq, memory @ wk, memory @ wv, is_causal=True)", "no mask"),
             ("def cross_attention(x, memory, wq, wk, wv):\n"
              "    return ((x @ wq) @ (memory @ wk).transpose(1, 2)).softmax(-1) @ (memory @ wv)",
              "root of the head size"),
             ("def cross_attention(x, memory, wq, wk, wv):\n"
              "    return F.scaled_dot_product_attention(x @ wq, memory @ wk, memory)", "shape")],
    "07_4": [("def multi_query(x, wq, wk, wv, n_head):\n    B, T, C = x.shape\n"
              "    q = (x @ wq).view(B, n_head, T, C // n_head)\n    k, v = (x @ wk)[:, None], (x @ wv)[:, None]\n"
              "    w = (q @ k.mT / (C // n_head)**0.5).masked_fill(torch.ones(T, T).triu(1) == 1, -math.inf)\n"
              "    return (w.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C)", "mixes positions"),
             ("def multi_query(x, wq, wk, wv, n_head):\n    B, T, C = x.shape\n"
              "    q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)\n"
              "    k, v = (x @ wk)[:, None], (x @ wv)[:, None]\n"
              "    y = F.scaled_dot_product_attention(q, k.expand_as(q), v.expand_as(q))\n"
              "    return y.transpose(1, 2).reshape(B, T, C)", "sees the future"),
             ("def multi_query(x, wq, wk, wv, n_head):\n    B, T, C = x.shape\n"
              "    q = (x @ wq).view(B, T, n_head, -1).transpose(1, 2)\n"
              "    k, v = (x @ wk)[:, None], (x @ wv)[:, None]\n"
              "    y = F.scaled_dot_product_attention(q, k.expand_as(q), v.expand_as(q), is_causal=True)\n"
              "    return y.reshape(B, T, C)", "joined wrongly"),
             ("def multi_query(x, wq, wk, wv, n_head):\n"
              "    return F.scaled_dot_product_attention((x @ wq)[..., :wk.shape[1]], x @ wk, x @ wv, is_causal=True)",
              "shape")],
    "07_5": [("def rotary(q, base=10000.0):\n    T, hs = q.shape[2:]\n"
              "    angle = torch.arange(T)[:, None] * base ** (-2 * torch.arange(hs // 2) / hs)\n"
              "    a, b = q[..., 0::2], q[..., 1::2]\n"
              "    turned = [a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()]\n"
              "    return torch.stack(turned, -1).flatten(-2)", "neighbours"),
             ("def rotary(q, base=10000.0):\n    T, hs = q.shape[2:]\n    a, b = q.chunk(2, -1)\n"
              "    angle = torch.arange(1, T + 1)[:, None] * base ** (-2 * torch.arange(hs // 2) / hs)\n"
              "    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)",
              "from 0"),
             ("def rotary(q, base=10000.0):\n    T, hs = q.shape[2:]\n    a, b = q.chunk(2, -1)\n"
              "    angle = torch.arange(T)[:, None] * 10000 ** (-2 * torch.arange(hs // 2) / hs)\n"
              "    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)",
              "base has no effect"),
             ("def rotary(q, base=10000.0):\n    T, hs = q.shape[2:]\n    a, b = q.chunk(2, -1)\n"
              "    angle = torch.arange(T)[:, None] * base ** (-2 * torch.arange(hs // 2) / hs)\n"
              "    return a * angle.cos() - b * angle.sin()", "shape")],
    "07_6": [("def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):\n"
              "    return n_layer * n_head * head_size * length * batch * bytes_per_number", "twice"),
             ("def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):\n"
              "    return 2 * n_layer * head_size * length * batch * bytes_per_number", "each head"),
             ("def cache_bytes(n_layer, n_head, head_size, length, batch, bytes_per_number):\n"
              "    return 3 * n_layer * n_head * head_size * length * batch * bytes_per_number", "not queries")],
    "07_7": [("def addition(a, b, n):\n    text = f'{a:0{n}d}+{b:0{n}d}={a + b:0{n + 1}d}'\n"
              "    s = ['0123456789+='.index(c) for c in text]\n"
              "    return s[:-1], [-100] * (2 * n + 1) + s[2 * n + 2:]", "backwards"),
             ("def addition(a, b, n):\n    text = f'{a:0{n}d}+{b:0{n}d}=' + f'{a + b:0{n + 1}d}'[::-1]\n"
              "    s = ['0123456789+='.index(c) for c in text]\n    return s[:-1], s[1:]", "everywhere"),
             ("def addition(a, b, n):\n    text = f'{a:0{n}d}+{b:0{n}d}=' + f'{a + b:0{n + 1}d}'[::-1]\n"
              "    s = ['0123456789+='.index(c) for c in text]\n"
              "    return s[:-1], [-100] * (2 * n + 2) + s[2 * n + 3:]", "masked too"),
             ("def addition(a, b, n):\n    text = f'{a:0{n}d}+{b:0{n}d}=' + str(a + b)[::-1]\n"
              "    s = ['0123456789+='.index(c) for c in text]\n"
              "    return s[:-1], [-100] * (2 * n + 1) + s[2 * n + 2:]", "filled with zeros to n + 1"),
             ("def addition(a, b, n):\n    text = f'{a:0{n}d}+{b:0{n}d}=' + f'{a + b:0{n + 1}d}'[::-1]\n"
              "    return ['0123456789+='.index(c) for c in text]", "two lists"),
             ("def addition(a, b, n):\n    text = f'{a:0{n}d}+{b:0{n}d}=' + f'{a + b:0{n + 1}d}'[::-1]\n"
              "    s = ['0123456789+='.index(c) for c in text]\n    return s[:-1], s[2 * n + 2:]", "shape")],
    "07_8": [("def own(text):\n    chars = sorted(set(text))\n"
              "    return lambda ix: torch.zeros(*ix.shape, len(chars)), chars", "anything trained"),
             ("def own(text):\n    chars = sorted(set(text))\n    def model(ix):\n"
              "        return 5.0 * F.one_hot(torch.cat([ix[:, 1:], ix[:, :1]], 1), len(chars))\n"
              "    return model, chars", "sees the future"),
             ("def own(text):\n    chars = sorted(set(text))\n"
              "    return lambda ix: torch.ones(*ix.shape, len(chars)) / len(chars), chars", "probabilities"),
             ("def own(text):\n    chars = sorted(set(text))\n"
              "    return lambda ix: 30.0 * F.one_hot(ix, len(chars)), chars", "worse than a guess"),
             ("def own(text):\n    chars = sorted(set(text))\n    at = {c: i for i, c in enumerate(chars)}\n"
              "    ix = torch.tensor([at[c] for c in text])\n    N = torch.ones(len(chars), len(chars))\n"
              "    N.index_put_((ix[:-1], ix[1:]), torch.ones(()), accumulate=True)\n"
              "    return lambda ix: N.log()[ix], chars", "counting pairs"),
             ("def own(text):\n    chars = sorted(set(text))\n"
              "    return lambda ix: torch.zeros(*ix.shape, 27), chars", "is wanted"),
             ("def own(text):\n    chars = 'abcdefghijklmnopqrstuvwxyz'\n"
              "    return lambda ix: torch.zeros(*ix.shape, 26), chars", "lack"),
             ("def own(text):\n    return lambda ix: torch.zeros(*ix.shape, 62)", "two things"),
             ("def own(text):\n    net = torch.nn.Embedding(16, 62)\n"
              "    return lambda ix: net(ix) + net(torch.arange(ix.shape[1])), sorted(set(text))", "up to 32")],
    "08_1": [("def utf8(code_point):\n    if code_point < 128:\n        return [code_point]\n"
              "    if code_point < 2048:\n        return [code_point >> 6, code_point & 63]\n"
              "    if code_point < 65536:\n        return [code_point >> 12, code_point >> 6 & 63, code_point & 63]\n"
              "    return [code_point >> 18, code_point >> 12 & 63, code_point >> 6 & 63, code_point & 63]",
              "expected"),
             ("def utf8(code_point):\n    def rest(n):\n"
              "        return [0x80 | code_point >> 6 * k & 0x3F for k in range(n - 1, -1, -1)]\n"
              "    if code_point <= 0x80:\n        return [code_point]\n"
              "    if code_point <= 0x800:\n        return [0xC0 | code_point >> 6] + rest(1)\n"
              "    if code_point <= 0x10000:\n        return [0xE0 | code_point >> 12] + rest(2)\n"
              "    return [0xF0 | code_point >> 18] + rest(3)", "off by one"),
             ("def utf8(code_point):\n    if code_point < 0x80:\n        return [code_point]\n"
              "    if code_point < 0x800:\n        return [0xC0 | code_point >> 6, 0x80 | code_point & 0x3F]\n"
              "    return [0xE0 | code_point >> 12, 0x80 | code_point >> 6 & 0x3F, 0x80 | code_point & 0x3F]",
              "four bytes"),
             ("def utf8(code_point):\n    return [code_point % 256]", "cut off"),
             ("def utf8(code_point):\n    return chr(code_point).encode()", "a list of whole numbers"),
             ("def utf8(code_point):\n    return code_point / 256", "a list of whole numbers"),
             ("def utf8(code_point):\n    found = [code_point]", "missing")],
    "08_2": [("def encode(text, merges):\n    ids = list(text.encode())\n    i = 0\n    while i < len(ids) - 1:\n"
              "        if (ids[i], ids[i + 1]) in merges:\n"
              "            ids[i:i + 2] = [merges[ids[i], ids[i + 1]]]\n            i = 0\n"
              "        else:\n            i += 1\n    return ids", "leftmost"),
             ("def encode(text, merges):\n    ids = [ord(c) for c in text]\n    for pair, new in merges.items():\n"
              "        i = 0\n        while i < len(ids) - 1:\n            if (ids[i], ids[i + 1]) == pair:\n"
              "                ids[i:i + 2] = [new]\n            i += 1\n    return ids", "code points"),
             ("def encode(text, merges):\n    ids = list(text.encode())\n    for pair, new in merges.items():\n"
              "        for i in range(len(ids) - 1):\n            if (ids[i], ids[i + 1]) == pair:\n"
              "                ids[i:i + 2] = [new]\n                break\n    return ids", "at every place"),
             ("def encode(text, merges):\n    ids = list(text.encode())\n    for pair, new in merges.items():\n"
              "        i = 0\n        while i < len(ids):\n            if (ids[i], ids[i + 1]) == pair:\n"
              "                ids[i:i + 2] = [new]\n            i += 1\n    return ids", "IndexError"),
             ("def encode(text, merges):\n    ids = list(text.encode())\n"
              "    pair = min(zip(ids, ids[1:]), key=lambda p: merges.get(p, 1e9))\n    return ids",
              "nothing was merged"),
             ("def encode(text, merges):\n    return text.encode()", "a list of whole numbers"),
             ("def encode(text, merges):\n    ids = list(text.encode())", "missing")],
    "08_3": [("def recover_merges(ranks):\n    found = []\n    for token in sorted(ranks, key=ranks.get):\n"
              "        cuts = [(token[:i], token[i:]) for i in range(1, len(token))\n"
              "                if max(ranks.get(token[:i], 1e9), ranks.get(token[i:], 1e9)) < ranks[token]]\n"
              "        found += cuts[-1:]\n    return found", "the longer front"),
             ("def recover_merges(ranks):\n    found = []\n    for token in sorted(ranks, key=ranks.get):\n"
              "        cuts = [(token[:i], token[i:]) for i in range(1, len(token))\n"
              "                if max(ranks.get(token[:i], 1e9), ranks.get(token[i:], 1e9)) < ranks[token]]\n"
              "        found += cuts[:1]\n    return found", "the shorter front"),
             ("def recover_merges(ranks):\n    found = []\n    for token in sorted(ranks, key=ranks.get):\n"
              "        if len(token) > 1:\n"
              "            i = max(i for i in range(1, len(token)) if token[:i] in ranks)\n"
              "            found.append((token[:i], token[i:]))\n    return found", "longest known prefix"),
             ("def recover_merges(ranks):\n    found = []\n    for token in sorted(ranks, key=ranks.get):\n"
              "        parts = [bytes([b]) for b in token]\n"
              "        while len(parts) > 1:\n            joined = [p + q for p, q in zip(parts, parts[1:])]\n"
              "            i = min(range(len(joined)), key=lambda i: ranks.get(joined[i], 1e9))\n"
              "            parts[i:i + 2] = [joined[i]]\n"
              "        if len(token) > 1:\n            found.append(tuple(parts))\n    return found", "only one part"),
             ("def recover_merges(ranks):\n    found = []\n    for token in ranks:\n"
              "        parts = [bytes([b]) for b in token]\n"
              "        while len(parts) > 2:\n            joined = [p + q for p, q in zip(parts, parts[1:])]\n"
              "            i = min(range(len(joined)), key=lambda i: ranks.get(joined[i], 1e9))\n"
              "            parts[i:i + 2] = [joined[i]]\n"
              "        if len(token) > 1:\n            found.append(tuple(parts))\n    return found",
              "order of their rank"),
             ("def recover_merges(ranks):\n    return {t: (t[:-1], t[-1:]) for t in ranks if len(t) > 1}",
              "a list of pairs"),
             ("def recover_merges(ranks):\n    return [(t[:-1], t[-1:]) for t in sorted(ranks, key=ranks.get)[256:]]",
              "pair number"),
             ("def recover_merges(ranks):\n    return [ranks[token + b'!'] for token in ranks]", "KeyError"),
             ("def recover_merges(ranks):\n    found = [t for t in ranks if len(t) > 1]", "missing")],
    "08_4": [("def digits_in_threes():\n    return r'\\p{N}{1,3}|\\P{N}+'", "from the left"),
             ("def digits_in_threes():\n    return r'\\d{1,3}(?=(\\d{3})*(?!\\d))|[^\\d]+'", "(?:...)"),
             ("def digits_in_threes():\n    return r'\\d{1,3}(?=(?:\\d{3})*$)|[^\\d]+'", "not at $"),
             ("def digits_in_threes():\n    return r'\\d{1,3}(?=(?:\\d{3})*(?!\\d))'", "gets lost"),
             ("def digits_in_threes():\n    return r'\\d{1,3}(?=(?:\\d{3})*(?!\\d))|\\w+|\\s+'", "chunk number"),
             ("def digits_in_threes():\n    return ['1', '234', '567']", "a str"),
             ("def digits_in_threes():\n    return r'\\d{1,3}(?=(?:\\d{3})*(?!\\d)|[^\\d]+'", "stopped"),
             ("def digits_in_threes():\n    pattern = r'\\d'", "missing")],
    "08_5": [("def indented():\n    return r' ?\\w+| ?[^\\s\\w]+|\\s+(?!\\S)|\\s+'", "GPT-2's way"),
             ("def indented():\n    return r'\\n[ \\t]*| ?\\w+| ?[^\\s\\w]+|[ \\t]+'", "chunk number"),
             ("def indented():\n    return r'\\n+[ \\t]*|^[ \\t]+| ?\\w+| ?[^\\s\\w]+|[ \\t]+'",
              "they are wanted apart"),
             ("def indented():\n    return r'\\n+|^[ \\t]+| ?\\w+| ?[^\\s\\w]+|[ \\t]+'", "start of every line"),
             ("def indented():\n    return r'\\n+| ?\\w+| ?[^\\s\\w]+|[ \\t]+'", "indentation of one space"),
             ("def indented():\n    return r'(?m:^ +)|\\n+| ?\\w+| ?[^\\s\\w]+|[ \\t]+'", "mix spaces and tabs"),
             ("def indented():\n    return r'(\\n+)|((?m:^)[ \\t]+)| ?\\w+| ?[^\\s\\w]+'", "(?:...)"),
             ("def indented():\n    import regex\n    return regex.compile(r'\\n+|\\w+')", "a str"),
             ("def indented():\n    pattern = r'\\n+'", "missing")],
    "08_6": [("def worst(vocab, n):\n    merged = set(b''.join(t for t in vocab.values() if len(t) > 1))\n"
              "    for c in map(chr, range(0x10000, 0x110000)):\n"
              "        if not merged & set(c.encode()):\n            return n * c", "no two *neighbours*"),
             ("def worst(vocab, n):\n    tokens = set(vocab.values())\n"
              "    for c in map(chr, range(0x10FFFF, 0xFFFF, -1)):\n        b = c.encode()\n"
              "        if not any(b[i:i + 2] in tokens for i in range(3)):\n            return n * c",
              "its last byte merges"),
             ("def worst(vocab, n):\n    return 'z' * n", "one token a character"),
             ("def worst(vocab, n):\n    return '🥑' * n", "F0 9F"),
             ("def worst(vocab, n):\n    return '😀' * n", "merged to one token"),
             ("def worst(vocab, n):\n    return 'the' * n", "characters, it should have"),
             ("def worst(vocab, n):\n    return ('the' * n)[:n]", "40 are possible"),
             ("def worst(vocab, n):\n    return chr(0xD800) * n", "halves of a pair"),
             ("def worst(vocab, n):\n    return chr(0x50000).encode() * n", "a str"),
             ("def worst(vocab, n):\n    text = n * chr(0x50000)", "missing")],
    "08_7": [("def cost(messages, count, price_in, price_out, answer):\n    n = 1 + count('assistant\\n')\n"
              "    n += sum(2 + count(r + '\\n' + c + '\\n') for r, c in messages)\n"
              "    return (n * price_in + answer * price_out) / 1e6", "the newline after <|im_end|>"),
             ("def cost(messages, count, price_in, price_out, answer):\n"
              "    n = 1 + count('assistant') + count('\\n')\n"
              "    n += sum(2 + count(r + '\\n' + c) + count('\\n') for r, c in messages)\n"
              "    return (n * price_in + answer * price_out) / 1e6", "the last assistant"),
             ("def cost(messages, count, price_in, price_out, answer):\n"
              "    text = ''.join(f'<|im_start|>{r}\\n{c}<|im_end|>\\n' for r, c in messages)\n"
              "    n = count(text + '<|im_start|>assistant\\n')\n"
              "    return n * price_in / 1e6 + answer * price_out / 1e6", "counted as text"),
             ("def cost(messages, count, price_in, price_out, answer):\n"
              "    n = sum(2 + count(r + '\\n' + c) + count('\\n') for r, c in messages)\n"
              "    return (n * price_in + answer * price_out) / 1e6", "the prompt ends with"),
             ("def cost(messages, count, price_in, price_out, answer):\n    n = 1 + count('assistant\\n')\n"
              "    n += sum(2 + count(r + '\\n' + c) + count('\\n') for r, c in messages)\n"
              "    return (n * price_in + answer * price_out) / 1000", "not for a thousand"),
             ("def cost(messages, count, price_in, price_out, answer):\n    n = 1 + count('assistant\\n')\n"
              "    n += sum(2 + count(r) + count(c) + 2 * count('\\n') for r, c in messages)\n"
              "    return (n * price_in + answer * price_out) / 1e6", "count them together"),
             ("def cost(messages, count, price_in, price_out, answer):\n    n = 1 + count('assistant\\n')\n"
              "    n += sum(2 + count(m) for m in messages)\n"
              "    return (n * price_in + answer * price_out) / 1e6", "stopped"),
             ("def cost(messages, count, price_in, price_out, answer):\n    return [price_in, price_out]", "shape"),
             ("def cost(messages, count, price_in, price_out, answer):\n    n = len(messages)", "missing")],
    "08_8": [("def unstable(ids, vocab):\n    tail = vocab[ids[-1]]\n"
              "    return sorted(i for i, t in vocab.items() if t.startswith(tail) and t != tail)",
              "only the last token"),
             ("def unstable(ids, vocab):\n    tails = vocab[ids[-1]], b''.join(vocab[i] for i in ids[-2:])\n"
              "    return sorted(i for i, t in vocab.items() if t.startswith(tails))", "only if it is longer"),
             ("def unstable(ids, vocab):\n    tails = vocab[ids[-1]], b''.join(vocab[i] for i in ids[-2:])\n"
              "    return sorted(i for i, t in vocab.items() for tail in tails if tail in t and tail != t)",
              "expected"),
             ("def unstable(ids, vocab):\n    tails = vocab[ids[-1]], vocab[ids[-2]] + vocab[ids[-1]]\n"
              "    return sorted(i for i, t in vocab.items() if any(t.startswith(x) and t != x for x in tails))",
              "IndexError"),
             ("def unstable(ids, vocab):\n    tails = vocab[ids[-1]], b''.join(vocab[i] for i in ids[-2:])\n"
              "    return {i for i, t in vocab.items() if t.startswith(tails) and t not in tails}",
              "a list of whole numbers"),
             ("def unstable(ids, vocab):\n    text = {i: t.decode() for i, t in vocab.items()}\n"
              "    tails = text[ids[-1]], ''.join(text[i] for i in ids[-2:])\n"
              "    return sorted(i for i in text if any(text[i].startswith(x) and text[i] != x for x in tails))",
              "UnicodeDecodeError"),
             ("def unstable(ids, vocab):\n    found = sorted(vocab)", "missing")],
    "08_9": [("def best(word, logp):\n    total = 0\n    while word:\n"
              "        n = max(k for k in range(1, len(word) + 1) if word[:k] in logp)\n"
              "        total, word = total + logp[word[:n]], word[n:]\n    return total\n\n"
              "def least_needed(words, logp):\n    def score(gone):\n"
              "        rest = {t: p for t, p in logp.items() if t != gone}\n"
              "        return round(sum(n * best(w, rest) for w, n in words.items()), 9)\n"
              "    return min((t for t in logp if len(t) > 1), key=lambda t: (-score(t), t))", "longest token"),
             (BEST +
              "def least_needed(words, logp):\n    def score(gone):\n"
              "        rest = {t: p for t, p in logp.items() if t != gone}\n"
              "        return round(sum(best(w, rest) for w in words), 9)\n"
              "    return min((t for t in logp if len(t) > 1), key=lambda t: (-score(t), t))", "as often as it occurs"),
             (BEST +
              "def least_needed(words, logp):\n    def score(gone):\n"
              "        rest = {t: p for t, p in logp.items() if t != gone}\n"
              "        return round(sum(n * best(w, rest) for w, n in words.items()), 9)\n"
              "    return max((t for t in logp if len(t) > 1), key=score)", "not the first in the dictionary"),
             (BEST +
              "def least_needed(words, logp):\n    def score(gone):\n"
              "        rest = {t: p for t, p in logp.items() if t != gone}\n"
              "        return round(sum(n * best(w, rest) for w, n in words.items()), 9)\n"
              "    return min((t for t in logp if len(t) > 2), key=lambda t: (-score(t), t))", "only single ones stay"),
             ("def cut(word, logp):\n    if not word:\n        return 0, []\n"
              "    ways = [(k, cut(word[k:], logp)) for k in range(1, len(word) + 1) if word[:k] in logp]\n"
              "    return max((logp[word[:k]] + p, [word[:k], *rest]) for k, (p, rest) in ways)\n\n"
              "def least_needed(words, logp):\n    def loss(gone):\n"
              "        rest = {t: p for t, p in logp.items() if t != gone}\n"
              "        used = sum(n * cut(w, logp)[1].count(gone) for w, n in words.items())\n"
              "        return round(used * (logp[gone] - cut(gone, rest)[0]), 9)\n"
              "    return min((t for t in logp if len(t) > 1), key=lambda t: (loss(t), t))", "cut anew"),
             ("def least_needed(words, logp):\n"
              "    return min((t for t in logp if len(t) > 1), key=lambda t: (logp[t], t))", "least probable"),
             ("def least_needed(words, logp):\n    return min(logp.values())", "expected 'ewer'"),
             ("def least_needed(words, logp):\n    return words['the']", "KeyError"),
             ("def least_needed(words, logp):\n    found = min(logp)", "missing")],
    "09_1": [("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    layer(x).sum().backward()\n    return x.grad != 0", "y[place] alone"),
             ("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    torch.autograd.grad(layer(x).sum(), x)\n    return torch.ones_like(x) > 0", "True everywhere"),
             ("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    return torch.autograd.grad(layer(x)[place], x)[0]", "the gradient itself"),
             ("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    return torch.autograd.grad(layer(x)[place], x)[0] > 0", "not > 0"),
             ("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    return torch.autograd.grad(layer(x)[place], x)[0] == 0", "other way round"),
             ("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    return torch.autograd.grad(layer(x)[place[::-1]], x)[0] != 0", "in reverse"),
             ("def company(layer, x, place):\n    y = layer(x)\n    moved = x.clone()\n    moved[place] += 0.1\n"
              "    return layer(moved) != y", "depend on x[place]; asked"),
             ("def company(layer, x, place):\n    return layer(x + 0.1) != layer(x)", "does not depend on x[0, 0, 0"),
             ("import copy\ndef company(layer, x, place):\n    found = torch.zeros(x.shape, dtype=torch.bool)\n"
              "    found[place] = True\n    return found", "only place itself"),
             ("import copy\ndef company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    copy.deepcopy(layer)(x)[place].backward()\n    found = x.grad != 0\n"
              "    found[place] = False\n    return found", "itself is missing"),
             ("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    layer(x)[place].backward()\n    return x.grad != 0", "now have gradients"),
             ("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    return torch.autograd.grad(layer(x)[place], x)[0] != 0", "changes layer"),
             ("def company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n    layer.eval()\n"
              "    return torch.autograd.grad(layer(x)[place], x)[0] != 0", "your answer is False at"),
             ("import copy\ndef company(layer, x, place):\n    x.requires_grad_()\n"
              "    copy.deepcopy(layer)(x)[place].backward()\n    return x.grad != 0", "x now requires a gradient"),
             ("def company(layer, x, place):\n    x.requires_grad_()\n    layer(x)[place].backward()\n"
              "    return x.grad != 0", "ask copies of both"),
             ("import copy\ndef company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    copy.deepcopy(layer)(x)[list(place)].backward()\n    return x.grad != 0", "the whole tuple"),
             ("import copy\ndef company(layer, x, place):\n    x = x.detach().clone().requires_grad_()\n"
              "    copy.deepcopy(layer)(x)[place].backward()\n    return x.grad[place] != 0", "shape"),
             ("def company(layer, x, place):\n    return [place]", "the type"),
             ("def company(layer, x, place):\n    y = x[place]", "missing")],
    "09_2": [("def fold(norm, linear):\n    bias = linear.weight @ norm.bias\n"
              "    return linear.weight * norm.weight[:, None], bias + linear.bias", "on the rows"),
             ("def fold(norm, linear):\n    return linear.weight * norm.weight, linear.bias", "norm.bias is missing"),
             ("def fold(norm, linear):\n    b = 0 if linear.bias is None else linear.bias\n"
              "    return linear.weight * norm.weight, linear.weight @ norm.bias * 0 + b", "norm.bias is missing"),
             ("def fold(norm, linear):\n    return linear.weight * norm.weight, linear.weight @ norm.bias",
              "linear.bias is missing"),
             ("def fold(norm, linear):\n    b = 0 if linear.bias is None else linear.bias\n"
              "    return linear.weight * norm.weight, b + norm.bias", "through the linear layer"),
             ("def fold(norm, linear):\n    weight = linear.weight * norm.weight\n"
              "    b = 0 if linear.bias is None else linear.bias\n    return weight, weight @ norm.bias + b",
              "the gain does not multiply it"),
             ("def fold(norm, linear):\n    b = 0 if linear.bias is None else linear.bias\n"
              "    return linear.weight, linear.weight @ norm.bias + b", "gain is missing"),
             ("def fold(norm, linear):\n    b = 0 if linear.bias is None else linear.bias\n"
              "    return (linear.weight * norm.weight).T, linear.weight @ norm.bias + b", "transposed"),
             ("def fold(norm, linear):\n    b = 0 if linear.bias is None else linear.bias\n"
              "    return linear.weight * norm.weight[:, None], norm.bias + b", "on the rows"),
             ("def fold(norm, linear):\n    b = 0 if linear.bias is None else linear.bias\n"
              "    return linear.weight * norm.weight, linear.weight.T @ norm.bias + b", "without a transpose"),
             ("def fold(norm, linear):\n    linear.weight.data *= norm.weight\n"
              "    b = 0 if linear.bias is None else linear.bias\n"
              "    return linear.weight, linear.weight / norm.weight @ norm.bias + b", "changes linear"),
             ("def fold(norm, linear):\n    bias = linear.weight @ norm.bias + linear.bias\n"
              "    return linear.weight * norm.weight, bias",
              "may be None"),
             ("def fold(norm, linear):\n    b = 0 if linear.bias is None else linear.bias\n"
              "    return linear.weight * norm.weight, (linear.weight @ norm.bias + b)[:, None]", "size 1"),
             ("def fold(norm, linear):\n    return linear.weight * norm.weight", "two results"),
             ("def fold(norm, linear):\n    weight = linear.weight * norm.weight", "missing")],
    "09_3": [("def pooled(means, variances, counts):\n    mean = means.mean(0)\n"
              "    n = counts[:, None]\n    return mean, (n * (variances + (means - mean)**2)).sum(0) / n.sum()",
              "the mean of the means"),
             ("def pooled(means, variances, counts):\n    return means.mean(0), variances.mean(0)",
              "the mean of the means and of the variances"),
             ("def pooled(means, variances, counts):\n    mean = means.mean(0)\n"
              "    return mean, (variances + (means - mean)**2).mean(0)", "counts play no part"),
             ("def pooled(means, variances, counts):\n    share = (counts / counts.sum())[:, None]\n"
              "    return (share * means).sum(0), (share * variances).sum(0)", "the mean of the variances"),
             ("def pooled(means, variances, counts):\n    share = (counts / counts.sum())[:, None]\n"
              "    return (share * means).sum(0), variances.mean(0)", "plain mean of the variances"),
             ("def pooled(means, variances, counts):\n    share = (counts / counts.sum())[:, None]\n"
              "    mean = (share * means).sum(0)\n    return mean, (variances + (means - mean)**2).mean(0)",
              "counts play no part in the variance"),
             ("def pooled(means, variances, counts):\n    share = (counts / counts.sum())[:, None]\n"
              "    mean = (share * means).sum(0)\n"
              "    return mean, (share * variances).sum(0) + ((means - mean)**2).mean(0)", "spread of the means"),
             ("def pooled(means, variances, counts):\n    n = counts[:, None]\n"
              "    mean = (n * means).sum(0) / n.sum()\n"
              "    return mean, (n * (variances + (means - mean)**2)).sum(0)", "squares is not divided"),
             ("def pooled(means, variances, counts):\n    n = counts[:, None]\n    mean = (n * means).sum(0)\n"
              "    return mean, (n * (variances + (means - mean)**2)).sum(0)", "the means is not divided"),
             ("def pooled(means, variances, counts):\n    n = counts[:, None]\n"
              "    mean = (n * means).sum(0) / n.sum()\n"
              "    return mean, (n * (variances + (means - mean)**2)).sum(0) / (n.sum() - 1)", "less 1"),
             ("def pooled(means, variances, counts):\n    n = counts[:, None]\n"
              "    mean = (n * means).sum(0) / n.sum()\n"
              "    return mean, ((n - 1) * variances + n * (means - mean)**2).sum(0) / n.sum()", "(counts − 1) times"),
             ("def pooled(means, variances, counts):\n    share = (counts / counts.sum())[:, None]\n"
              "    mean = (share * means).sum(0)\n"
              "    return mean, (share * (variances + means**2)).sum(0) - mean**2", "near 1e8"),
             ("def pooled(means, variances, counts):\n    share = (counts / counts.sum())[:, None]\n"
              "    mean = (share * means).sum(0)\n    return mean, (share * (variances + means**2)).sum(0)",
              "the square of the mean has to go"),
             ("def pooled(means, variances, counts):\n    share = (counts / counts.sum())[:, None].float()\n"
              "    mean = (share * means.float()).sum(0)\n"
              "    return mean, (share * (variances + (means.float() - mean)**2)).sum(0)", "stay in float64"),
             ("def pooled(means, variances, counts):\n    share = (counts / counts.sum())[:, None]\n"
              "    mean = (share * means).sum(0)\n    means -= mean\n"
              "    return mean, (share * (variances + means**2)).sum(0)", "changes means"),
             ("def pooled(means, variances, counts):\n    share = counts / counts.sum()\n"
              "    return (share * means).sum(0), (share * variances).sum(0)", "counts[:, None]"),
             ("def pooled(means, variances, counts):\n    n = counts[:, None]\n"
              "    return (n * means).sum() / n.sum(), (n * variances).sum() / n.sum()", "summed too far"),
             ("def pooled(means, variances, counts):\n    return counts @ means / counts.sum()", "two results"),
             ("def pooled(means, variances, counts):\n    mean = means.mean(0)", "missing")],
    "09_4": [("def gelu_slope(x):\n    return (1 + torch.erf(x / math.sqrt(2))) / 2", "Φ(x) alone"),
             ("def gelu_slope(x):\n    return x * torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)", "x φ(x) alone"),
             ("def gelu_slope(x):\n    area = (1 + torch.erf(x / math.sqrt(2))) / 2\n"
              "    return area + x * torch.exp(-x**2 / 2)", "whole area under the bell"),
             ("def gelu_slope(x):\n    area = (1 + torch.erf(x)) / 2\n"
              "    return area + x * torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)", "not erf(x)"),
             ("def gelu_slope(x):\n    area = 1 + torch.erf(x / math.sqrt(2))\n"
              "    return area + x * torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)", "*half*"),
             ("def gelu_slope(x):\n    area = (1 + torch.erf(x / math.sqrt(2))) / 2\n"
              "    return area + torch.exp(-x**2 / 2) / math.sqrt(2 * math.pi)", "multiplied by x"),
             ("def gelu_slope(x):\n    area = (1 + torch.erf(x / math.sqrt(2))) / 2\n"
              "    return area + x * torch.exp(-x**2 / 2) / (2 * math.pi)", "the root is missing"),
             ("def gelu_slope(x):\n    area = (1 + torch.erf(x / math.sqrt(2))) / 2\n"
              "    return area + x * torch.exp(x**2 / 2) / math.sqrt(2 * math.pi)", "the minus"),
             ("def gelu_slope(x):\n    c = math.sqrt(2 / math.pi)\n    t = torch.tanh(c * (x + 0.044715 * x**3))\n"
              "    return 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * c * (1 + 3 * 0.044715 * x**2)", "with tanh"),
             ("def gelu_slope(x):\n    s = torch.sigmoid(1.702 * x)\n    return s + 1.702 * x * s * (1 - s)", "1.702"),
             ("def gelu_slope(x):\n    s = torch.sigmoid(x)\n    return s + x * s * (1 - s)", "SiLU"),
             ("def gelu_slope(x):\n    return F.gelu(x)", "GELU itself"),
             ("def gelu_slope(x):\n    return (F.gelu(x + 1e-3) - F.gelu(x - 1e-3)) / 2e-3", "almost"),
             ("def gelu_slope(x):\n    area = (1 + torch.erf(x / torch.tensor(2.0).sqrt())) / 2\n"
              "    return area + x * torch.exp(-x**2 / 2) / torch.tensor(2 * math.pi).sqrt()", "7 digits"),
             ("def gelu_slope(x):\n    x = x.clone().requires_grad_()\n    F.gelu(x).sum().backward()\n"
              "    return x.grad", "switches autograd off"),
             ("def gelu_slope(x):\n    return ((1 + torch.erf(x / math.sqrt(2))) / 2).sum()", "shape"),
             ("def gelu_slope(x):\n    area = torch.erf(x)", "missing")],
    "09_5": [("def gated_width(dim, hidden, multiple):\n    return multiple * max(1, round(8 * dim / 3 / multiple))",
              "8/3 dim"),
             ("def gated_width(dim, hidden, multiple):\n    return multiple * max(1, round(hidden / 2 / multiple))",
              "half is too little"),
             ("def gated_width(dim, hidden, multiple):\n    return multiple * max(1, round(hidden * 1.5 / multiple))",
              "smaller, 2/3"),
             ("def gated_width(dim, hidden, multiple):\n    return 2 * hidden // 3 // multiple * multiple",
              "rounded down"),
             ("def gated_width(dim, hidden, multiple):\n    h = int(2 * hidden / 3)\n"
              "    return multiple * ((h + multiple - 1) // multiple)", "rounded up"),
             ("def gated_width(dim, hidden, multiple):\n    return round(2 * hidden / 3)", "not rounded to a multiple"),
             ("def gated_width(dim, hidden, multiple):\n    return 2 * hidden / 3", "nor an int"),
             ("def gated_width(dim, hidden, multiple):\n    return round(2 * hidden / 3 / multiple)",
              "how many multiples"),
             ("def gated_width(dim, hidden, multiple):\n    h = 2 * hidden / 3\n"
              "    return float(multiple * max(1, round(h / multiple)))", "a float"),
             ("def gated_width(dim, hidden, multiple):\n    return multiple * round(2 * hidden / 3 / multiple)",
              "at least one multiple"),
             ("def gated_width(dim, hidden, multiple):\n    return multiple * max(1, round(hidden / multiple))",
              "the plain width"),
             ("def gated_width(dim, hidden, multiple):\n    return torch.tensor(hidden)", "the type"),
             ("def gated_width(dim, hidden, multiple):\n    return hidden * \"2\" / 3", "TypeError"),
             ("def gated_width(dim, hidden, multiple):\n    h = 2 * hidden / 3", "missing")],
    "09_6": [("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape, generator=generator) >= p)", "not scaled"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape, generator=generator) >= p) * (1 - p)", "not multiplied"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape, generator=generator) >= p) / p", "not by p"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape, generator=generator) < p) / p", "not to stay; and"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape, generator=generator) < p) / (1 - p)", "dropped, not to stay"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p)", "nan"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape, generator=generator) >= p) * (1 / (1 - p))", "ZeroDivisionError"),
             ("def drop(x, p, training, generator):\n    stay = torch.rand(x.shape, generator=generator) >= p\n"
              "    return x * stay / max(1 - p, 1e-9)", "in eval mode nothing is dropped"),
             ("def drop(x, p, training, generator):\n    stay = torch.rand(x.shape, generator=generator) >= p\n"
              "    return x * stay if training else x * (1 - p)", "scaled in eval mode, not in training"),
             ("def drop(x, p, training, generator):\n    x = x / (1 - p) if p < 1 else 0 * x\n"
              "    if training:\n        x = x * (torch.rand(x.shape, generator=generator) >= p)\n    return x",
              "only what stays in training"),
             ("def drop(x, p, training, generator):\n    if not training or p == 0:\n        return x\n"
              "    stay = torch.rand(len(x), generator=generator) >= p\n"
              "    stay = stay.view(-1, *[1] * (x.dim() - 1))\n    return x * stay / max(1 - p, 1e-9)", "row"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    stay = torch.rand(x.shape[:-1], generator=generator) >= p\n"
              "    return x * stay[..., None] / max(1 - p, 1e-9)", "a whole row"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape[1:], generator=generator) >= p) / (1 - p)", "same mask"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x * (torch.rand(x.shape) >= p) / max(1 - p, 1e-9)", "generator is not used"),
             ("def drop(x, p, training, generator):\n    return F.dropout(x, p, training)", "generator is not used"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    g = torch.Generator().manual_seed(42)\n"
              "    return x * (torch.rand(x.shape, generator=g) >= p) / max(1 - p, 1e-9)", "same for every generator"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    x[torch.rand(x.shape, generator=generator) < p] = 0\n    return x / max(1 - p, 1e-9)", "changes x"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    stay = (torch.rand(x.shape, generator=generator) >= p).float()\n"
              "    return x * stay / max(1 - p, 1e-9)", "type in training"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    stay = torch.rand(x.shape, generator=generator) >= 1 - (1 - p)**2\n"
              "    return x * stay / max(1 - p, 1e-9)", "zeros in training"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return x\n"
              "    return x[torch.rand(x.shape, generator=generator) >= p] / max(1 - p, 1e-9)", "shape in training"),
             ("def drop(x, p, training, generator):\n    if not training:\n        return\n    return x", "missing"),
             ("def drop(x, p, training, generator):\n    return x", "nothing is dropped in training"),
             ("def drop(x, p, training, generator):\n    stay = torch.rand(x.shape) >= p", "missing")],
    "09_7": [("def missing(size, kernel, stride, padding, dilation):\n    return stride - 1", "often it is less"),
             ("def missing(size, kernel, stride, padding, dilation):\n    return size % stride", "leaves out kernel"),
             ("def missing(size, kernel, stride, padding, dilation):\n"
              "    return (size - dilation * (kernel - 1) - 1) % stride", "padding plays no part"),
             ("def missing(size, kernel, stride, padding, dilation):\n"
              "    return (size + padding - dilation * (kernel - 1) - 1) % stride", "on both sides"),
             ("def missing(size, kernel, stride, padding, dilation):\n"
              "    return (size + 2 * padding - kernel) % stride", "dilation plays no part"),
             ("def missing(size, kernel, stride, padding, dilation):\n"
              "    return (size + 2 * padding - dilation * kernel) % stride", "not dilation · kernel"),
             ("def missing(size, kernel, stride, padding, dilation):\n"
              "    return (size + 2 * padding - dilation * (kernel - 1)) % stride", "off by one"),
             ("def missing(size, kernel, stride, padding, dilation):\n    reach = dilation * (kernel - 1) + 1\n"
              "    m = (size + 2 * padding - reach) // stride + 1\n    return (m - 1) * stride - 2 * padding + reach",
              "what it lacks"),
             ("def missing(size, kernel, stride, padding, dilation):\n    reach = dilation * (kernel - 1) + 1\n"
              "    return (size + 2 * padding - reach) // stride + 1", "that is m"),
             ("def missing(size, kernel, stride, padding, dilation):\n    reach = dilation * (kernel - 1) + 1\n"
              "    m = (size + 2 * padding - reach) // stride + 1\n"
              "    return (m - 1) * stride - 2 * padding + reach - size", "sign is wrong"),
             ("def missing(size, kernel, stride, padding, dilation):\n    reach = dilation * (kernel - 1) + 1\n"
              "    m = (size + 2 * padding - reach) / stride + 1\n"
              "    return size - ((m - 1) * stride - 2 * padding + reach)", "in some of them"),
             ("def missing(size, kernel, stride, padding, dilation):\n    reach = dilation * (kernel - 1) + 1\n"
              "    m = math.floor((size + 2 * padding - reach) / stride) + 1\n"
              "    return float(size - ((m - 1) * stride - 2 * padding + reach))", "a float"),
             ("def missing(size, kernel, stride, padding, dilation):\n"
              "    return str((size + 2 * padding - dilation * (kernel - 1) - 1) % stride)", "the type"),
             ("def missing(size, kernel, stride, padding, dilation):\n    return size % (stride - 1 - dilation[0])",
              "TypeError"),
             ("def missing(size, kernel, stride, padding, dilation):\n    m = size // stride", "missing")],
    "09_8": [("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if not align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "are exchanged"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "the way of True"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "the way of False"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = i * n / m\n        j = math.floor(s)\n        M[i, j] += 1 - (s - j)\n"
              "        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "the middle of a pixel"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = (i + 0.5) * n / m - 0.5\n        j = int(s)\n        M[i, j] += 1 - (s - j)\n"
              "        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "negative weights"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = (i + 0.5) * n / m - 0.5\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "takes −1 for the last"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n            s = i * n / m\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "between the places"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] = 1 - (s - j)\n        M[i, min(j + 1, n - 1)] = s - j\n    return M",
              "+= and not ="),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] += s - j\n        M[i, min(j + 1, n - 1)] += 1 - (s - j)\n    return M",
              "weights are exchanged"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        M[i, min(round(s), n - 1)] = 1\n"
              "    return M", "nearest place alone"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        M[i, math.floor(s)] = 1\n    return M",
              "on the left alone"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, j + 1] += s - j\n    return M",
              "the right neighbour of the last place"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n            s = i * (n - 1) / (m - 1)\n"
              "        else:\n            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "no m − 1 to divide by"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, min(j + 1, n - 1)] += s - j\n    return M.T",
              "transposed"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n)\n    for i in range(m):\n"
              "        if align_corners:\n            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n"
              "        else:\n            s = max((i + 0.5) * n / m - 0.5, 0.0)\n        j = math.floor(s)\n"
              "        M[i, j] += 1 - (s - j)\n        M[i, min(j + 1, n - 1)] += s - j\n    return M",
              "the type"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n, dtype=torch.double)\n"
              "    for i in range(m):\n        if align_corners:\n"
              "            s = i * (n - 1) / (m - 1) if m > 1 else 0.0\n        else:\n"
              "            s = max((i + 0.5) * m / n - 0.5, 0.0)\n        s = min(s, n - 1)\n"
              "        j = math.floor(s)\n        M[i, j] += 1 - (s - j)\n"
              "        M[i, min(j + 1, n - 1)] += s - j\n    return M", "not m/n"),
             ("def resize_matrix(n, m, align_corners):\n"
              "    return F.interpolate(torch.eye(n)[None], size=m, mode=\"nearest\")[0].T.double()",
              "expected"),
             ("def resize_matrix(n, m, align_corners):\n    return [[1.0] * n] * m", "the type"),
             ("def resize_matrix(n, m, align_corners):\n    M = torch.zeros(m, n)", "missing")],
    "11_1": [("def crop(images, dy, dx):\n    H, W = images.shape[1:3]\n"
              "    rows = (torch.arange(H) + dy).clamp(0, H - 1)\n"
              "    return images[:, rows[:, None], (torch.arange(W) + dx).clamp(0, W - 1)]",
              "the edge is repeated"),
             ("def crop(images, dy, dx):\n    return torch.roll(images, (-dy, -dx), (1, 2))",
              "comes in on the other"),
             ("def crop(images, dy, dx):\n    H, W = images.shape[1:3]\n"
              "    return images[:, (torch.arange(H) + dy)[:, None], torch.arange(W) + dx]",
              "−1 for the last place"),
             ("def crop(images, dy, dx):\n    def back(i, n):\n"
              "        return torch.where(i < 0, -1 - i, torch.where(i < n, i, 2 * n - 1 - i))\n"
              "    H, W = images.shape[1:3]\n"
              "    return images[:, back(torch.arange(H) + dy, H)[:, None], back(torch.arange(W) + dx, W)]",
              "doubled (−1 gives 0"),
             ("def crop(images, dy, dx):\n    def back(i, n):\n"
              "        return (n - 1) - ((n - 1) - i.abs()).abs()\n    H, W = images.shape[1:3]\n"
              "    return images[:, back(torch.arange(H) - dy, H)[:, None], back(torch.arange(W) - dx, W)]",
              "sign"),
             ("def crop(images, dy, dx):\n    def back(i, n):\n"
              "        return (n - 1) - ((n - 1) - i.abs()).abs()\n    S = images.shape[1]\n"
              "    return images[:, back(torch.arange(S) + dy, S)[:, None], back(torch.arange(S) + dx, S)]",
              "need not be square"),
             ("def crop(images, dy, dx):\n    x = images.permute(0, 3, 1, 2).float()\n"
              "    H, W, y, w = *x.shape[2:], abs(dy), abs(dx)\n"
              "    x = F.pad(x, (w, w, y, y), mode=\"reflect\")[:, :, y + dy:y + dy + H, w + dx:w + dx + W]\n"
              "    return x.permute(0, 2, 3, 1)", "the type"),
             ("def crop(images, dy, dx):\n    H, W = images.shape[1:3]\n"
              "    rows, columns = torch.arange(H) + dy, torch.arange(W) + dx\n"
              "    return images[:, rows.abs(), columns.abs()]", "shape"),
             ("def crop(images, dy, dx):\n    H, W = images.shape[1:3]\n"
              "    rows = (H - 1 - (H - 1 - (torch.arange(H) + dy).abs()).abs())[:, None]\n"
              "    images[:] = images[:, rows, W - 1 - (W - 1 - (torch.arange(W) + dx).abs()).abs()]\n"
              "    return images", "changes images"),
             ("def crop(images, dy, dx):\n    return images[:, dy:, dx:].tolist()", "list"),
             ("def crop(images, dy, dx):\n    rows = torch.arange(images.shape[1]) + dy", "missing")],
    "11_2": [("def whitening(patches, eps):\n"
              "    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))\n"
              "    return (vectors / (values + eps).sqrt()).T", "float64 has 16 digits"),
             ("def whitening(patches, eps):\n"
              "    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))\n"
              "    return (vectors / (values.clamp(min=0) + eps).sqrt()).T", "float64 has 16 digits"),
             ("def whitening(patches, eps):\n"
              "    _, S, Vh = torch.linalg.svd(patches.float(), full_matrices=False)\n"
              "    return (Vh / (S**2 / len(patches) + eps).sqrt()[:, None]).double()", "in their type"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return Vh / (S**2 + eps).sqrt()[:, None]", "divided by N"),
             ("def whitening(patches, eps):\n    values, vectors = torch.linalg.eigh(torch.cov(patches.T))\n"
              "    return (vectors / (values + eps).sqrt()).T", "second moments of the answers"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return Vh / (S**2 / len(patches) + eps)[:, None]", "*root*"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return Vh.T / (S**2 / len(patches) + eps).sqrt()", "one a row"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return Vh.T / (S**2 / len(patches) + eps).sqrt()[:, None]", "returns Vᵀ"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return Vh / ((S + eps) / len(patches)**0.5)[:, None]", "singular values themselves"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return Vh / (S / len(patches)**0.5 + eps)[:, None]", "not √λ + eps"),
             ("def whitening(patches, eps):\n    patches -= patches.mean(0)\n"
              "    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return Vh / (S**2 / len(patches) + eps).sqrt()[:, None]", "the mean was subtracted"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    patches /= 2\n    return Vh / (S**2 / len(patches) + eps).sqrt()[:, None]", "changes patches"),
             ("def whitening(patches, eps):\n    U, S, V = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return (V / (S**2 / len(patches) + eps).sqrt()).T", "returns Vᵀ"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches, full_matrices=False)\n"
              "    return 1 / (S**2 / len(patches) + eps).sqrt()", "shape"),
             ("def whitening(patches, eps):\n    U, S, Vh = torch.linalg.svd(patches)\n"
              "    return (Vh / S).numpy()", "a tensor"),
             ("def whitening(patches, eps):\n    found = torch.linalg.svd(patches)", "missing")],
    "11_3": [("def sides(n, epochs, generator):\n    return torch.rand(epochs, n, generator=generator) < 0.5",
              "anew every epoch"),
             ("def sides(n, epochs, generator):\n"
              "    return (torch.arange(epochs) % 2 == 1)[:, None].expand(epochs, n)", "that is not drawn"),
             ("def sides(n, epochs, generator):\n    first = torch.rand(1, generator=generator) < 0.5\n"
              "    return (torch.arange(epochs)[:, None] % 2 == 1).expand(epochs, n) ^ first",
              "one draw for all images: each"),
             ("def sides(n, epochs, generator):\n"
              "    first = (torch.rand(n // 10 + 1, generator=generator) < 0.5).repeat_interleave(10)[:n]\n"
              "    return first ^ (torch.arange(epochs)[:, None] % 2 == 1)", "share of neighbours"),
             ("def sides(n, epochs, generator):\n    first = torch.rand(n) < 0.5\n"
              "    return torch.stack([first if e % 2 == 0 else ~first for e in range(epochs)])", "not used"),
             ("def sides(n, epochs, generator):\n    generator = torch.Generator().manual_seed(1337)\n"
              "    first = torch.rand(n, generator=generator) < 0.5\n"
              "    return torch.stack([first ^ (e % 2 == 1) for e in range(epochs)])", "same for every generator"),
             ("def sides(n, epochs, generator):\n"
              "    first = torch.rand(n, generator=generator)[:, None] < 0.5\n"
              "    return first ^ (torch.arange(epochs) % 2 == 1)", "(n, epochs)"),
             ("def sides(n, epochs, generator):\n    first = torch.rand(n, generator=generator) < 0.5\n"
              "    return first.expand(epochs, n)", "keep their side"),
             ("def sides(n, epochs, generator):\n    first = torch.rand(n, generator=generator) < 0.25\n"
              "    return first ^ (torch.arange(epochs)[:, None] % 2 == 1)", "in the first epoch"),
             ("def sides(n, epochs, generator):\n    first = torch.randint(2, (n,), generator=generator)\n"
              "    return (first + torch.arange(epochs)[:, None]) % 2", "the type"),
             ("def sides(n, epochs, generator):\n    first = torch.rand(n, generator=generator) < 0.5\n"
              "    return [first, ~first] * (epochs // 2)", "the type"),
             ("def sides(n, epochs, generator):\n    first = torch.rand(n, generator) < 0.5\n    return first",
              "TypeError"),
             ("def sides(n, epochs, generator):\n    first = torch.rand(n, generator=generator) < 0.5", "missing")],
    "11_4": [("def swaps(norm):\n    return norm.weight > 0", "a weight of 0"),
             ("def swaps(norm):\n    return norm.bias >= 0", "the bias is added"),
             ("def swaps(norm):\n    return norm.running_mean >= 0", "the running mean"),
             ("def swaps(norm):\n    return torch.ones(norm.num_features, dtype=torch.bool)", "not in all"),
             ("def swaps(norm):\n    return norm.weight >= 0", "affine=False"),
             ("def swaps(norm):\n    scale = norm.weight / (norm.running_var + norm.eps).sqrt()\n"
              "    return scale >= 0", "affine=False"),
             ("def swaps(norm):\n    return norm.weight < 0", "other way round"),
             ("def swaps(norm):\n    return (norm.weight >= 0).all()", "one answer for each channel"),
             ("def swaps(norm):\n    return [w >= 0 for w in norm.weight.tolist()]", "the type"),
             ("def swaps(norm):\n    return norm.weight / (norm.running_var + norm.eps).sqrt()", "the type"),
             ("def swaps(norm):\n    if norm.weight is None:\n"
              "        return torch.zeros(norm.num_features, dtype=torch.bool)\n    return norm.weight >= 0",
              "which is positive: all True"),
             ("def swaps(norm):\n    norm.train()\n    if norm.weight is None:\n"
              "        return torch.ones(norm.num_features, dtype=torch.bool)\n    return norm.weight >= 0",
              "changes norm"),
             ("def swaps(norm):\n    scale = norm.weight", "missing")],
    "11_5": [("def orthogonal(G, steps):\n    X = G / G.norm()\n    for _ in range(steps):\n"
              "        X = 1.5 * X - 0.5 * X @ X.mT @ X\n    return X", "a norm of its own"),
             ("def orthogonal(G, steps):\n    X = G.clone()\n    for _ in range(steps):\n"
              "        X = 1.5 * X - 0.5 * X @ X.mT @ X\n    return X", "divided by its norm first"),
             ("def orthogonal(G, steps):\n    X = G / G.norm(dim=(-2, -1))\n    for _ in range(steps):\n"
              "        X = 1.5 * X - 0.5 * X @ X.mT @ X\n    return X", "keepdim"),
             ("def orthogonal(G, steps):\n    G /= G.norm(dim=(-2, -1), keepdim=True)\n"
              "    for _ in range(steps):\n        G = 1.5 * G - 0.5 * G @ G.mT @ G\n    return G", "changes G"),
             ("def orthogonal(G, steps):\n    G /= G.norm()\n    for _ in range(steps):\n"
              "        G = 1.5 * G - 0.5 * G @ G.mT @ G\n    return G", "changes G"),
             ("def orthogonal(G, steps):\n    return G", "as it came"),
             ("def orthogonal(G, steps):\n    X = G / G.norm(dim=(-2, -1), keepdim=True)\n"
              "    for _ in range(steps):\n        A = X @ X.mT\n"
              "        X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X\n    return X", "quintic"),
             ("def orthogonal(G, steps):\n    U, S, Vh = torch.linalg.svd(G, full_matrices=False)\n"
              "    return U @ Vh", "at once"),
             ("def orthogonal(G, steps):\n    X = G / torch.linalg.matrix_norm(G, 2, keepdim=True)\n"
              "    for _ in range(steps):\n        X = 1.5 * X - 0.5 * X @ (X.mT @ X)\n    return X", "Frobenius"),
             ("def orthogonal(G, steps):\n    X = F.normalize(G, dim=-1)\n    for _ in range(steps):\n"
              "        X = 1.5 * X - 0.5 * X @ (X.mT @ X)\n    return X", "for each row"),
             ("def orthogonal(G, steps):\n    tall = G.shape[-2] > G.shape[-1]\n    X = G.mT if tall else G\n"
              "    X = X / X.norm(dim=(-2, -1), keepdim=True)\n    for _ in range(steps):\n"
              "        X = 1.5 * X - 0.5 * (X @ X.mT) @ X\n    return X", "lying down"),
             ("def orthogonal(G, steps):\n    X = G / G.norm(dim=(-2, -1), keepdim=True)\n"
              "    for _ in range(steps + 1):\n        X = 1.5 * X - 0.5 * X @ X.mT @ X\n    return X", "too many"),
             ("def orthogonal(G, steps):\n    X = (G / G.norm(dim=(-2, -1), keepdim=True)).half()\n"
              "    for _ in range(steps):\n        X = 1.5 * X - 0.5 * X @ X.mT @ X\n    return X", "almost"),
             ("def orthogonal(G, steps):\n    for _ in range(steps):\n        X = 1.5 * G - 0.5 * G @ G.mT @ G",
              "missing")],
    "11_6": [("def waits(step):\n    found, item = [], torch.Tensor.item\n    def spy(t):\n"
              "        found.append(\"aten::_local_scalar_dense\")\n        return item(t)\n"
              "    torch.Tensor.item = spy\n    try:\n        step()\n    finally:\n"
              "        torch.Tensor.item = item\n    return found", "only .item() is found"),
             ("from torch.utils._python_dispatch import TorchDispatchMode\nclass Watch(TorchDispatchMode):\n"
              "    def __torch_dispatch__(self, func, types, args=(), kwargs=None):\n"
              "        found.append(func.name())\n        return func(*args, **(kwargs or {}))\nfound = []\n"
              "def waits(step):\n    found.clear()\n    with Watch():\n        step()\n"
              "    return [name for name in found if name in WAITS]", "NameError"),
             (WATCH + "def waits(step):\n    with Watch() as w:\n        step()\n"
              "    return [func.name() for func, args in w.seen if func.name() in WAITS]", "a mask is missing"),
             (WATCH + "def waits(step):\n    with Watch() as w:\n        step()\n"
              "    return [func.name() for func, args in w.seen if func.name() in WAITS | {\"aten::index.Tensor\"}]",
              "only if one of"),
             (WATCH + "def waits(step):\n    with Watch() as w:\n        step()\n"
              "    return [str(func) for func, args in w.seen if str(func) in WAITS]", "nothing is found"),
             (WATCH + "def masked(i):\n    return i.dtype == torch.bool\ndef waits(step):\n"
              "    with Watch() as w:\n        step()\n    return [func.name() for func, args in w.seen\n"
              "            if func.name() in WAITS or \"index.T\" in func.name() and any(map(masked, args[1]))]",
              "may be None"),
             (WATCH + "def masked(i):\n    return i is not None and i.dtype == torch.bool\n"
              "def waits(step):\n    with Watch() as w:\n        step()\n"
              "    found = [func.name() for func, args in w.seen\n"
              "             if func.name() in WAITS or \"index.T\" in func.name() and any(map(masked, args[1]))]\n"
              "    return sorted(found)", "order of time"),
             (WATCH + "def masked(i):\n    return i is not None and i.dtype == torch.bool\n"
              "def waits(step):\n    with Watch() as w:\n        step()\n"
              "    return {func.name() for func, args in w.seen\n"
              "            if func.name() in WAITS or \"index.T\" in func.name() and any(map(masked, args[1]))}",
              "a list of names"),
             (WATCH + "def masked(i):\n    return i is not None and i.dtype == torch.bool\n"
              "def waits(step):\n    step()\n    with Watch() as w:\n        step()\n"
              "    return [func.name() for func, args in w.seen\n"
              "            if func.name() in WAITS or \"index.T\" in func.name() and any(map(masked, args[1]))]",
              "called twice"),
             (WATCH + "def masked(i):\n    return i is not None and i.dtype == torch.bool\n"
              "def waits(step):\n    found = []\n    for _ in range(3):\n        with Watch() as w:\n"
              "            step()\n        found = [func.name() for func, args in w.seen\n"
              "                 if func.name() in WAITS or \"index.T\" in func.name() and any(map(masked, args[1]))]\n"
              "    return found", "number of calls"),
             (WATCH + "def waits(step):\n    with Watch() as w:\n        step()\n"
              "    return [func.name() for func, args in w.seen]", "all operators"),
             ("from torch.utils._python_dispatch import TorchDispatchMode\nclass Watch(TorchDispatchMode):\n"
              "    def __torch_dispatch__(self, func, types, args=(), kwargs=None):\n"
              "        func(*args, **(kwargs or {}))\ndef waits(step):\n    with Watch():\n        step()\n"
              "    return []", "must return"),
             (WATCH + "class Careless(Watch):\n"
              "    def __torch_dispatch__(self, func, types, args=(), kwargs=None):\n"
              "        self.seen.append((func, args))\n        return func(*args)\ndef masked(i):\n"
              "    return i is not None and i.dtype == torch.bool\ndef waits(step):\n"
              "    with Careless() as w:\n        step()\n    return [func.name() for func, args in w.seen\n"
              "            if func.name() in WAITS or \"index.T\" in func.name() and any(map(masked, args[1]))]",
              "kwargs are lost"),
             ("from torch.overrides import TorchFunctionMode\nclass Watch(TorchFunctionMode):\n"
              "    def __torch_function__(self, func, types, args=(), kwargs=None):\n"
              "        if func.__name__ in (\"item\", \"__bool__\"):\n"
              "            self.found.append(\"aten::_local_scalar_dense\")\n"
              "        return func(*args, **(kwargs or {}))\ndef waits(step):\n    with Watch() as w:\n"
              "        w.found = []\n        step()\n    return w.found", "the wait number"),
             ("def waits(step):\n    return ['aten::nonzero']", "wait number 1"),
             ("def waits(step):\n    return step.__code__.co_names['item']", "TypeError"),
             ("def waits(step):\n    found = step()", "missing")],
    "11_7": [("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = math.ceil(epochs * (n // batch))\n"
              "    return steps * (3 * flops * batch / rate + kernels * launch)", "not their sum"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = math.ceil(epochs * (n // batch))\n"
              "    return steps * max(flops * batch / rate, kernels * launch)", "3 times as much"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = math.ceil(epochs * n / batch)\n"
              "    return steps * max(3 * flops * batch / rate, kernels * launch)", "n // batch"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = epochs * (n // batch)\n"
              "    return steps * max(3 * flops * batch / rate, kernels * launch)", "whole number of steps"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = int(epochs * (n // batch))\n"
              "    return steps * max(3 * flops * batch / rate, kernels * launch)", "not down"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = math.ceil(epochs * (n // batch))\n"
              "    return max(steps * 3 * flops * batch / rate, kernels * launch)", "in *every* step"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = math.ceil(epochs * (n // batch))\n"
              "    return steps * max(3 * flops / rate, kernels * launch)", "one image"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = math.ceil(epochs * (n // batch))\n"
              "    return 1000 * steps * max(3 * flops * batch / rate, kernels * launch)", "1000 times"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n"
              "    steps = math.ceil(epochs * (n // batch))\n"
              "    return steps, max(3 * flops * batch / rate, kernels * launch)", "shape"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n    return f\"{n / batch} s\"",
              "expected numbers"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n    return sum(range(epochs))",
              "TypeError"),
             ("def run_seconds(n, epochs, batch, flops, rate, kernels, launch):\n    steps = n // batch",
              "missing")],
    "11_8": [("def price(train, recipe, top, names):\n    whole, without, found = train(recipe(top)), [], []\n"
              "    for name in names:\n        without.append(name)\n"
              "        found.append((name, whole - train(recipe(top, without=without))))\n"
              "    return sorted(found, key=lambda pair: -pair[1])", "pile up"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    gains = [(name, train(recipe(top, without=[name])) - whole) for name in names]\n"
              "    return sorted(gains, key=lambda pair: -pair[1])", "minus that without"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    gains = [(name, train(recipe(top, without=[name])) - whole) for name in names]\n"
              "    return sorted(gains, key=lambda pair: pair[1])", "positive where a rung helped"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    lost = [(name, whole - train(recipe(top, without=[name]))) for name in names]\n"
              "    return sorted(lost, key=lambda pair: pair[1])", "the dearest comes first"),
             ("def price(train, recipe, top, names):\n"
              "    lost = {name: train(recipe(top)) - train(recipe(top, without=[name])) for name in names}\n"
              "    return sorted(lost.items(), key=lambda pair: -pair[1])", "trained again"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    return sorted((name, whole - train(recipe(top, without=[name]))) for name in names)",
              "sorted by name"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    return [(name, whole - train(recipe(top, without=[name]))) for name in names]", "not sorted"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    return {name: whole - train(recipe(top, without=[name])) for name in names}", "a list of pairs"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    return sorted((whole - train(recipe(top, without=[n])), n) for n in names)[::-1]",
              "a list of pairs"),
             ("def price(train, recipe, top, names):\n"
              "    return [(name, train(top) - train(name)) for name in names]", "train takes a recipe"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    return [(name, whole - train(recipe(top, without=name))) for name in names]",
              "without is a list"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    lost = [(name, whole - train(recipe(name))) for name in names]\n"
              "    return sorted(lost, key=lambda pair: -pair[1])", "the pair number"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))\n"
              "    lost = {name: whole - train(recipe(top, without=[name])) for name in names}\n"
              "    names.sort(key=lambda name: -lost[name])\n    return [(name, lost[name]) for name in names]",
              "changes names"),
             ("def price(train, recipe, top, names):\n    whole = train(recipe(top))", "missing")],
}
