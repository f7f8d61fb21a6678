"""A whole search, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from autotrack.errors import InvalidArgumentError
from autotrack.records import Page
from autotrack.tracking.values import checked_int

T = TypeVar("T")

PAGE = 10_000
"""Things that are asked for at a time."""


def all_pages(ask: Callable[[int, str | None], Page[T]], max_results: object = None) -> list[T]:
    """What a search finds, at most so much of it.

    Args:
        ask: Asks for a page of some size, behind the page of that token.
        max_results: How much at most; None for all.

    Raises:
        InvalidArgumentError: `max_results` is no positive whole number.
    """
    limit = None if max_results is None else checked_int(max_results, "max_results")
    if limit is not None and limit < 1:
        raise InvalidArgumentError("max_results", limit, "a positive number")
    found: list[T] = []
    token: str | None = None
    while limit is None or len(found) < limit:
        page = ask(PAGE if limit is None else min(PAGE, limit - len(found)), token)
        found += page
        token = page.token
        if not token:
            break
    return found
