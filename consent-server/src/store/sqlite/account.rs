//! Reading accounts: which devices one has, and what holds for it.
//!
//! Always from the database: a check that comes after an acknowledged refusal reads the commit that has it.

use consent_core::account::{AccountKey, Device, merge};
use consent_core::consent::Consent;
use consent_core::id::SubjectId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{AccountId, Site, StoreError, packed};

/// An account as the store knows it.
pub(super) type AccountHash = [u8; 32];

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt { table: "account_device", what: what.to_owned() }
}

/// The key of a site's accounts, if any subject was ever linked.
pub(super) fn key(db: &Connection, site: &Site) -> Result<Option<AccountKey>, StoreError> {
    let key = db
        .prepare_cached("SELECT key FROM account_key WHERE site = ?1")?
        .query_row([site.number], |row| row.get(0))
        .optional()?;
    Ok(key.map(AccountKey))
}

/// The devices of an account.
pub(super) fn devices(
    db: &Connection,
    site: &Site,
    account: &AccountHash,
) -> Result<Vec<(SubjectId, Device)>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT subject, says FROM account_device WHERE site = ?1 AND account = ?2")?;
    let mut rows = statement.query(params![site.number, account])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        let subject = SubjectId::from_bytes(row.get(0)?).ok_or_else(|| corrupt("not a subject"))?;
        let says = packed::to_device(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        devices.push((subject, says.ok_or_else(|| corrupt("what a device says cannot be read"))?));
    }
    Ok(devices)
}

/// What one linked subject says to its account.
pub(super) fn device(
    db: &Connection,
    site: &Site,
    account: &AccountHash,
    subject: &SubjectId,
) -> Result<Device, StoreError> {
    let says: Option<Vec<u8>> = db
        .prepare_cached("SELECT says FROM account_device WHERE site = ?1 AND account = ?2 AND subject = ?3")?
        .query_row(params![site.number, account, &subject.as_bytes()[..]], |row| row.get(0))
        .optional()?;
    let says = says.ok_or_else(|| corrupt("the account of a linked subject does not list it"))?;
    packed::to_device(&says).ok_or_else(|| corrupt("what a device says cannot be read"))
}

fn merged(db: &Connection, site: &Site, account: &AccountHash) -> Result<Consent, StoreError> {
    let devices = devices(db, site, account)?;
    Ok(merge(devices.iter().map(|(_, device)| device)))
}

/// What holds for an account.
pub(super) fn consent(db: &Connection, site: &Site, account: &AccountId) -> Result<Consent, StoreError> {
    match key(db, site)? {
        Some(key) => merged(db, site, &key.hash(account.reveal())),
        None => Ok(Consent::default()),
    }
}

/// What holds for the account that a subject is linked to, if it is.
pub(super) fn consent_of(db: &Connection, site: &Site, subject: &SubjectId) -> Result<Option<Consent>, StoreError> {
    let account: Option<Option<AccountHash>> = db
        .prepare_cached("SELECT account FROM subject WHERE site = ?1 AND id = ?2")?
        .query_row(params![site.number, &subject.as_bytes()[..]], |row| row.get(0))
        .optional()?;
    account.flatten().map(|account| merged(db, site, &account)).transpose()
}
