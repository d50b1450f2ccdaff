//! API keys.

use consent_core::time::UnixMillis;
use rusqlite::{Connection, params};

use crate::store::{Change, Registry, StoreError};

/// Does a change of keys inside the writer's transaction.
pub(super) fn change(db: &Connection, change: &Change, registry: &Registry, now: UnixMillis) -> Result<(), StoreError> {
    let changed = match change {
        Change::CreateKey(key) => {
            db.execute(
                "INSERT INTO api_key (id, role, label, hash, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    key.id,
                    key.role.as_str(),
                    key.label,
                    key.hash,
                    now.millis(),
                    key.expires_at.map(UnixMillis::millis)
                ],
            )?;
            for site in &key.sites {
                let site = registry
                    .site(site.as_str())
                    .ok_or_else(|| StoreError::Refused(format!("there is no site {site}")))?;
                db.execute("INSERT INTO api_key_site VALUES (?1, ?2)", params![key.id, site.number])?;
            }
            return Ok(());
        }
        Change::RevokeKey { id } => db.execute(
            "UPDATE api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            params![id, now.millis()],
        )?,
        Change::RotateKey { id, hash, until } => db.execute(
            "UPDATE api_key SET previous_hash = hash, previous_until = ?3, hash = ?2
             WHERE id = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?4)",
            params![id, hash, until.millis(), now.millis()],
        )?,
        _ => return Ok(()),
    };
    if changed == 0 {
        return Err(StoreError::Conflict("there is no such live key".to_owned()));
    }
    Ok(())
}
