"""What the commands refuse, in sentences meant for the person who typed them."""

from __future__ import annotations


class RequestError(ValueError):
    """The request cannot be carried out as it stands; the message says what to change."""


def first_line(error: BaseException) -> str:
    r"""What an error of another library says, without its further lines; its kind where it says nothing.

    Examples
    --------
    >>> first_line(OSError("no such key\nTraceback ...")), first_line(EOFError())
    ('no such key', 'EOFError')
    """
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__
