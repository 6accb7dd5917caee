"""Why the plug-in doesn't do something."""


class RefusedError(Exception):
    """It can't be done; ``str(error)`` tells the user why and what to do, in their language."""
