"""What a store can answer instead of a result. The type says whose fault it is."""


class StoreError(Exception):
    """Root of every error a store raises. Nothing of the operation was stored, but see StoreUnknown."""


class StoreConflict(StoreError):
    """The stored state no longer is what the caller assumed (a stale `rev`, an id already taken)."""


class StoreMissing(StoreError):
    """The group, room, message, request or queue element named does not exist (any more)."""


class StoreFull(StoreError):
    """A limit kept by the store would be passed (members of a group, elements of a queue)."""


class StoreUnavailable(StoreError):
    """The engine cannot commit now: disk full, file locked by another program, server gone, store closed.

    The operation may be tried again later.
    """


class StoreClosed(StoreUnavailable):
    """This process ends."""

    def __init__(self) -> None:
        super().__init__("the store is closed")


class StoreUnknown(StoreUnavailable):
    """The server was lost in the very moment of committing: the operation may have happened or not. A
    repeated send is told by its client_id.
    """


class SchemaError(StoreError):
    """A migration failed or was changed after it had been applied."""


class SchemaTooNew(SchemaError):
    """The data was written by a newer version of the program; this one refuses to touch it."""
