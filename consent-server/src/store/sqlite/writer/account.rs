//! Linking subjects to accounts, and keeping what they say to them.

use consent_core::account::{AccountKey, Device};
use consent_core::consent::Effect;
use consent_core::id::{RecordId, SubjectId};
use consent_core::record::{Action, Kind, Leaf};
use rusqlite::params;

use super::{Writer, packed, read};
use crate::random;
use crate::store::sqlite::account::{self, AccountHash};
use crate::store::tree::key;
use crate::store::{AccountId, LinkError, MAX_DEVICES, Site, StoreError};

impl Writer {
    /// Links a subject, which is a record of the log and of the subject: it changes what is answered about people.
    pub(super) fn link(
        &mut self,
        site: &Site,
        subject: &SubjectId,
        account: &AccountId,
        actor: &str,
    ) -> Result<(), LinkError> {
        let mut row = self.subject(site, subject)?.ok_or(LinkError::UnknownSubject)?;
        let account = self.account_key(site)?.hash(account.reveal());
        match row.account {
            Some(linked) if linked == account => return Ok(()),
            Some(_) => return Err(LinkError::OtherAccount),
            None => {}
        }
        self.make_room(site, &account)?;
        let device = read::device(&self.db, site, subject)?;
        let id = RecordId::at(self.clock.now(), &random::bytes());
        let opening = row.key.open(&id);
        let (index, _) = self.append(site.number, &site.log_origin, |recorded_at| {
            let actor = opening.commit(actor);
            let act = Leaf::of_act(Kind::Account, Action::Create, id, site.id.clone(), recorded_at, [0; 32], actor);
            Leaf { salt: None, subject: Some(opening.subject(&site.id, subject)), ..act }
        })?;
        row.account = Some(account);
        row.add(index);
        self.keep_record(site, &id, index, subject, &row, None)?;
        self.aside(key(site.number, index), None, None, actor, None)?;
        self.say(site, &account, subject, &device)?;
        Ok(())
    }

    fn account_key(&self, site: &Site) -> Result<AccountKey, StoreError> {
        if let Some(key) = account::key(&self.db, site)? {
            return Ok(key);
        }
        let key = AccountKey(random::bytes());
        self.db.execute("INSERT INTO account_key VALUES (?1, ?2)", params![site.number, key.0])?;
        Ok(key)
    }

    /// Refuses one device too many, unless some have nothing to say any more: those are let go.
    fn make_room(&self, site: &Site, account: &AccountHash) -> Result<(), LinkError> {
        let devices = account::devices(&self.db, site, account)?;
        if devices.len() < MAX_DEVICES {
            return Ok(());
        }
        let now = self.clock.now();
        let spent = devices.iter().filter(|(_, device)| device.is_spent(now)).map(|(subject, _)| subject);
        let mut freed = 0;
        for subject in spent {
            let subject = &subject.as_bytes()[..];
            self.db
                .prepare_cached("DELETE FROM account_device WHERE site = ?1 AND account = ?2 AND subject = ?3")
                .and_then(|mut statement| statement.execute(params![site.number, account, subject]))
                .and_then(|_| self.db.prepare_cached("UPDATE subject SET account = NULL WHERE site = ?1 AND id = ?2"))
                .and_then(|mut statement| statement.execute(params![site.number, subject]))
                .map_err(StoreError::from)?;
            freed += 1;
        }
        if freed == 0 { Err(LinkError::TooMany) } else { Ok(()) }
    }

    /// Takes one record more of a linked subject.
    pub(super) fn tell_account(
        &self,
        site: &Site,
        account: &AccountHash,
        subject: &SubjectId,
        leaf: &Leaf,
        effect: Effect,
    ) -> Result<(), StoreError> {
        let mut device = account::device(&self.db, site, account, subject)?;
        device.apply(&leaf.act().expect("a decision's leaf says what it did"), effect);
        self.say(site, account, subject, &device)
    }

    fn say(&self, site: &Site, account: &AccountHash, subject: &SubjectId, device: &Device) -> Result<(), StoreError> {
        self.db.prepare_cached("INSERT OR REPLACE INTO account_device VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            site.number,
            account,
            &subject.as_bytes()[..],
            packed::device(device)
        ])?;
        Ok(())
    }
}
