"""Keeps the prepared mentions of a training run, so that epochs share them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evidence import PreparedMention
    from ..mentions import Mention

Prepare = Callable[[list["Mention"]], Iterable["PreparedMention"]]


class PreparedMentions:
    """A bounded store of prepared mentions, oldest out first.

    max_bytes (int): memory to hold.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._store: OrderedDict[Any, PreparedMention] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process and a copy start with nothing."""
        return type(self), (self.max_bytes,)

    def clear(self) -> None:
        """Forget everything."""
        self._store.clear()
        self.n_bytes = 0

    def get(
        self, mentions: Sequence["Mention"], prepare: Prepare
    ) -> list["PreparedMention"]:
        """Prepared mentions, made where they are not known yet.

        mentions (Sequence[Mention]): mentions.
        prepare (Prepare): makes new ones, in order.
        RETURNS (list[PreparedMention]): one a mention.
        """
        keys = [(m.text, m.context, m.context_start, m.images) for m in mentions]
        new = {k: m for k, m in zip(keys, mentions) if k not in self._store}
        fresh = dict(zip(new, prepare(list(new.values())))) if new else {}
        found = [fresh[key] if key in fresh else self._store[key] for key in keys]
        self._store.update(fresh)
        self.n_bytes += sum(prepared.n_bytes for prepared in fresh.values())
        while self.n_bytes > self.max_bytes and self._store:
            self.n_bytes -= self._store.popitem(last=False)[1].n_bytes
        return found
