"""Queries of tantivy, put together from others."""

from collections.abc import Iterable
from typing import Any

import tantivy

PAIRS = 16
"""Pairs of words that are searched for one by one, at most."""


def any_of(queries: list[Any]) -> Any | None:
    """RETURNS (Any | None): a query for what at least one finds; None for no query."""
    if len(queries) < 2:
        return queries[0] if queries else None
    return tantivy.Query.boolean_query([should(query) for query in queries])


def both(query: Any, other: Any) -> Any:
    """RETURNS (Any): a query for what both find."""
    return tantivy.Query.boolean_query([must(query), must(other)])


def pairs_of(some: list[Any], others: list[Any]) -> Any:
    """some, others (list[Any]): queries, at least one each.
    RETURNS (Any): a query for what one of some and one of the others find, both. Two
        words at a time can skip most of what they have, two unions cannot.
    """
    if len(some) * len(others) > PAIRS:
        return both(any_of(some), any_of(others))
    return any_of([both(left, right) for left in some for right in others])


def preferring(query: Any, others: Iterable[Any]) -> Any:
    """RETURNS (Any): a query for what a query finds, ranked by others, too. One inside
    the other: side by side, all that the others find would be read."""
    for other in others:
        query = tantivy.Query.boolean_query([must(query), should(other)])
    return query


def should(query: Any) -> tuple[Any, Any]:
    """RETURNS (tuple[Any, Any]): a clause of a query, to rank by."""
    return tantivy.Occur.Should, query


def must(query: Any) -> tuple[Any, Any]:
    """RETURNS (tuple[Any, Any]): a clause of a query, to find by."""
    return tantivy.Occur.Must, query
