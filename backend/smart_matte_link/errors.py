"""What goes wrong between an editor and the backend."""

from __future__ import annotations


class LinkError(Exception):
    """
    A request failed; ``str(error)`` is what to show to the user.

    Attributes:
        code: one of messages.ERROR_CODES, or one that a newer backend knows.
        sentence: what happened.
        hint: what to do about it; may be empty.
        retry_after_s: with "busy": when it is worth another try.
    """

    def __init__(
        self, code: str, sentence: str, hint: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{sentence} {hint}".strip())
        self.code = code
        self.sentence = sentence
        self.hint = hint
        self.retry_after_s = retry_after_s


class ProtocolError(LinkError):
    """
    What the other side sent, or was to be sent, breaks the protocol.

    The code is "bad_message", "bad_geometry" or "version".
    """
