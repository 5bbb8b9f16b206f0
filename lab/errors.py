"""One error class for all that the lab can't do, so that commands can print its message without a traceback."""


class LabError(Exception):
    """Something the lab needs is missing or broken; the message says what, and how to get it."""
