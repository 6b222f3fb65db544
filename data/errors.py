"""The errors that are shown to users as one line instead of a traceback."""


class UserError(Exception):
    """Something that the user can fix. The message is one line: what is wrong, and the way out."""

    exit_code = 2


class CorpusError(UserError):
    """The data cannot be used. The message is one line: which file, which row, and the way out."""
