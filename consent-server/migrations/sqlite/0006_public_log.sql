-- Each time that a log's key was replaced. `site.log_key` is the key that signs now; `old` the one before, `note` what both signed.
CREATE TABLE hand_over (
    site INTEGER NOT NULL REFERENCES site,
    size INTEGER NOT NULL,                 -- the largest tree that the old key signs; the record of it has this index
    at   INTEGER NOT NULL,                 -- unix milliseconds
    old  TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (site, size)
) STRICT, WITHOUT ROWID;

-- The newest published checkpoint that enough witnesses have cosigned, with their lines. It may be older than `checkpoint`.
ALTER TABLE published ADD COLUMN cosigned TEXT;
ALTER TABLE published ADD COLUMN cosigned_size INTEGER;
