-- One web property, a tenant. `log_origin` is fixed when the site is created and never derived from an address.
CREATE TABLE site (
    site       INTEGER PRIMARY KEY CHECK (site BETWEEN 1 AND 8388607),
    name       TEXT NOT NULL UNIQUE,
    log_origin TEXT NOT NULL UNIQUE,
    log_key    TEXT NOT NULL,              -- the log's public key as a vkey; the private one is a file outside the database
    settings   TEXT NOT NULL               -- JSON: allowed origins, cookie name and domain
) STRICT;

-- The log: leaves are appended and never changed. key = site << 40 | index, so each site's records lie together in order.
CREATE TABLE record (
    key  INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL
) STRICT;

-- The size of each log and the checkpoint signed inside the commit that made it. Written with the records, in one transaction.
CREATE TABLE head (
    site        INTEGER PRIMARY KEY REFERENCES site,
    size        INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,          -- of the last record, unix milliseconds; never runs backwards
    checkpoint  TEXT NOT NULL
) STRICT;

-- The checkpoint that was shown to the world. Tiles, receipts and exports refer to it.
CREATE TABLE published (
    site         INTEGER PRIMARY KEY REFERENCES site,
    size         INTEGER NOT NULL,
    checkpoint   TEXT NOT NULL,
    published_at INTEGER NOT NULL
) STRICT;

-- Full tiles of the tree (C2SP tlog-tiles), written once when they fill. Partial ones are computed.
CREATE TABLE tile (
    site   INTEGER NOT NULL REFERENCES site,
    level  INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    root   BLOB NOT NULL,                  -- before the hashes, so that reading it does not read them
    hashes BLOB NOT NULL,
    UNIQUE (site, level, n)
) STRICT;

-- Which record has which id, and whose it is: outside the leaf, so that erasing can cut it. Ids are UUIDs of version 7 as a rule,
-- so this tree grows at its end.
CREATE TABLE record_id (
    site    INTEGER NOT NULL,
    id      BLOB NOT NULL,
    "index" INTEGER NOT NULL,
    subject BLOB,                          -- null: no subject, or erased
    content BLOB,                          -- keyed digest of the request, to tell a repetition from a conflict
    PRIMARY KEY (site, id)
) STRICT, WITHOUT ROWID;

-- The person behind the pseudonym: their key k, what holds for them (the fold of their records, kept so that a check is one look-up)
-- and which records are theirs. Erasing deletes the row. The one tree with random keys.
CREATE TABLE subject (
    site    INTEGER NOT NULL,
    id      BLOB NOT NULL,
    key     BLOB NOT NULL,
    consent BLOB NOT NULL,
    records BLOB NOT NULL,                 -- indexes as varints, each the difference to the one before
    PRIMARY KEY (site, id)
) STRICT, WITHOUT ROWID;

-- Texts whose HMACs are in a leaf, and the opening for leaves without a subject.
CREATE TABLE aside (
    key      INTEGER PRIMARY KEY,          -- of the record
    opening  BLOB,
    evidence TEXT,
    actor    TEXT,
    target   TEXT
) STRICT;

-- Notice versions as they were shown, kept for good.
CREATE TABLE notice (
    site         INTEGER NOT NULL REFERENCES site,
    version      INTEGER NOT NULL,
    sha256       BLOB NOT NULL,
    published_at INTEGER NOT NULL,
    canonical    TEXT NOT NULL,
    PRIMARY KEY (site, version)
) STRICT, WITHOUT ROWID;

-- API keys: shown once, kept as a hash. `site` is null for none: a key without sites opens nothing.
CREATE TABLE api_key (
    id         TEXT PRIMARY KEY,
    role       TEXT NOT NULL CHECK (role IN ('backend', 'officer', 'admin')),
    label      TEXT NOT NULL,
    hash       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key_site (
    key  TEXT NOT NULL REFERENCES api_key,
    site INTEGER NOT NULL REFERENCES site,
    PRIMARY KEY (key, site)
) STRICT, WITHOUT ROWID;
