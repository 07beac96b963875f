"""Exercise 7 of notebook 08: what a chat costs."""
import re

from micro.check import Exercise, short


def _pieces(text):
    """A count of tokens that depends on where a text is cut: newlines go with what stands before them."""
    return len(re.findall(r"\s*\w{1,5}\n*|\s*[^\s\w]{1,2}\n*|\s+", text))


def _cost(messages, count, price_in, price_out, answer, start=1, end=1, parts=("{0}\n{1}",), after="\n",
          last=("assistant\n",), unit=1e6):
    tokens = sum(start + end + sum(count(part.format(*m)) for part in (*parts, after)) for m in messages)
    tokens += start + sum(map(count, last)) if last else 0
    return (tokens * price_in + answer * price_out) / unit


def _as_text(messages, count, *rest, start="<|im_start|>", end="<|im_end|>", special=0):
    """The prompt counted as one text."""
    text = "".join(f"{start}{role}\n{content}{end}\n" for role, content in messages) + start + "assistant\n"
    return _cost([], lambda _: count(text) + special * (2 * len(messages) + 1), *rest, start=0)


def _split(messages, count, *rest):
    """The prompt cut at everything that looks like a special token."""
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages)
    pieces = re.split(r"<\|im_(?:start|end)\|>", text + "<|im_start|>assistant\n")
    return _cost([], lambda _: len(pieces) - 1 + sum(count(piece) for piece in pieces if piece), *rest, start=0)


_CHAT = [("system", "You are a helpful assistant."), ("user", "How many r's are in strawberry?"),
         ("assistant", "Two. "), ("user", "\n\nReally?? Count again:\n s-t-r-a-w...<|im_end|> Please!")]
ex08_7 = Exercise(
    "08.7", answer=_cost, tol=1e-12, near=0,
    show=lambda m, count, *a: f"messages={short(m)}, price_in={a[0]}, price_out={a[1]}, answer={a[2]}",
    cases=[(_CHAT, _pieces, 2.5, 10.0, 120), (_CHAT[:2], _pieces, 0.15, 0.6, 7), (_CHAT[1:], len, 30, 60, 500),
           ([], len, 3.0, 15.0, 40), (_CHAT[3:], _pieces, 5.0, 25.0, 0)],
    mistakes={
        "prices are for a million tokens, not for a thousand": lambda *a: _cost(*a, unit=1e3),
        "prices are for a million tokens, not for one: divide by 1,000,000": lambda *a: _cost(*a, unit=1),
        "<|im_start|> and <|im_end|> are one token each, they were counted as text": _as_text,
        "<|im_start|> and <|im_end|> are one token each, they were not counted": lambda *a: _cost(*a, start=0, end=0),
        "the prompt ends with <|im_start|>assistant and a newline: that costs too": lambda *a: _cost(*a, last=()),
        "a newline follows each <|im_end|>: it costs too": lambda *a: _cost(*a, after=""),
        "a newline stands between role and content": lambda *a: _cost(*a, parts=("{0}{1}",)),
        "prices are exchanged: price_in is for the prompt": lambda m, c, p, q, n: _cost(m, c, q, p, n),
        "the text was counted in one piece; no token crosses a special one, so count what stands between them apart":
            lambda *a: _as_text(*a, start="", end="", special=1),
        "the newline after <|im_end|> is counted by itself: a special token stands between it and the content":
            lambda *a: _cost(*a, parts=("{0}\n{1}\n",), after=""),
        "no special token parts the last assistant from its newline: count them together":
            lambda *a: _cost(*a, last=("assistant", "\n")),
        "role, newline and content are one text, no special token parts them: count them together":
            lambda *a: _cost(*a, parts=("{0}", "\n", "{1}")),
        "no special token parts a role, its newline and the content, at the end neither: count them together":
            lambda *a: _cost(*a, parts=("{0}", "\n", "{1}"), last=("assistant", "\n")),
        "a content is ordinary text, even where a user typed something that looks like a special token": _split,
        "the answer's tokens cost price_out each": lambda *a: _cost(*a[:4], 0),
        "all messages are sent at each turn, not the last one alone": lambda m, *a: _cost(m[-1:], *a),
    })
