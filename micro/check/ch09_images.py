"""The checks of notebook 09, images."""
import math  # noqa: F401 - the known mistakes use it

import torch
import torch.nn.functional as F

from micro.check.kinds import Apart, arguments, randint, shuffled, with_type

# -- 1: the positions that get lost --------------------------------------------------------------------

def missing(size, kernel, stride, padding, dilation):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) % stride


def convolutions(g):
    found = [(16, 3, 2, 1, 1), (17, 3, 2, 1, 1), (32, 8, 8, 0, 1), (9, 3, 1, 1, 1)]
    for k in range(12):
        kernel, stride, padding, dilation = randint(g, 2, 5), randint(g, 3, 7), randint(g, 1, 3), 1 + k % 3
        found.append((dilation * (kernel - 1) + randint(g, 5, 30), kernel, stride, padding, dilation))
    return found

ex09_1 = Apart(
    "09.1", answer=missing, make=convolutions, probe=with_type, by=("answer",),
    show=arguments("size", "kernel", "stride", "padding", "dilation"), mistakes={
        "size % stride leaves out kernel, padding and dilation": """
            def missing(size, kernel, stride, padding, dilation):
                return size % stride
            """,
        "the padding is missing: add 2 · padding to the size": """
            def missing(size, kernel, stride, padding, dilation):
                return (size - dilation * (kernel - 1) - 1) % stride
            """,
        "the dilation is missing: the kernel spans dilation · (kernel − 1) + 1 positions": """
            def missing(size, kernel, stride, padding, dilation):
                return (size + 2 * padding - kernel) % stride
            """,
        "the kernel spans dilation · (kernel − 1) + 1 positions, not dilation · kernel": """
            def missing(size, kernel, stride, padding, dilation):
                return (size + 2 * padding - dilation * kernel) % stride
            """,
        "off by one: the kernel spans dilation · (kernel − 1) + 1 positions": """
            def missing(size, kernel, stride, padding, dilation):
                return (size + 2 * padding - dilation * (kernel - 1)) % stride
            """,
        "that is the size that comes back without output_padding: subtract it from size": """
            def missing(size, kernel, stride, padding, dilation):
                reach = dilation * (kernel - 1) + 1
                m = (size + 2 * padding - reach) // stride + 1
                return (m - 1) * stride - 2 * padding + reach
            """,
        "that is m, the number of positions that F.conv2d makes": """
            def missing(size, kernel, stride, padding, dilation):
                reach = dilation * (kernel - 1) + 1
                return (size + 2 * padding - reach) // stride + 1
            """,
        "it is not always 0: m is rounded down, with // and not with /": """
            def missing(size, kernel, stride, padding, dilation):
                reach = dilation * (kernel - 1) + 1
                m = (size + 2 * padding - reach) / stride + 1
                return size - ((m - 1) * stride - 2 * padding + reach)
            """,
    })


# -- 2: resizing is a matrix ---------------------------------------------------------------------------

def resize_matrix(n, m, align_corners):
    units = torch.eye(n, dtype=torch.double)
    return F.interpolate(units[None], size=m, mode="linear", align_corners=align_corners)[0].T


def sizes(g):
    """Up and down in both ways, no source halfway between two positions; the last four are edges."""
    low, wide, high = 2 * randint(g, 1, 2) + 1, 2 * randint(g, 4, 5), 2 * randint(g, 3, 4) + 1
    inner = [(low, wide, True), (low, wide, False), (high, 4, True), (high, 4, False), (8 - low, 11, False)]
    return [*shuffled(g, inner), (high, 1, False), (1, low, False), (1, low, True), (high, 1, True)]

