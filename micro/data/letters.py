"""The data set of next letters that notebook 03 builds from the names."""
import torch

stoi = {c: i for i, c in enumerate(".abcdefghijklmnopqrstuvwxyz")}


def next_letter_examples(words, block_size=3):
    """Every context of `block_size` letters in the words, and the letter that comes next.

    Returns X (n, block_size) and Y (n,), both long: a = 1 ... z = 26, and 0 for the dot that stands before a word and
    ends it. A word of k letters gives k + 1 examples. KeyError for any other character.

    >>> X, Y = next_letter_examples(["ab"], block_size=2)
    >>> X.tolist(), Y.tolist()
    ([[0, 0], [0, 1], [1, 2]], [1, 2, 0])
    """
    X, Y = [], []
    for word in words:
        context = [0] * block_size
        for c in word + ".":
            X.append(context)
            Y.append(stoi[c])
            context = context[1:] + [stoi[c]]  # the window moves on by one
    return torch.tensor(X), torch.tensor(Y)
