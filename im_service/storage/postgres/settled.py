"""How far the numbers of rows are settled on PostgreSQL: nothing can be committed any more below.

Rows of the log and of the events draw their numbers from one sequence, in transactions of several processes
that commit in any order: a row may appear below others that were read long ago. So a reader goes no further
than the number N, found in two steps:

1. N = the last number that was given.
2. Who may still commit a row up to N? Whoever drew a number did it in an INSERT, and PostgreSQL locks the
table
   of an INSERT (RowExclusiveLock) before it evaluates anything, until the transaction is over for everybody:
   its rows become visible before its locks go. So the holders of such a lock, looked up after N was read,
   are all there can be. When none of them holds it any more, N is settled, and every snapshot taken from
   then on has all rows up to N that will ever be.

Sends pay nothing for it: no column, no index, no lock of ours, no statement. It holds for writers of any
version and by hand. Transactions that do not write to these tables (pg_dump, other databases of the cluster,
standbys' feedback) hold nobody up. Transaction numbers are not looked at: no wrap-around, no base to move.

A conversation's row is locked before its messages draw their numbers, so within it numbers rise with `seq`,
and with the order of commits.
"""

import asyncio

import asyncpg

_NUMBERED = "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM message_id_seq"
_WRITERS = (
    "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted"
    " AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND relation IN ('message'::regclass, 'event'::regclass)"
)


async def numbered(conn: asyncpg.Connection) -> int:
    """The last number that was given to a row of the log or of the events."""
    return int(await conn.fetchval(_NUMBERED))


class Settled:
    """What one process knows of it. The number only rises while the server is the same."""

    def __init__(self) -> None:
        self.number = 0
        self._mark = 0
        self._writers: set[str] = set()
        self._server: object = None
        self._one = asyncio.Lock()  # who holds locks is asked after the mark that it is about

    async def look(self, conn: asyncpg.Connection) -> int:
        """Outside of a transaction: each statement is to see what is there now. Rows up to the answer are in
        every snapshot taken from now on."""
        async with self._one:
            server = await conn.fetchval("SELECT pg_postmaster_start_time()")
            if server != self._server:  # another one may have lost numbers, and gives them again
                self._server, self.number = server, 0
                self._writers.clear()
            if self._writers:
                self._writers &= await self._who(conn)
            else:
                mark = await numbered(conn)
                if mark <= self.number:
                    return self.number
                writers = await self._who(conn)
                self._mark, self._writers = mark, writers
            if not self._writers:
                self.number = self._mark
            return self.number

    async def _who(self, conn: asyncpg.Connection) -> set[str]:
        return {row[0] for row in await conn.fetch(_WRITERS)}
