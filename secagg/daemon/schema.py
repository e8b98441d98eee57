"""The tables of a journal, version by version.

Rules: an entry takes the schema one version further, as a whole or not at all (journal). Entries are only ever
appended, and nothing that an older version kept is lost. The first entry gives version `FIRST`: what 0.1 wrote before
it is refused, because it counted inputs by rules that attacks went around. Leaves to others: what is in the tables.
"""

FIRST = 3
"""The version that the first entry of `MIGRATIONS` gives to an empty file."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE outbox (place INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, receiver TEXT NOT NULL,"
        " kind TEXT NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL)",
        # In the order of handling, which is not that of a clock that may be set back: the oldest of a sender can be
        # found.
        "CREATE TABLE handled (place INTEGER PRIMARY KEY, sender TEXT NOT NULL, id BLOB NOT NULL,"
        " time INTEGER NOT NULL, UNIQUE (sender, id))",
        "CREATE INDEX handled_by_sender ON handled (sender, place)",
        "CREATE INDEX outbox_by_receiver ON outbox (receiver)",
    ),
)
