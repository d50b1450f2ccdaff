-- The random key under which a site's account ids are hashed, made with its first link. Never in the log, an export or an answer.
CREATE TABLE account_key (
    site INTEGER PRIMARY KEY REFERENCES site,
    key  BLOB NOT NULL
) STRICT;

-- The account that a subject is linked to, as HMAC(account_key, account id); null for none.
ALTER TABLE subject ADD COLUMN account BLOB;

-- The devices of each account, together, with what their explicit acts say: a check of an account reads nothing else.
CREATE TABLE account_device (
    site    INTEGER NOT NULL,
    account BLOB NOT NULL,
    subject BLOB NOT NULL,
    says    BLOB NOT NULL,                 -- empty: nothing
    PRIMARY KEY (site, account, subject)
) STRICT, WITHOUT ROWID;

-- Erasing a subject takes its link with it, and silences the account: what its other devices had said might be what the erased one
-- has revoked since, and nobody could tell any more. Nothing is granted to the account until one of them acts again. (INSERT OR REPLACE, which keeps a
-- subject, does not fire it: recursive_triggers is off.)
CREATE TRIGGER subject_erased AFTER DELETE ON subject WHEN OLD.account IS NOT NULL BEGIN
    DELETE FROM account_device WHERE site = OLD.site AND account = OLD.account AND subject = OLD.id;
    UPDATE account_device SET says = x'' WHERE site = OLD.site AND account = OLD.account;
END;
