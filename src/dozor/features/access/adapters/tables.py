"""Tables of access. Times are UTC in microseconds since 1970, so that both databases give them back alike."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    event,
)

METADATA = MetaData()

PEOPLE = Table(
    "access_people",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("username", Text, nullable=False),
    Column("username_key", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("is_owner", Boolean, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("language", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("password_changed", BigInteger, nullable=False),
    Column("last_login", BigInteger),
    Column("password", Text, nullable=False),
    Column("totp", Text, nullable=False),
    Column("totp_pending", Text, nullable=False),
    Column("totp_step", BigInteger, nullable=False),
)
Index(
    "access_people_one_owner",
    PEOPLE.c.is_owner,
    unique=True,
    sqlite_where=PEOPLE.c.is_owner,
    postgresql_where=PEOPLE.c.is_owner,
)

RECOVERY_CODES = Table(
    "access_recovery_codes",
    METADATA,
    Column("person_id", Text, ForeignKey(PEOPLE.c.id, ondelete="CASCADE"), primary_key=True),
    Column("hash", Text, primary_key=True),
)

ROLES = Table(
    "access_roles",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("permissions", Text, nullable=False),
    Column("description", Text, nullable=False),
)

SESSIONS = Table(
    "access_sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("person_id", Text, ForeignKey(PEOPLE.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("console_hash", Text, unique=True),
)

REFRESH_TOKENS = Table(
    "access_refresh_tokens",
    METADATA,
    Column("hash", Text, primary_key=True),
    Column("session_id", Text, ForeignKey(SESSIONS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("is_used", Boolean, nullable=False),
)

KEYS = Table(
    "access_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("person_id", Text, ForeignKey(PEOPLE.c.id, ondelete="CASCADE"), index=True),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("seen", BigInteger),
    Column("hash", Text, nullable=False),
)

NOTES = Table(
    "access_notes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("text", Text, nullable=False),
)

AUDIT = Table(
    "access_audit",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("event", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_key", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
Index("access_audit_event", AUDIT.c.event, AUDIT.c.number)
Index("access_audit_actor", AUDIT.c.actor_key, AUDIT.c.number)
Index("access_audit_address", AUDIT.c.address, AUDIT.c.number)

APPEND_ONLY_SQLITE = (
    """
    CREATE TRIGGER access_audit_no_update BEFORE UPDATE ON access_audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
    """
    CREATE TRIGGER access_audit_no_delete BEFORE DELETE ON access_audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
    """
    CREATE TRIGGER access_audit_no_replace BEFORE INSERT ON access_audit
    WHEN NEW.number <= (SELECT max(number) FROM access_audit)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
)
APPEND_ONLY_POSTGRESQL = (
    """
    CREATE FUNCTION access_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$
    """,
    """
    CREATE TRIGGER access_audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON access_audit
    FOR EACH STATEMENT EXECUTE FUNCTION access_audit_append_only()
    """,
)
"""Neither is a lock against who owns the database; the chain of hashes is."""


def _execute(statements: tuple[str, ...], dialect: str) -> None:
    for statement in statements:
        ddl = DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
        event.listen(AUDIT, "after_create", ddl)


_execute(APPEND_ONLY_SQLITE, "sqlite")
_execute(APPEND_ONLY_POSTGRESQL, "postgresql")
