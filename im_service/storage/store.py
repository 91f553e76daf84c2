"""A store: all faces on one engine. `SqliteStore` and `PostgresStore` are the two there are.

What each call guarantees stands with it in `faces/`; one contract suite (tests/contract/storage) holds both
engines to it. For every call:

* It is atomic: after a kill -9 at any moment either all of it is there or nothing. Its `notices` (messages
  that tell people of the change) are committed in the same transaction, and only if anything changed.
* When it returns, or `done` is called with results, it is durable (SQLite synchronous=FULL, PostgreSQL
  synchronous_commit=on). When it raises, nothing of it was stored.
* It never blocks the event loop. Changes queue for one writer that commits many in one transaction; reads
  run beside it and see everything that was acknowledged before they started.
* Errors are those of `errors.py`: StoreUnavailable (disk full, locked, server gone) may hit every call and
  is not repeated there.
* Times are arguments. Unknown users read as strangers; users are created when first named in a change.
"""

from abc import abstractmethod

from im_service.storage.faces.accounts import AccountBook
from im_service.storage.faces.events import EventStore
from im_service.storage.faces.groups import Groups, Requests
from im_service.storage.faces.housekeeping import Broadcasts, Housekeeping, Replays
from im_service.storage.faces.letters import DeadLetters
from im_service.storage.faces.messages import Inbox, MessageLog, ReceiptStore
from im_service.storage.faces.people import Accounts, RelationStore
from im_service.storage.faces.push import PushStore
from im_service.storage.faces.reviews import Reviews
from im_service.storage.faces.rooms import Rooms


class Store(
    MessageLog,
    Inbox,
    ReceiptStore,
    Groups,
    Requests,
    RelationStore,
    Accounts,
    AccountBook,
    PushStore,
    Rooms,
    Broadcasts,
    Replays,
    Reviews,
    EventStore,
    DeadLetters,
    Housekeeping,
):
    @abstractmethod
    async def start(self) -> None:
        """Open, migrate, start the writer. SchemaTooNew, SchemaError, StoreUnavailable."""

    @abstractmethod
    async def look(self) -> int:
        """How many migrations `start` would apply. Raises what it would; changes nothing."""

    @abstractmethod
    async def pinned(self) -> bool:
        """Whether `pin` was ever called. Before the start; raises and changes what `look` does."""

    @abstractmethod
    async def stop(self) -> None:
        """Commit what is queued, then close. Further calls raise StoreUnavailable."""