ex09_2 = Apart(
    "09.2", answer=resize_matrix, make=sizes, probe=with_type, by=("answer",), edges=4, tol=1e-9,
    show=arguments("n", "m", "align_corners"),
    advice=". (With m = 1 there is no m − 1 to divide by; the right neighbour of the last position is the last one)",
    mistakes={
        "the two conventions are swapped: with align_corners=True the first and last positions stay where they are": """
            def resize_matrix(n, m, align_corners):
                matrix = torch.zeros(m, n, dtype=torch.double)
                for i in range(m):
                    s = max((i + 0.5) * n / m - 0.5, 0.0) if align_corners else i * (n - 1) / max(m - 1, 1)
                    j = math.floor(s)
                    matrix[i, j] += 1 - (s - j)
                    matrix[i, min(j + 1, n - 1)] += s - j
                return matrix
            """,
        "with align_corners=False the middle of a pixel counts: (i + ½) · n/m − ½, not i · n/m": """
            def resize_matrix(n, m, align_corners):
                matrix = torch.zeros(m, n, dtype=torch.double)
                for i in range(m):
                    s = i * (n - 1) / max(m - 1, 1) if align_corners else i * n / m
                    j = math.floor(s)
                    matrix[i, j] += 1 - (s - j)
                    matrix[i, min(j + 1, n - 1)] += s - j
                return matrix
            """,
        "with align_corners=True the step is (n − 1)/(m − 1), from first to last position, not n/m": """
            def resize_matrix(n, m, align_corners):
                matrix = torch.zeros(m, n, dtype=torch.double)
                for i in range(m):
                    s = i * n / m if align_corners else max((i + 0.5) * n / m - 0.5, 0.0)
                    j = math.floor(s)
                    matrix[i, j] += 1 - (s - j)
                    matrix[i, min(j + 1, n - 1)] += s - j
                return matrix
            """,
        "left of position 0 there is nothing, but Python takes −1 for the last position: make a source below 0 equal "
        "to 0": """
            def resize_matrix(n, m, align_corners):
                matrix = torch.zeros(m, n, dtype=torch.double)
                for i in range(m):
                    s = i * (n - 1) / max(m - 1, 1) if align_corners else (i + 0.5) * n / m - 0.5
                    j = math.floor(s)
                    matrix[i, j] += 1 - (s - j)
                    matrix[i, min(j + 1, n - 1)] += s - j
                return matrix
            """,
        "there are negative weights, because a source is below 0: make it 0, there is nothing left of position 0": """
            def resize_matrix(n, m, align_corners):
                matrix = torch.zeros(m, n, dtype=torch.double)
                for i in range(m):
                    s = i * (n - 1) / max(m - 1, 1) if align_corners else (i + 0.5) * n / m - 0.5
                    j = int(s)
                    matrix[i, j] += 1 - (s - j)
                    matrix[i, min(j + 1, n - 1)] += s - j
                return matrix
            """,
        "the two weights are swapped: the nearer neighbour gets the larger one": """
            def resize_matrix(n, m, align_corners):
                matrix = torch.zeros(m, n, dtype=torch.double)
                for i in range(m):
                    s = i * (n - 1) / max(m - 1, 1) if align_corners else max((i + 0.5) * n / m - 0.5, 0.0)
                    j = math.floor(s)
                    matrix[i, j] += s - j
                    matrix[i, min(j + 1, n - 1)] += 1 - (s - j)
                return matrix
            """,
        "that takes only the nearest position: share the weight between the two neighbours": """
            def resize_matrix(n, m, align_corners):
                matrix = torch.zeros(m, n, dtype=torch.double)
                for i in range(m):
                    s = i * (n - 1) / max(m - 1, 1) if align_corners else max((i + 0.5) * n / m - 0.5, 0.0)
                    matrix[i, min(round(s), n - 1)] = 1
                return matrix
            """,
        "at the end both neighbours are the same position: add the two weights, with += and not =": """
            def resize_matrix(n, m, align_corners):
                matrix = torch.zeros(m, n, dtype=torch.double)
                for i in range(m):
                    s = i * (n - 1) / max(m - 1, 1) if align_corners else max((i + 0.5) * n / m - 0.5, 0.0)
                    j = math.floor(s)
                    matrix[i, j] = 1 - (s - j)
                    matrix[i, min(j + 1, n - 1)] = s - j
                return matrix
            """,
    })
