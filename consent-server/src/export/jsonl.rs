//! JSON Lines that prove themselves: the format of [`consent_core::export`].

use std::io;

use consent_core::export::{Exporter, Header};
use consent_core::note::SigningKey;

use super::{CHUNK, ExportError, TimeRange, check_range, for_each};
use crate::store::{Site, Store, Stretch};

/// Writes the records of the stretch with all that proves them, in pieces of about 64 KiB.
///
/// `stretch` is what the store gave for the same `range`, `signer` the key of the site's log. Memory: the pieces, and four bytes for
/// each record.
///
/// # Errors
/// [`ExportError`]; then what was written has no last line and never verifies.
pub fn write(
    store: &impl Store,
    site: &Site,
    signer: &SigningKey,
    stretch: &Stretch,
    range: TimeRange,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), ExportError> {
    check_range(range)?;
    let mut buffer = Vec::with_capacity(CHUNK + CHUNK / 4);
    let mut drain = |buffer: &mut Vec<u8>, at_least: usize| -> io::Result<()> {
        if buffer.len() >= at_least {
            out(buffer)?;
            buffer.clear();
        }
        Ok(())
    };
    let header = Header::new(site.id.clone(), &site.log_origin, range, stretch.from, stretch.to);
    let mut exporter = Exporter::new(header, &mut buffer);
    for_each(store, site, stretch, |entry| {
        exporter.record(entry.index, &entry.leaf, &mut buffer)?;
        Ok(drain(&mut buffer, CHUNK)?)
    })?;
    let named: Vec<_> = exporter.notices().collect();
    for notice in named {
        let published = site.version(notice.version).filter(|published| published.sha256 == notice.sha256);
        let published = published.ok_or(ExportError::Notice(notice.version))?;
        exporter.notice(notice, published.notice.canonical(), &mut buffer)?;
        drain(&mut buffer, CHUNK)?;
    }
    while exporter.locators(&mut buffer) {
        drain(&mut buffer, CHUNK)?;
    }
    exporter.finish(&stretch.checkpoint, &stretch.proof, signer, &mut buffer)?;
    Ok(drain(&mut buffer, 1)?)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use consent_core::decision::{Decision, Layer, Method, Signals};
    use consent_core::export::{Problem, Report, Verifier};
    use consent_core::id::{ChoiceId, Language, RecordId, SiteId};
    use consent_core::note::VerifyingKey;
    use consent_core::notice::Draft;
    use consent_core::record::Action;
    use consent_core::time::UnixMillis;

    use super::*;
    use crate::app::{self, App};
    use crate::store::{Actor, Change, NewDecision, Signers, SiteSettings};

    /// A site with a notice and so many decisions, every second one a grant.
    pub(in crate::export) fn site_with(decisions: u32) -> (tempfile::TempDir, App, Arc<Site>) {
        let folder = tempfile::tempdir().unwrap();
        let app = app::open(folder.path()).unwrap();
        let id = SiteId::parse("demo").unwrap();
        let settings = SiteSettings {
            origins: vec!["https://demo.example".to_owned()],
            cookie_name: "consent".to_owned(),
            cookie_domain: None,
            frames: false,
        };
        let draft: Draft = toml::from_str(include_str!("../../notices/demo-notice.toml")).unwrap();
        let notice = Box::new(draft.publish(None, &[], false).unwrap());
        let site = run(async {
            let log_origin = "demo.example/log".to_owned();
            app.store
                .change(Change::CreateSite { id: id.clone(), log_origin, settings }, Actor::Machine("test"))
                .await
                .unwrap();
            app.store
                .change(Change::PublishNotice { site: id, notice, material: vec![] }, Actor::Machine("test"))
                .await
                .unwrap();
            let site = Arc::clone(app.store.registry().site("demo").unwrap());
            for number in 0..decisions {
                app.store.decide(&site, decision(number, app.clock.now())).await.unwrap();
            }
            app.store.publish(&site).await.unwrap();
            site
        });
        (folder, app, site)
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    fn decision(number: u32, now: UnixMillis) -> NewDecision {
        let grants = number.is_multiple_of(2);
        let mut random = [0; 16];
        random[..4].copy_from_slice(&number.to_be_bytes());
        NewDecision {
            decision: Decision {
                id: RecordId::from_random(random),
                prev: None,
                method: Method::Save,
                layer: Layer::Settings,
                granted: if grants { vec![ChoiceId::parse("statistics").unwrap()] } else { vec![] },
                decided_at: now,
                signals: Signals::default(),
                on_behalf: false,
            },
            subject: None,
            notice: 1,
            language: Language::parse("en").unwrap(),
            control: None,
            widget: None,
            behalf: None,
        }
    }

    pub(in crate::export) fn exported(app: &App, site: &Site, range: TimeRange) -> Result<Vec<u8>, ExportError> {
        let stretch = app.store.stretch(site, range.0, range.1)?;
        let mut file = Vec::new();
        let signer = app.signers.signer(site.keys()?.current())?;
        write(&*app.store, site, &signer, &stretch, range, &mut |chunk| {
            file.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(file)
    }

    fn verify(file: &[u8], site: &Site) -> Result<Report, Problem> {
        let mut verifier = Verifier::new(VerifyingKey::parse(&site.log_key).unwrap(), None);
        file.split_inclusive(|&byte| byte == b'\n').try_for_each(|line| verifier.line(line))?;
        verifier.finish()
    }

    #[test]
    fn what_the_store_has_is_exported_with_its_proof() {
        let (_folder, app, site) = site_with(300);
        let report = verify(&exported(&app, &site, (None, None)).unwrap(), &site).unwrap();
        assert_eq!((report.decisions(), report.records()), (300, 302));
        assert_eq!(report.notices, [1]);

        let first = report.first_recorded_at.unwrap();
        let last = report.last_recorded_at.unwrap();
        let middle = UnixMillis::new(i64::midpoint(first.millis(), last.millis()));
        let later = UnixMillis::new(last.millis() + 1);
        for range in [(Some(middle), None), (None, Some(middle)), (Some(middle), Some(middle)), (Some(later), None)] {
            let report = verify(&exported(&app, &site, range).unwrap(), &site).unwrap();
            assert_eq!(report.range, range);
        }
        let backwards = exported(&app, &site, (Some(later), Some(first)));
        assert!(matches!(backwards, Err(ExportError::Range)));
    }

    #[test]
    fn what_was_recorded_since_is_not_in_an_export() {
        let (_folder, app, site) = site_with(10);
        let range = (None, None);
        let access = Change::Access { site: site.id.clone(), action: Action::Export, target: "all records".to_owned() };
        run(app.store.change(access, Actor::Machine("test"))).unwrap();
        assert_eq!(verify(&exported(&app, &site, range).unwrap(), &site).unwrap().records(), 12);
        run(app.store.publish(&site)).unwrap();
        assert_eq!(verify(&exported(&app, &site, range).unwrap(), &site).unwrap().records(), 13);
    }

    #[test]
    fn a_failed_write_ends_the_export() {
        let (_folder, app, site) = site_with(300);
        let stretch = app.store.stretch(&site, None, None).unwrap();
        let signer = app.signers.signer(site.keys().unwrap().current()).unwrap();
        let mut calls = 0;
        let written = write(&*app.store, &site, &signer, &stretch, (None, None), &mut |_| {
            calls += 1;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(written, Err(ExportError::Write(_))));
        assert_eq!(calls, 1);
    }
}
