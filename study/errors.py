"""The error that ends a command with one line and without a traceback, and what such a line may show of a URL."""

from data.errors import UserError


class StudyError(UserError):
    """A study cannot be run as requested. The message is one line: what is wrong, and the way out."""


def safe_url(url: str) -> str:
    """The URL with its passwords masked."""
    from sqlalchemy.engine import make_url  # here, since it would cost every command time
    from sqlalchemy.exc import SQLAlchemyError

    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        return "***"
    secret = {name: "masked" for name in parsed.query if "password" in name.lower()}
    return parsed.update_query_dict(secret).render_as_string(hide_password=True)
