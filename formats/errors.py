"""What the commands refuse, in sentences meant for the person who typed them."""

from __future__ import annotations


class RequestError(ValueError):
    """The request cannot be carried out as it stands; the message says what to change."""
