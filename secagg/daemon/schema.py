"""The tables of a journal, version by version.

Rules: an entry takes the schema one version further, as a whole or not at all (journal); entries are only ever
appended, and nothing that an older version kept is lost. Leaves to others: what is in the tables.
"""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE outbox (place INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, receiver TEXT NOT NULL,"
        " kind TEXT NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL)",
        "CREATE TABLE handled (sender TEXT NOT NULL, id BLOB NOT NULL, time INTEGER NOT NULL,"
        " PRIMARY KEY (sender, id)) WITHOUT ROWID",
    ),
    # In the order of handling, which is not that of a clock that may be set back: the oldest of a sender can be found.
    (
        "ALTER TABLE handled RENAME TO handled_before",
        "CREATE TABLE handled (place INTEGER PRIMARY KEY, sender TEXT NOT NULL, id BLOB NOT NULL,"
        " time INTEGER NOT NULL, UNIQUE (sender, id))",
        "INSERT INTO handled (sender, id, time) SELECT sender, id, time FROM handled_before ORDER BY time",
        "DROP TABLE handled_before",
        "CREATE INDEX handled_by_sender ON handled (sender, place)",
        "CREATE INDEX outbox_by_receiver ON outbox (receiver)",
    ),
)
