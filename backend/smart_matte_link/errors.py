"""What goes wrong between an editor and the backend."""

from __future__ import annotations


class ProtocolError(Exception):
    """
    What the other side sent, or was to be sent, breaks the protocol.

    Attributes:
        code: one of messages.ERROR_CODES, "bad_message", "bad_geometry" or "version".
        sentence: what is wrong, for the log and for the other side.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


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
