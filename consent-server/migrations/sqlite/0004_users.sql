-- People who look after sites: officers and admins. Their id stands in the log's texts, their name nowhere else than here, so that
-- deleting the row deletes the name.
CREATE TABLE console_user (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,      -- what they log in with
    role        TEXT NOT NULL CHECK (role IN ('officer', 'admin')),
    password    TEXT NOT NULL,             -- argon2id, with its parameters and salt
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE console_user_site (
    user TEXT NOT NULL REFERENCES console_user ON DELETE CASCADE,
    site INTEGER NOT NULL REFERENCES site,
    PRIMARY KEY (user, site)
) STRICT, WITHOUT ROWID;

-- Who is logged in: SHA-256 of a cookie's 32 random bytes. No address and no browser is noted.
CREATE TABLE console_session (
    hash       BLOB PRIMARY KEY,
    user       TEXT NOT NULL REFERENCES console_user ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL            -- to the minute
) STRICT, WITHOUT ROWID;

CREATE INDEX console_session_user ON console_session (user);

-- A rotated key: the secret before the present one opens until then.
ALTER TABLE api_key ADD COLUMN previous_hash BLOB;
ALTER TABLE api_key ADD COLUMN previous_until INTEGER;

-- What officers, admins and commands did, without looking through the decisions: leaves without a subject have an opening of their own.
CREATE INDEX aside_of_acts ON aside (key) WHERE opening IS NOT NULL;
