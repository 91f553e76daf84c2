"""The store on PostgreSQL: several im processes may share one database."""

from im_service.storage.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
