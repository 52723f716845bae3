"""People, roles, sessions, keys and the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# The audit trail takes new records alone.
_SQLITE_TRIGGERS = (
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
_POSTGRESQL_TRIGGERS = (
    """
    CREATE FUNCTION access_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$
    """,
    """
    CREATE TRIGGER access_audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON access_audit
    FOR EACH STATEMENT EXECUTE FUNCTION access_audit_append_only()
    """,
)


def upgrade() -> None:
    """Make the tables of access."""
    _people()
    _sessions()
    _keys()
    _audit()


def _people() -> None:
    op.create_table(
        "access_people",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("username_key", sa.Text, nullable=False, unique=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("is_owner", sa.Boolean, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("password_changed", sa.BigInteger, nullable=False),
        sa.Column("last_login", sa.BigInteger),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("totp", sa.Text, nullable=False),
        sa.Column("totp_pending", sa.Text, nullable=False),
        sa.Column("totp_step", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "access_people_one_owner",
        "access_people",
        ["is_owner"],
        unique=True,
        sqlite_where=sa.text("is_owner"),
        postgresql_where=sa.text("is_owner"),
    )
    op.create_table(
        "access_recovery_codes",
        sa.Column("person_id", sa.Text, _reference("access_people.id"), primary_key=True),
        sa.Column("hash", sa.Text, primary_key=True),
    )
    op.create_table(
        "access_roles",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
    )


def _sessions() -> None:
    op.create_table(
        "access_sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("person_id", sa.Text, _reference("access_people.id"), nullable=False, index=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False, index=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("console_hash", sa.Text, unique=True),
    )
    op.create_table(
        "access_refresh_tokens",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("session_id", sa.Text, _reference("access_sessions.id"), nullable=False, index=True),
        sa.Column("is_used", sa.Boolean, nullable=False),
    )


def _keys() -> None:
    op.create_table(
        "access_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("person_id", sa.Text, _reference("access_people.id"), index=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.Column("seen", sa.BigInteger),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_table(
        "access_notes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )


def _audit() -> None:
    op.create_table(
        "access_audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False, index=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("actor_key", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("actor_kind", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    for column in ("event", "actor_key", "address"):
        name = f"access_audit_{column.removesuffix('_key')}"
        op.create_index(name, "access_audit", [column, "number"])
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _SQLITE_TRIGGERS if is_sqlite else _POSTGRESQL_TRIGGERS:
        op.execute(statement)


def _reference(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")
