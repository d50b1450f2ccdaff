//! The contract of [`Store`]: each fact is a function of any store, run on every kind there is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use consent_core::checkpoint::Checkpoint;
use consent_core::consent::{Consent, Effect, Status};
use consent_core::decision::{Control, Decision, DecisionError, Layer, Method, Signals, Source};
use consent_core::id::{CategoryId, ChoiceId, Language, RecordId, SiteId, SubjectId};
use consent_core::merkle::{Hash, RangeVerifier, leaf_hash, verify_inclusion};
use consent_core::note::VerifyingKey;
use consent_core::notice::Draft;
use consent_core::record::{Action, Clock as Odd, Kind, Leaf, Opening};
use consent_core::tile::{Tile, tiles_for};
use consent_core::time::UnixMillis;
use consent_server::clock::Clock;
use consent_server::keys::{Role, mint};
use consent_server::signers::FileSigners;
use consent_server::store::sqlite::Sqlite;
use consent_server::store::{
    Actor, Behalf, Change, DecideError, Earlier, Entry, NewDecision, Recorded, Site, SiteSettings, Store, StoreError,
    UserUpdate,
};
use consent_server::users::{PasswordHash, User};
use consent_tests::{DAY, FixedClock, Tampered, check_log, consent, new_id, new_subject, root_of};
use tempfile::TempDir;

/// When each of these stories begins: long ago, so that no clock of a real process is behind.
pub(crate) const START: i64 = 1_750_000_000_000;

/// A folder with a store in it, and the clock that the store is handed.
pub(crate) struct Bed {
    folder: TempDir,
    clock: Arc<FixedClock>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::at(START)
    }

    /// With a clock that stands at this time.
    pub(crate) fn at(millis: i64) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(FixedClock::at(millis)) }
    }

    /// Where the clock stands.
    pub(crate) fn now(&self) -> i64 {
        self.clock.millis()
    }

    /// Puts the clock to this time.
    pub(crate) fn set(&self, millis: i64) {
        self.clock.set(millis);
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets so many milliseconds pass.
    pub(crate) fn advance(&self, millis: i64) {
        self.clock.advance(millis);
    }

    fn try_open(&self) -> Result<Sqlite, StoreError> {
        let signers = Arc::new(FileSigners::new(self.path().join("keys")));
        Sqlite::open(self.path(), Arc::clone(&self.clock) as Arc<dyn Clock>, signers)
    }

    pub(crate) fn open(&self) -> Sqlite {
        self.try_open().unwrap()
    }

    /// Makes the database what it was when it was closed and read.
    fn put_back(&self, database: &[u8]) {
        for beside in ["consent.db-wal", "consent.db-shm"] {
            drop(std::fs::remove_file(self.path().join(beside)));
        }
        std::fs::write(self.path().join("consent.db"), database).unwrap();
    }

    pub(crate) fn rows(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path().join("consent.db")).unwrap()
    }
}

pub(crate) fn draft() -> Draft {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../consent-server/notices/demo-choice.toml"].iter().collect();
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn name(text: &str) -> SiteId {
    SiteId::parse(text).unwrap()
}

/// Makes a site with a notice that has `functional`, `statistics` and `marketing`.
pub(crate) async fn make_site(store: &impl Store, id: &str) -> Arc<Site> {
    let settings = SiteSettings {
        origins: vec!["https://a.example".to_owned()],
        cookie_name: "consent".to_owned(),
        cookie_domain: None,
        frames: false,
    };
    let create = Change::CreateSite { id: name(id), log_origin: format!("a.example/{id}"), settings };
    store.change(create, Actor::Machine("a test")).await.unwrap();
    let notice = Box::new(draft().publish(None, &[], false).unwrap());
    store
        .change(Change::PublishNotice { site: name(id), notice, material: vec![] }, Actor::Machine("a test"))
        .await
        .unwrap();
    site(store, id)
}

pub(crate) fn site(store: &impl Store, id: &str) -> Arc<Site> {
    store.registry().site(id).cloned().unwrap()
}

/// A decision of a known subject, from the settings.
pub(crate) fn decision(granted: &[&str], at: i64) -> NewDecision {
    let granted = granted.iter().map(|id| ChoiceId::parse(id).unwrap()).collect();
    NewDecision {
        decision: Decision {
            id: new_id(),
            prev: None,
            method: Method::Save,
            layer: Layer::Settings,
            granted,
            decided_at: UnixMillis::new(at),
            signals: Signals::default(),
            on_behalf: false,
        },
        subject: Some(new_subject()),
        notice: 1,
        language: Language::parse("en").unwrap(),
        control: None,
        widget: None,
        behalf: None,
    }
}

/// The next decision of the same subject by the same browser.
pub(crate) fn after(before: &NewDecision, granted: &[&str], at: i64) -> NewDecision {
    let mut next = decision(granted, at);
    next.subject = before.subject;
    next.decision.prev = Some(before.decision.id);
    next
}

/// All leaves up to `size`.
fn leaves(store: &impl Store, site: &Site, size: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    store
        .entries(site, 0, size, &mut |entry| {
            entries.push(entry);
            true
        })
        .unwrap();
    entries
}

/// What holds for a subject.
fn held(store: &impl Store, site: &Site, subject: &SubjectId) -> Option<Consent> {
    store.consent(site, subject).unwrap().map(|consent| Consent::clone(&consent))
}

async fn published(store: &impl Store, site: &Arc<Site>) -> Checkpoint {
    let note = store.publish(site).await.unwrap();
    let (size, kept) = store.checkpoint(site).unwrap().unwrap();
    assert_eq!(kept, note, "what is answered is what is kept");
    let checkpoint = Checkpoint::open(&note, &VerifyingKey::parse(&site.log_key).unwrap()).unwrap();
    assert_eq!(checkpoint.size, size);
    checkpoint
}

/// Records so many decisions, a few hundred at a time.
pub(crate) async fn fill(store: &Arc<impl Store>, site: &Arc<Site>, count: usize, at: i64) {
    for chunk in (0..count).collect::<Vec<_>>().chunks(200) {
        let jobs: Vec<_> = chunk
            .iter()
            .map(|_| {
                let (store, site) = (Arc::clone(store), Arc::clone(site));
                tokio::spawn(async move { store.decide(&site, decision(&["statistics"], at)).await.unwrap() })
            })
            .collect();
        for job in jobs {
            job.await.unwrap();
        }
    }
}

/// Runs each fact on each kind of store.
macro_rules! facts {
    ($($fact:ident),* $(,)?) => {
        /// SQLite in a folder.
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $fact() {
                    let bed = super::Bed::new();
                    let store = std::sync::Arc::new(bed.open());
                    super::$fact(&store, &bed.clock).await;
                    drop(store);
                    super::check_log(bed.path()).unwrap();
                }
            )*
        }
    };
}

facts![
    a_decision_is_there_when_it_is_answered,
    every_check_after_an_answer_sees_what_was_answered,
    the_order_of_answers_is_the_order_of_the_log,
    the_same_id_again_is_the_same_record_with_what_holds_now,
    the_same_id_for_something_else_is_a_conflict,
    one_id_may_be_used_at_two_sites,
    recorded_times_never_run_backwards,
    an_odd_clock_is_marked_and_extends_nothing,
    who_names_no_subject_gets_one_for_this_record,
    a_stale_grant_is_recorded_and_grants_nothing,
    what_is_refused_is_not_recorded,
    an_unknown_notice_or_language_is_refused,
    evidence_lies_beside_the_log,
    what_is_taken_over_without_its_text_is_kept_and_grants_nothing,
    each_change_is_a_record,
    a_change_is_made_only_by_who_may_at_that_moment,
    a_change_that_is_refused_changes_nothing,
    a_notice_version_follows_the_one_before,
    sites_have_logs_of_their_own,
    a_checkpoint_is_published_when_asked_and_never_shrinks,
    tiles_are_those_of_the_recomputed_tree,
    an_inclusion_proof_verifies_for_every_record_in_every_published_tree,
    a_stretch_of_time_carries_its_neighbours_and_its_proof,
    entries_come_in_order_until_they_are_declined,
    a_record_is_given_to_its_subject_only,
];

async fn a_decision_is_there_when_it_is_answered(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let new = decision(&["statistics"], START);
    let subject = new.subject.unwrap();
    assert_eq!(held(&**store, &site, &subject), None);
    let recorded = store.decide(&site, new.clone()).await.unwrap();
    assert!(!recorded.repeated);
    assert_eq!((recorded.effect, recorded.subject), (Effect::Applied, subject));
    let kept = held(&**store, &site, &subject).unwrap();
    assert_eq!(kept, recorded.consent);
    let outline = &site.notice().unwrap().outline;
    let view = kept.view(outline, UnixMillis::new(START), false);
    assert_eq!(view.status(), Status::Valid);
    assert_eq!(view.granted_ids(), [ChoiceId::parse("statistics").unwrap()]);

    let entry = &store.records(&site, &subject).unwrap()[0];
    assert_eq!(entry.index, recorded.index);
    let leaf = Leaf::parse(&entry.leaf).unwrap();
    assert_eq!((leaf.id, leaf.recorded_at, leaf.kind), (new.decision.id, recorded.recorded_at, Kind::Decision));
    assert_eq!(leaf.granted.unwrap(), new.decision.granted);
    assert_eq!(leaf.denied.unwrap(), [ChoiceId::parse("marketing").unwrap()]);
    assert_eq!(leaf.notice.unwrap().sha256, site.notice().unwrap().sha256);
}

async fn every_check_after_an_answer_sees_what_was_answered(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    // Many people at once, each of whom is asked about before, between and after.
    let jobs: Vec<_> = (0..16)
        .map(|_| {
            let (store, site) = (Arc::clone(store), Arc::clone(&site));
            tokio::spawn(async move {
                let mut last = decision(&["statistics"], START);
                let subject = last.subject.unwrap();
                assert_eq!(held(&*store, &site, &subject), None);
                for round in 0..12 {
                    let recorded = store.decide(&site, last.clone()).await.unwrap();
                    assert_eq!(held(&*store, &site, &subject), Some(recorded.consent.clone()), "round {round}");
                    assert_eq!(recorded.effect, Effect::Applied);
                    last = after(&last, if round % 2 == 0 { &[] } else { &["statistics"] }, START);
                }
                let mut forget = after(&last, &[], START);
                forget.decision.method = Method::Forget;
                let forgotten = store.decide(&site, forget).await.unwrap();
                assert!(forgotten.consent.forgotten);
                assert_eq!(held(&*store, &site, &subject), Some(forgotten.consent));
            })
        })
        .collect();
    for job in jobs {
        job.await.unwrap();
    }
}

async fn the_order_of_answers_is_the_order_of_the_log(store: &Arc<impl Store>, clock: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let mut last = None;
    for _ in 0..20 {
        clock.advance(7);
        let recorded = store.decide(&site, decision(&[], START)).await.unwrap();
        assert!(last < Some(recorded.index), "who was answered before is before");
        assert!(last.is_none_or(|last| last + 1 == recorded.index), "without gaps");
        last = Some(recorded.index);
    }
    // At the same time: each has an index of its own, without gaps.
    let jobs: Vec<_> = (0..50)
        .map(|_| {
            let (store, site) = (Arc::clone(store), Arc::clone(&site));
            tokio::spawn(async move { store.decide(&site, decision(&[], START)).await.unwrap().index })
        })
        .collect();
    let mut indexes = Vec::new();
    for job in jobs {
        indexes.push(job.await.unwrap());
    }
    indexes.sort_unstable();
    let first = last.unwrap() + 1;
    assert_eq!(indexes, (first..first + 50).collect::<Vec<_>>());
}

async fn the_same_id_again_is_the_same_record_with_what_holds_now(store: &Arc<impl Store>, clock: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let grant = decision(&["statistics"], START);
    let first = store.decide(&site, grant.clone()).await.unwrap();
    let revoke = after(&grant, &[], START);
    let revoked = store.decide(&site, revoke).await.unwrap();
    clock.advance(1_000);
    let size = published(&**store, &site).await.size;
    let again = store.decide(&site, grant).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.index, again.recorded_at, again.subject), (first.index, first.recorded_at, first.subject));
    assert_eq!(again.effect, first.effect, "what it did then");
    assert_eq!(again.consent, revoked.consent, "what holds now");
    assert_eq!(published(&**store, &site).await.size, size);
}

/// What makes another decision of one.
type Alteration = Box<dyn Fn(&mut NewDecision)>;

async fn the_same_id_for_something_else_is_a_conflict(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let first = decision(&["statistics"], START);
    let recorded = store.decide(&site, first.clone()).await.unwrap();
    let size = published(&**store, &site).await.size;
    let others: [(&str, Alteration); 9] = [
        ("granted", Box::new(|new| new.decision.granted.clear())),
        ("decided_at", Box::new(|new| new.decision.decided_at = UnixMillis::new(START + 1))),
        ("prev", Box::new(|new| new.decision.prev = Some(new_id()))),
        ("layer", Box::new(|new| new.decision.layer = Layer::First)),
        ("signals", Box::new(|new| new.decision.signals.gpc = true)),
        ("subject", Box::new(|new| new.subject = Some(new_subject()))),
        ("no subject", Box::new(|new| new.subject = None)),
        ("control", Box::new(|new| new.control = Some(Control::Save))),
        ("language", Box::new(|new| new.language = Language::parse("de").unwrap())),
    ];
    for (what, change) in others {
        let mut other = first.clone();
        change(&mut other);
        assert!(matches!(store.decide(&site, other).await, Err(DecideError::Conflict)), "{what}");
    }
    assert_eq!(published(&**store, &site).await.size, size);
    assert_eq!(held(&**store, &site, &recorded.subject), Some(recorded.consent));
    // An id that was used for no decision is taken, too.
    let taken = Leaf::parse(&leaves(&**store, &site, 1)[0].leaf).unwrap().id;
    let mut other = decision(&[], START);
    other.decision.id = taken;
    assert!(matches!(store.decide(&site, other).await, Err(DecideError::Conflict)));
}

async fn one_id_may_be_used_at_two_sites(store: &Arc<impl Store>, _: &FixedClock) {
    let (a, b) = (make_site(&**store, "a").await, make_site(&**store, "b").await);
    let new = decision(&["statistics"], START);
    store.decide(&a, new.clone()).await.unwrap();
    let mut other = new.clone();
    other.decision.granted.clear();
    assert!(!store.decide(&b, other).await.unwrap().repeated, "sites know nothing of each other");
    let subject = new.subject.unwrap();
    let granted = |site: &Arc<Site>| {
        let consent = store.consent(site, &subject).unwrap().unwrap();
        !consent.view(&site.notice().unwrap().outline, UnixMillis::new(START), false).granted_ids().is_empty()
    };
    assert!(granted(&a) && !granted(&b));
}

async fn recorded_times_never_run_backwards(store: &Arc<impl Store>, clock: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let mut last = UnixMillis::MIN;
    for jump in [1_000, -500, -DAY, 0, 3_600_000, -3_600_001, 365 * DAY, -900 * DAY, 1] {
        clock.advance(jump);
        let recorded = store.decide(&site, decision(&["statistics"], clock.millis())).await.unwrap();
        assert!(recorded.recorded_at >= last, "after a jump of {jump}");
        assert!(recorded.recorded_at.millis() >= clock.millis());
        last = recorded.recorded_at;
    }
    clock.set(0);
    let late = store.decide(&site, decision(&[], 0)).await.unwrap();
    assert_eq!(late.recorded_at, last);
}

async fn an_odd_clock_is_marked_and_extends_nothing(store: &Arc<impl Store>, clock: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let outline = &site.notice().unwrap().outline;
    clock.advance(DAY);
    let now = clock.millis();
    for (claimed, odd) in [
        (now, None),
        (now + 5 * 60_000, None),
        (now + 5 * 60_000 + 1, Some(Odd::Ahead)),
        (now + 4_000 * DAY, Some(Odd::Ahead)),
        (START, None),
        (START - 1, Some(Odd::Behind)),
        (0, Some(Odd::Behind)),
        (UnixMillis::MIN.millis(), Some(Odd::Behind)),
        (UnixMillis::MAX.millis(), Some(Odd::Ahead)),
    ] {
        let new = decision(&["statistics"], claimed);
        let subject = new.subject.unwrap();
        let recorded = store.decide(&site, new).await.unwrap();
        let leaf = Leaf::parse(&store.records(&site, &subject).unwrap()[0].leaf).unwrap();
        assert_eq!((leaf.decided_at, leaf.clock), (Some(UnixMillis::new(claimed)), odd), "{claimed}");
        let view = recorded.consent.view(outline, clock.now(), false);
        let end = UnixMillis::new(claimed.min(now)).plus_days(180);
        assert_eq!(view.expires_at(), Some(end), "{claimed}");
        let statistics = ChoiceId::parse("statistics").unwrap();
        let at = |now| recorded.consent.view(outline, now, false).granted(&statistics);
        assert!(!at(end) && !at(UnixMillis::MAX));
        assert_eq!(at(clock.now()), end > clock.now(), "{claimed}");
    }
}

async fn who_names_no_subject_gets_one_for_this_record(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let anonymous = || {
        let mut new = decision(&[], START);
        new.subject = None;
        new.decision.method = Method::Close;
        new.decision.layer = Layer::First;
        new
    };
    let new = anonymous();
    let first = store.decide(&site, new.clone()).await.unwrap();
    let other = store.decide(&site, anonymous()).await.unwrap();
    assert_ne!(first.subject, other.subject);
    assert!(!first.consent.identified);
    let again = store.decide(&site, new).await.unwrap();
    assert!(again.repeated && again.subject == first.subject);
    assert_eq!(store.records(&site, &first.subject).unwrap().len(), 1);
    let leaf = String::from_utf8(store.records(&site, &first.subject).unwrap()[0].leaf.clone()).unwrap();
    assert!(!leaf.contains(&first.subject.to_string()));
}

async fn a_stale_grant_is_recorded_and_grants_nothing(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let grant = decision(&["statistics"], START);
    store.decide(&site, grant.clone()).await.unwrap();
    store.decide(&site, after(&grant, &[], START)).await.unwrap();
    let queued = after(&grant, &["marketing", "statistics"], START);
    let recorded = store.decide(&site, queued.clone()).await.unwrap();
    assert_eq!(recorded.effect, Effect::Stale);
    let outline = &site.notice().unwrap().outline;
    assert!(recorded.consent.view(outline, UnixMillis::new(START), false).granted_ids().is_empty());
    let records = store.records(&site, &grant.subject.unwrap()).unwrap();
    let leaf = Leaf::parse(&records[2].leaf).unwrap();
    assert_eq!((leaf.effect, leaf.granted), (Some(Effect::Stale), Some(queued.decision.granted)), "as it was claimed");
}

async fn what_is_refused_is_not_recorded(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let size = published(&**store, &site).await.size;
    let subject = new_subject();
    for method in [Method::Close, Method::RejectAll, Method::Forget, Method::Signal, Method::AcceptAll, Method::Api] {
        let mut new = decision(&["statistics"], START);
        new.subject = Some(subject);
        new.decision.method = method;
        new.decision.layer = if method == Method::Close { Layer::First } else { Layer::None };
        let answer = store.decide(&site, new).await;
        assert!(matches!(answer, Err(DecideError::Refused(_))), "{method}: {answer:?}");
    }
    let unknown = store.decide(&site, decision(&["statistics", "other"], START)).await;
    assert!(matches!(unknown, Err(DecideError::Refused(DecisionError::Unknown(choice))) if choice.as_str() == "other"));
    assert_eq!(published(&**store, &site).await.size, size);
    assert_eq!(held(&**store, &site, &subject), None);
    // One that is refused does not take those with it that are committed beside it.
    let jobs: Vec<_> = (0..20)
        .map(|number| {
            let (store, site) = (Arc::clone(store), Arc::clone(&site));
            let granted: &[&str] = if number % 2 == 0 { &["statistics"] } else { &["other"] };
            let new = decision(granted, START);
            tokio::spawn(async move { (number, store.decide(&site, new).await.is_ok()) })
        })
        .collect();
    for job in jobs {
        let (number, done) = job.await.unwrap();
        assert_eq!(done, number % 2 == 0);
    }
    assert_eq!(published(&**store, &site).await.size, size + 10);
}

async fn an_unknown_notice_or_language_is_refused(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    for version in [0, 2, u32::MAX] {
        let mut new = decision(&[], START);
        new.notice = version;
        assert!(matches!(store.decide(&site, new).await, Err(DecideError::UnknownNotice(n)) if n == version));
    }
    let mut new = decision(&[], START);
    new.language = Language::parse("fr").unwrap();
    assert!(matches!(store.decide(&site, new).await, Err(DecideError::UnknownLanguage(_))));
}

async fn evidence_lies_beside_the_log(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let mut new = decision(&["statistics"], START);
    new.decision.method = Method::Api;
    new.decision.layer = Layer::None;
    new.decision.on_behalf = true;
    let evidence = "said yes on the telephone".to_owned();
    new.behalf = Some(Behalf {
        source: Source::Phone,
        evidence: Some(evidence.clone()),
        actor: "key1".to_owned(),
        earlier: None,
    });
    let (subject, id) = (new.subject.unwrap(), new.decision.id);
    store.decide(&site, new).await.unwrap();
    let (entry, opening) = store.record(&site, &subject, &id).unwrap().unwrap();
    let leaf = Leaf::parse(&entry.leaf).unwrap();
    let opening = Opening(opening);
    assert_eq!(leaf.evidence, Some(opening.commit(&evidence)));
    assert_eq!(leaf.actor, Some(opening.commit("key1")));
    assert_eq!(leaf.subject, Some(opening.subject(&site.id, &subject)), "the opening names its subject");
    assert_ne!(leaf.subject, Some(opening.subject(&name("b"), &subject)));
    assert_ne!(leaf.subject, Some(opening.subject(&site.id, &new_subject())));
    assert!(!String::from_utf8_lossy(&entry.leaf).contains("telephone"));
}

async fn what_is_taken_over_without_its_text_is_kept_and_grants_nothing(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let taken = |earlier: Option<Earlier>, evidence: Option<&str>| {
        let mut new = decision(&["statistics"], START);
        (new.decision.method, new.decision.layer, new.decision.on_behalf) = (Method::Api, Layer::None, true);
        let evidence = evidence.map(str::to_owned);
        new.behalf = Some(Behalf { source: Source::Import, evidence, actor: "key1".to_owned(), earlier });
        new
    };
    let shown = || Some("We count.".to_owned());
    for (new, want) in [
        (taken(None, None), Effect::Unproven),
        (taken(None, Some("shown: We count.")), Effect::Applied),
        (taken(Some(Earlier::default()), Some("row 1")), Effect::Unproven),
        (taken(Some(Earlier { notice_text: shown(), refused: Some(vec![]) }), None), Effect::Applied),
    ] {
        let recorded = store.decide(&site, new.clone()).await.unwrap();
        assert_eq!(recorded.effect, want);
        let outline = &site.notice().unwrap().outline;
        let at = UnixMillis::new(START + 1);
        assert_eq!(recorded.consent.view(outline, at, false).granted_ids().is_empty(), want == Effect::Unproven);
        assert!(store.decide(&site, new.clone()).await.unwrap().repeated);
        let (entry, opening) = store.record(&site, &recorded.subject, &new.decision.id).unwrap().unwrap();
        let leaf = Leaf::parse(&entry.leaf).unwrap();
        let text = new.behalf.as_ref().and_then(Behalf::text);
        assert_eq!(leaf.evidence, text.map(|text| Opening(opening).commit(&text)));
        assert_eq!(leaf.granted, Some(new.decision.granted.clone()), "as it was claimed");
        // What the row says of the refusals counts as another request.
        let mut other = new;
        other.behalf.as_mut().unwrap().earlier.get_or_insert_default().refused =
            Some(vec![ChoiceId::from(&name("functional"))]);
        assert!(matches!(store.decide(&site, other).await, Err(DecideError::Conflict)));
    }
}

async fn each_change_is_a_record(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let mut settings = site.settings.clone();
    settings.origins.push("https://b.example".to_owned());
    store
        .change(Change::UpdateSite { site: name("a"), settings: settings.clone() }, Actor::Machine("a test"))
        .await
        .unwrap();
    assert_eq!(self::site(&**store, "a").settings, settings, "in the registry when it is answered");
    let (key, secret) = mint(Role::Officer, vec![name("a")], "label", UnixMillis::new(START), None);
    let (id, secret_hash) = (key.id.clone(), key.hash);
    store.change(Change::CreateKey(key), Actor::Machine("a test")).await.unwrap();
    let text = secret.reveal().splitn(4, '_').nth(3).unwrap().to_owned();
    assert!(store.registry().key(&id).unwrap().matches(&text, UnixMillis::new(START)));
    let access = Change::Access { site: name("a"), action: Action::Export, target: "all records".to_owned() };
    let officer = Actor::Key { id: id.clone(), secret: secret_hash, needed: Role::Officer };
    store.change(access, officer).await.unwrap();
    store.change(Change::RevokeKey { id: id.clone() }, Actor::Machine("a test")).await.unwrap();
    assert!(!store.registry().key(&id).unwrap().is_live(UnixMillis::new(START)));

    let size = published(&**store, &site).await.size;
    let told: Vec<(Kind, Option<Action>)> = leaves(&**store, &site, size)
        .iter()
        .map(|entry| {
            let leaf = Leaf::parse(&entry.leaf).unwrap();
            let text = String::from_utf8_lossy(&entry.leaf).into_owned();
            assert!(!text.contains("a test") && !text.contains(&id) && !text.contains("b.example"), "{text}");
            (leaf.kind, leaf.action)
        })
        .collect();
    assert_eq!(
        told,
        [
            (Kind::Site, Some(Action::Create)),
            (Kind::Notice, Some(Action::Create)),
            (Kind::Site, Some(Action::Update)),
            (Kind::Key, Some(Action::Create)),
            (Kind::Access, Some(Action::Export)),
            (Kind::Key, Some(Action::Revoke)),
        ]
    );
}

async fn a_change_that_is_refused_changes_nothing(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let size = published(&**store, &site).await.size;
    let settings = site.settings.clone();
    let (stray, _) = mint(Role::Backend, vec![name("a"), name("nowhere")], "", UnixMillis::new(START), None);
    let stray_id = stray.id.clone();
    for (what, change) in [
        (
            "the same id",
            Change::CreateSite { id: name("a"), log_origin: "b.example/a".to_owned(), settings: settings.clone() },
        ),
        (
            "the same log",
            Change::CreateSite { id: name("b"), log_origin: "a.example/a".to_owned(), settings: settings.clone() },
        ),
        ("no site", Change::UpdateSite { site: name("nowhere"), settings }),
        ("no key", Change::RevokeKey { id: "aaaaaaaa".to_owned() }),
        ("a key for no site", Change::CreateKey(stray)),
        ("no site", Change::Access { site: name("nowhere"), action: Action::Read, target: String::new() }),
    ] {
        let answer = store.change(change, Actor::Machine("a test")).await;
        assert!(matches!(answer, Err(StoreError::Refused(_) | StoreError::Conflict(_))), "{what}: {answer:?}");
    }
    assert_eq!(store.registry().sites.len(), 1);
    assert!(store.registry().key(&stray_id).is_none(), "half of a change is none");
    assert_eq!(published(&**store, &site).await.size, size);
    assert_eq!(self::site(&**store, "a").settings, site.settings);
}

async fn a_change_is_made_only_by_who_may_at_that_moment(store: &Arc<impl Store>, _: &FixedClock) {
    let a = make_site(&**store, "a").await;
    make_site(&**store, "b").await;
    let machine = Actor::Machine("a test");
    let start = UnixMillis::new(START);
    let (key, _) = mint(Role::Admin, vec![name("a")], "", start, None);
    let (id, secret) = (key.id.clone(), key.hash);
    store.change(Change::CreateKey(key), machine.clone()).await.unwrap();
    let user = |sites: &[&str]| User {
        id: "aaaaaaaa".to_owned(),
        name: "ada".to_owned(),
        role: Role::Officer,
        sites: sites.iter().map(|site| name(site)).collect(),
        password: PasswordHash::of("correct horse battery"),
        created_at: start,
        disabled_at: None,
    };
    let old = user(&["a"]);
    store.change(Change::CreateUser(old.clone()), machine.clone()).await.unwrap();
    let admin = |secret| Actor::Key { id: id.clone(), secret, needed: Role::Admin };
    let update = |update: UserUpdate| Change::UpdateUser { id: "aaaaaaaa".to_owned(), update };
    let password =
        || update(UserUpdate { password: Some(PasswordHash::of("another long one")), ..UserUpdate::default() });
    let sites = |sites: &[&str]| {
        let sites = Some(sites.iter().map(|site| name(site)).collect());
        update(UserUpdate { sites, ..UserUpdate::default() })
    };
    // The sites that they have when it is done are what counts, and those that they would get.
    store.change(sites(&["a", "b"]), machine.clone()).await.unwrap();
    let size = published(&**store, &a).await.size;
    for change in [password(), sites(&["a"]), Change::RemoveUser { id: "aaaaaaaa".to_owned() }] {
        let answer = store.change(change, admin(secret)).await;
        assert!(matches!(answer, Err(StoreError::Forbidden(_))), "{answer:?}");
    }
    store.change(sites(&["a"]), machine.clone()).await.unwrap();
    let answer = store.change(sites(&["a", "b"]), admin(secret)).await;
    assert!(matches!(answer, Err(StoreError::Forbidden(_))), "{answer:?}");
    let officer = Actor::Key { id: id.clone(), secret, needed: Role::Backend };
    assert!(matches!(store.change(password(), officer).await, Err(StoreError::Forbidden(_))), "admin is no backend");
    assert!(matches!(store.change(password(), admin([0; 32])).await, Err(StoreError::Ended)), "another secret");
    assert_eq!(published(&**store, &a).await.size, size + 1, "what was refused is not recorded");
    store.change(password(), admin(secret)).await.unwrap();
    // A login that was begun under the password before.
    let login = |password: &PasswordHash, hash| {
        let (user, password) = ("aaaaaaaa".to_owned(), password.clone());
        store.change(Change::Login { user: user.clone(), hash, password }, Actor::User(user))
    };
    let answer = login(&old.password, [1; 32]).await;
    assert!(matches!(answer, Err(StoreError::Conflict(_))), "{answer:?}");
    let new = store.registry().user("aaaaaaaa").unwrap().password.clone();
    login(&new, [2; 32]).await.unwrap();
    // A session is asked for, too: one of a user who may do this, and that has not ended.
    let session = |hash, needed| Actor::Session { user: "aaaaaaaa".to_owned(), hash, needed };
    let access = || Change::Access { site: name("a"), action: Action::Read, target: "x".to_owned() };
    store.change(access(), session([2; 32], Role::Officer)).await.unwrap();
    let answer = store.change(access(), session([2; 32], Role::Admin)).await;
    assert!(matches!(answer, Err(StoreError::Forbidden(_))), "{answer:?}");
    assert!(matches!(store.change(access(), session([3; 32], Role::Officer)).await, Err(StoreError::Ended)));
    // Removing a user and their login in one transaction: the one is refused, and nobody else notices.
    let remove = store.change(Change::RemoveUser { id: "aaaaaaaa".to_owned() }, machine.clone());
    let (removed, login, decided, left) = tokio::join!(
        remove,
        login(&new, [4; 32]),
        store.decide(&a, decision(&["statistics"], START)),
        store.change(access(), session([2; 32], Role::Officer)),
    );
    removed.unwrap();
    assert!(matches!(login, Err(StoreError::Conflict(_))), "{login:?}");
    decided.unwrap();
    assert!(matches!(left, Err(StoreError::Ended)), "{left:?}");
    // And a key that ends.
    let revoke = store.change(Change::RevokeKey { id: id.clone() }, machine);
    let (fresh, _) = mint(Role::Admin, vec![name("a")], "", start, None);
    let fresh_id = fresh.id.clone();
    let (revoked, made) = tokio::join!(revoke, store.change(Change::CreateKey(fresh), admin(secret)));
    revoked.unwrap();
    assert!(matches!(made, Err(StoreError::Ended)), "{made:?}");
    assert!(store.registry().key(&fresh_id).is_none());
}

async fn a_notice_version_follows_the_one_before(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let first = &site.notice().unwrap().notice;
    let mut draft = draft();
    draft.renew_after_days = 90;
    let statistics = CategoryId::parse("statistics").unwrap();
    let second = draft.clone().publish(Some(first), std::slice::from_ref(&statistics), false).unwrap();
    let publish = |notice: &consent_core::notice::Notice| Change::PublishNotice {
        site: name("a"),
        notice: Box::new(notice.clone()),
        material: vec![statistics.clone()],
    };
    store.change(publish(&second), Actor::Machine("a test")).await.unwrap();
    assert_eq!(self::site(&**store, "a").notices.len(), 2);
    for (what, notice) in [("the same again", &second), ("an old one", first)] {
        let answer = store.change(publish(notice), Actor::Machine("a test")).await;
        assert!(matches!(answer, Err(StoreError::Conflict(_))), "{what}: {answer:?}");
    }
    assert_eq!(self::site(&**store, "a").notices.len(), 2);
    // A caller that still has the site as it was may answer the new version.
    let mut new = decision(&["statistics"], START);
    new.notice = 2;
    let recorded = store.decide(&site, new).await.unwrap();
    assert_eq!(recorded.consent.choices[0].notice, 2);
    let size = published(&**store, &site).await.size;
    let leaf = Leaf::parse(&leaves(&**store, &site, size)[2].leaf).unwrap();
    assert_eq!((leaf.kind, leaf.material), (Kind::Notice, Some(vec![statistics])));
}

async fn sites_have_logs_of_their_own(store: &Arc<impl Store>, _: &FixedClock) {
    let (a, b) = (make_site(&**store, "a").await, make_site(&**store, "b").await);
    assert_ne!(a.log_key, b.log_key);
    let size = published(&**store, &b).await.size;
    let new = decision(&["statistics"], START);
    let recorded = store.decide(&a, new.clone()).await.unwrap();
    assert_eq!(published(&**store, &b).await.size, size);
    assert_eq!(published(&**store, &a).await.size, size + 1);
    assert_eq!(held(&**store, &b, &recorded.subject), None);
    assert!(store.records(&b, &recorded.subject).unwrap().is_empty());
    assert!(store.record(&b, &recorded.subject, &new.decision.id).unwrap().is_none());
    let note = store.checkpoint(&a).unwrap().unwrap().1;
    assert!(Checkpoint::open(&note, &VerifyingKey::parse(&b.log_key).unwrap()).is_err());
}

async fn a_checkpoint_is_published_when_asked_and_never_shrinks(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let mut last = published(&**store, &site).await;
    for _ in 0..5 {
        store.decide(&site, decision(&[], START)).await.unwrap();
        let (size, _) = store.checkpoint(&site).unwrap().unwrap();
        assert_eq!(size, last.size, "nothing is shown before it is asked for");
        let next = published(&**store, &site).await;
        assert_eq!(next.size, last.size + 1);
        assert_eq!(published(&**store, &site).await, next, "without growth the same again");
        last = next;
    }
    assert_eq!(last.origin, "a.example/a");
}

/// Far enough for two full tiles and a started third; 65,536 records would take minutes in a debug build.
const MANY: usize = 700;

fn hashes(entries: &[Entry]) -> Vec<Hash> {
    entries.iter().map(|entry| leaf_hash(&entry.leaf)).collect()
}

async fn tiles_are_those_of_the_recomputed_tree(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    fill(store, &site, MANY, START).await;
    let checkpoint = published(&**store, &site).await;
    // Recorded, and not published: no tile may show it.
    store.decide(&site, decision(&[], START)).await.unwrap();
    let level_0 = hashes(&leaves(&**store, &site, checkpoint.size));
    let level_1: Vec<Hash> = level_0.chunks_exact(256).map(root_of).collect();
    assert_eq!(root_of(&level_0), checkpoint.root);
    let levels = [level_0, level_1];
    let mut seen = 0;
    for tile in tiles_for(checkpoint.size).flat_map(consent_core::tile::TileLevel::tiles) {
        let level = &levels[usize::from(tile.level)];
        let from = usize::try_from(tile.index).unwrap() * 256;
        let want = &level[from..from + usize::from(tile.width)];
        assert_eq!(store.tile(&site, &tile).unwrap().unwrap(), want, "{}", tile.path());
        let narrower = Tile { width: 1.max(tile.width / 2), ..tile };
        assert_eq!(store.tile(&site, &narrower).unwrap().unwrap(), want[..usize::from(narrower.width)]);
        seen += 1;
    }
    assert!(seen >= 4, "two full ones, a partial one, and one above: {seen}");
    let width = u16::try_from(checkpoint.size % 256).unwrap() + 1;
    for beyond in [
        Tile { level: 0, index: checkpoint.size / 256, width },
        Tile { level: 0, index: checkpoint.size / 256 + 1, width: 1 },
        Tile { level: 1, index: 0, width: 3 },
        Tile { level: 2, index: 0, width: 1 },
        Tile { level: 0, index: u64::MAX, width: 1 },
        Tile { level: 63, index: 0, width: 1 },
        Tile { level: 0, index: 0, width: 0 },
    ] {
        assert_eq!(store.tile(&site, &beyond).unwrap(), None, "{beyond:?}");
    }
}

async fn an_inclusion_proof_verifies_for_every_record_in_every_published_tree(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let mut checkpoints = Vec::new();
    for count in [1, 1, 5, 248, 1, 1, 255, 3] {
        fill(store, &site, count, START).await;
        checkpoints.push(published(&**store, &site).await);
    }
    assert!(checkpoints.iter().any(|checkpoint| checkpoint.size > 512), "across full tiles");
    let leaves = hashes(&leaves(&**store, &site, checkpoints.last().unwrap().size));
    for checkpoint in &checkpoints {
        for (leaf, index) in leaves.iter().zip(0..checkpoint.size) {
            let proof = store.inclusion(&site, index, checkpoint.size).unwrap();
            let size = checkpoint.size;
            assert_eq!(verify_inclusion(leaf, index, size, &proof, &checkpoint.root), Ok(()), "{index} in {size}");
        }
    }
}

async fn a_stretch_of_time_carries_its_neighbours_and_its_proof(store: &Arc<impl Store>, clock: &FixedClock) {
    let site = make_site(&**store, "a").await;
    // Ten records a minute apart, the fifth and sixth at the same time; before them what made the site.
    let first = published(&**store, &site).await.size;
    let at = |minute: i64| START + 60_000 * (if minute >= 5 { minute } else { minute + 1 });
    for minute in 0..10 {
        clock.set(at(minute));
        store.decide(&site, decision(&[], START)).await.unwrap();
    }
    let checkpoint = published(&**store, &site).await;
    let all = hashes(&leaves(&**store, &site, checkpoint.size));
    let time = |millis: i64| Some(UnixMillis::new(millis));
    let record = |number: u64| first + number;
    for (what, from, to, want) in [
        ("all", None, None, (0, checkpoint.size)),
        ("from the first", time(at(0)), None, (record(0) - 1, checkpoint.size)),
        ("before the first", None, time(at(0)), (0, record(0) + 1)),
        ("three in the middle", time(at(1)), time(at(4)), (record(1) - 1, record(4) + 1)),
        ("both of the same time", time(at(4)), time(at(4) + 1), (record(4) - 1, record(6) + 1)),
        ("between two records", time(at(1) + 1), time(at(2)), (record(2) - 1, record(2) + 1)),
        ("after the last", time(at(9) + 1), None, (checkpoint.size - 1, checkpoint.size)),
        ("before everything", time(0), time(START), (0, 1)),
        ("backwards", time(at(7)), time(at(2)), (record(7) - 1, record(7) + 1)),
    ] {
        let stretch = store.stretch(&site, from, to).unwrap();
        assert_eq!((stretch.from, stretch.to), want, "{what}");
        assert_eq!(stretch.size, checkpoint.size);
        let mut verifier = RangeVerifier::new(stretch.from, stretch.to, stretch.size, &stretch.proof).unwrap();
        let (from, to) = (usize::try_from(stretch.from).unwrap(), usize::try_from(stretch.to).unwrap());
        all[from..to].iter().for_each(|hash| verifier.push(*hash));
        assert_eq!(verifier.root(), Ok(checkpoint.root), "{what}");
    }
}

async fn entries_come_in_order_until_they_are_declined(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    make_site(&**store, "b").await;
    fill(store, &site, 20, START).await;
    let read = |from, to, most: usize| {
        let mut indexes = Vec::new();
        let done = store.entries(&site, from, to, &mut |entry| {
            indexes.push(entry.index);
            indexes.len() < most
        });
        done.map(|()| indexes)
    };
    assert_eq!(read(3, 9, 99).unwrap(), [3, 4, 5, 6, 7, 8]);
    assert_eq!(read(3, 9, 2).unwrap(), [3, 4]);
    assert_eq!(read(5, 5, 9).unwrap(), [0; 0]);
    assert!(read(20, 30, 99).is_err(), "what is missing is said, not left out");
}

async fn a_record_is_given_to_its_subject_only(store: &Arc<impl Store>, _: &FixedClock) {
    let site = make_site(&**store, "a").await;
    let (one, two) = (decision(&["statistics"], START), decision(&["statistics"], START));
    store.decide(&site, one.clone()).await.unwrap();
    store.decide(&site, two.clone()).await.unwrap();
    let (a, b) = (one.subject.unwrap(), two.subject.unwrap());
    assert!(store.record(&site, &a, &one.decision.id).unwrap().is_some());
    assert!(store.record(&site, &b, &one.decision.id).unwrap().is_none());
    assert!(store.record(&site, &new_subject(), &one.decision.id).unwrap().is_none());
    assert!(store.record(&site, &a, &new_id()).unwrap().is_none());
    assert!(store.records(&site, &new_subject()).unwrap().is_empty());
    assert_eq!(store.records(&site, &a).unwrap().len(), 1);
}

// What is true of SQLite alone: files, processes, and rows that somebody edits.

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let bed = Bed::new();
    let store = Arc::new(bed.open());
    let site_a = make_site(&*store, "a").await;
    fill(&store, &site_a, 300, START).await;
    let new = decision(&["statistics"], START);
    let recorded = store.decide(&site_a, new.clone()).await.unwrap();
    let before = check_log(bed.path()).unwrap();
    drop(store);
    for _ in 0..3 {
        let store = bed.open();
        let after = check_log(bed.path()).unwrap();
        assert_eq!((after[0].size, after[0].root), (before[0].size, before[0].root));
        let site = site(&store, "a");
        let again = store.decide(&site, new.clone()).await.unwrap();
        assert!(again.repeated);
        assert_eq!((again.index, again.recorded_at), (recorded.index, recorded.recorded_at));
        assert_eq!(held(&store, &site, &recorded.subject), Some(recorded.consent.clone()));
    }
}

#[tokio::test]
async fn the_clock_cannot_run_back_over_a_restart() {
    let bed = Bed::new();
    let store = bed.open();
    let site_a = make_site(&store, "a").await;
    bed.clock.advance(DAY);
    let recorded = store.decide(&site_a, decision(&[], START)).await.unwrap();
    drop(store);
    bed.clock.set(START - 1_000 * DAY);
    let store = bed.open();
    let late = store.decide(&site(&store, "a"), decision(&[], START)).await.unwrap();
    assert_eq!(late.recorded_at, recorded.recorded_at);
    check_log(bed.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_folder_write_one_tree() {
    let bed = Bed::new();
    let one = Arc::new(bed.open());
    let site_one = make_site(&*one, "a").await;
    let two = Arc::new(bed.open());
    let site_two = site(&*two, "a");
    let mut indexes = Vec::new();
    for round in 0..10 {
        let jobs: Vec<_> = (0..8)
            .map(|number| {
                let (store, site) =
                    if number % 2 == 0 { (Arc::clone(&one), &site_one) } else { (Arc::clone(&two), &site_two) };
                let site = Arc::clone(site);
                tokio::spawn(async move { store.decide(&site, decision(&["statistics"], START)).await.unwrap().index })
            })
            .collect();
        for job in jobs {
            indexes.push(job.await.unwrap());
        }
        // A command beside the server: what it changes is a record between the decisions.
        let (key, _) = mint(Role::Backend, vec![name("a")], "", UnixMillis::new(START), None);
        let id = key.id.clone();
        let (writer, reader) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        writer.change(Change::CreateKey(key), Actor::Machine("a test")).await.unwrap();
        // The other one notices within a moment, or with its next write.
        reader.decide(&site_one, decision(&[], START)).await.unwrap();
        assert!(reader.registry().key(&id).is_some());
    }
    indexes.sort_unstable();
    indexes.dedup();
    assert_eq!(indexes.len(), 80, "no index twice");
    let log = &check_log(bed.path()).unwrap()[0];
    assert_eq!(log.size, 2 + 80 + 10 + 10);
    let (from_one, from_two) = (one.publish(&site_one).await.unwrap(), two.publish(&site_two).await.unwrap());
    assert_eq!(from_one, from_two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_one_subject_in_both_processes() {
    let bed = Bed::new();
    let one = bed.open();
    let site_a = make_site(&one, "a").await;
    let two = bed.open();
    let grant = decision(&["statistics"], START);
    let granted = one.decide(&site_a, grant.clone()).await.unwrap();
    assert_eq!(held(&two, &site_a, &granted.subject), Some(granted.consent));
    let again = two.decide(&site_a, grant.clone()).await.unwrap();
    assert!(again.repeated);
    let revoke = two.decide(&site_a, after(&grant, &[], START)).await.unwrap();
    // What one process has looked up, another may change: whoever writes looks again.
    let stale = one.decide(&site_a, after(&grant, &["statistics"], START)).await.unwrap();
    assert_eq!(stale.effect, Effect::Stale);
    assert_eq!(held(&one, &site_a, &revoke.subject), Some(stale.consent));
}

/// A closed store with 300 records in one log, published. `.0` is the bed, `.1` a subject and their grant.
async fn full_bed() -> (Bed, SubjectId, Recorded) {
    let bed = Bed::new();
    let store = Arc::new(bed.open());
    let site = make_site(&*store, "a").await;
    fill(&store, &site, 150, START).await;
    let recorded = store.decide(&site, decision(&["statistics"], START)).await.unwrap();
    fill(&store, &site, 150, START).await;
    published(&*store, &site).await;
    drop(store);
    assert!(check_log(bed.path()).is_ok());
    (bed, recorded.subject, recorded)
}

fn doctor(bed: &Bed) -> (Option<i32>, String) {
    let output = consent(["doctor", "--data", bed.path().to_str().unwrap()]);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

/// What is done to the rows by SQL, and what finds it.
struct Edit {
    what: &'static str,
    sql: String,
    /// Whether the store must refuse to open, since it would build on it.
    refused: bool,
}

fn edits(index: u64) -> Vec<Edit> {
    let key = |index: u64| (1_i64 << 40) | i64::try_from(index).unwrap();
    let edit = |what, refused, sql: String| Edit { what, sql, refused };
    let flip =
        "CAST(replace(CAST(leaf AS TEXT), '\"granted\":[\"statistics\"]', '\"granted\":[\"marketing\"]') AS BLOB)";
    vec![
        edit("a choice in the last tile", true, format!("UPDATE record SET leaf = {flip} WHERE key = {}", key(300))),
        edit("a choice below a full tile", false, format!("UPDATE record SET leaf = {flip} WHERE key = {}", key(index))),
        edit("a record gone at the end", true, "DELETE FROM record WHERE key = (SELECT max(key) FROM record)".to_owned()),
        edit("a record gone below a full tile", false, format!("DELETE FROM record WHERE key = {}", key(index))),
        edit("a record too many", true, format!("INSERT INTO record SELECT max(key) + 1, leaf FROM record WHERE key < {}", key(1 << 39))),
        edit(
            "two records exchanged",
            false,
            format!(
                "UPDATE record SET key = -1 WHERE key = {0}; UPDATE record SET key = {0} WHERE key = {1}; UPDATE record SET key = {1} WHERE key = -1",
                key(100),
                key(101)
            ),
        ),
        edit("a full tile", true, "UPDATE tile SET hashes = zeroblob(length(hashes)), root = zeroblob(32)".to_owned()),
        edit("the size in the head", true, "UPDATE head SET size = size - 1".to_owned()),
        edit("the signature of the head", true, "UPDATE head SET checkpoint = replace(checkpoint, ' a.example/a ', ' a.example/b ')".to_owned()),
        edit("the head of another moment", true, "UPDATE head SET checkpoint = replace(checkpoint, char(10) || '303' || char(10), char(10) || '302' || char(10))".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_edited_is_refused_at_open_or_found_by_doctor() {
    let (bed, _, recorded) = full_bed().await;
    bed.rows().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let good = std::fs::read(bed.path().join("consent.db")).unwrap();
    let (code, said) = doctor(&bed);
    assert_eq!(code, Some(0), "{said}");
    for edit in edits(recorded.index) {
        bed.put_back(&good);
        {
            let rows = bed.rows();
            let before: i64 = rows.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
            rows.execute_batch(&edit.sql).unwrap();
            let after: i64 = rows.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
            assert!(after > before, "{}: the test has changed nothing", edit.what);
            rows.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        }
        let tampered: Result<_, Tampered> = check_log(bed.path());
        assert!(tampered.is_err(), "{}: not even this test's own check sees it", edit.what);
        let opened = bed.try_open();
        if edit.refused {
            assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{}: opened as if it were whole", edit.what);
        }
        drop(opened);
        let (code, said) = doctor(&bed);
        assert!(matches!(code, Some(1 | 2)), "{}: doctor says {code:?}\n{said}", edit.what);
        assert!(said.contains("record") || said.contains("corrupt"), "{}: {said}", edit.what);
    }
    bed.put_back(&good);
    assert_eq!(doctor(&bed).0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_consent_that_its_records_do_not_give_is_found_by_doctor() {
    let (bed, subject, _) = full_bed().await;
    let other: Vec<u8> = bed
        .rows()
        .query_row("SELECT consent FROM subject WHERE id != ?1 LIMIT 1", [&subject.as_bytes()[..]], |row| row.get(0))
        .unwrap();
    let changed =
        bed.rows().execute("UPDATE subject SET consent = ?2 WHERE id = ?1", (&subject.as_bytes()[..], other)).unwrap();
    assert_eq!(changed, 1);
    let (code, said) = doctor(&bed);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("WRONG"), "{said}");
}

#[tokio::test]
async fn a_store_is_not_opened_with_another_key() {
    let bed = Bed::new();
    let store = bed.open();
    make_site(&store, "a").await;
    drop(store);
    let keys: Vec<PathBuf> =
        std::fs::read_dir(bed.path().join("keys")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [pem] = keys.as_slice() else { panic!("one log, one key: {keys:?}") };
    let other = Bed::new();
    let store = other.open();
    make_site(&store, "a").await;
    drop(store);
    let stranger = std::fs::read(other.path().join("keys").join(pem.file_name().unwrap())).unwrap();
    std::fs::write(pem, stranger).unwrap();
    assert!(matches!(bed.try_open(), Err(StoreError::Refused(why)) if why.contains("is that to a.example")));
    std::fs::remove_file(pem).unwrap();
    assert!(matches!(bed.try_open(), Err(StoreError::Refused(_))));
    std::fs::write(pem, "no key").unwrap();
    assert!(matches!(bed.try_open(), Err(StoreError::Refused(_))));
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_key_of_a_log() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::new();
    let store = bed.open();
    make_site(&store, "a").await;
    for entry in std::fs::read_dir(bed.path().join("keys")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_is_finished_when_the_store_closes() {
    let bed = Bed::new();
    let store = Arc::new(bed.open());
    let site = make_site(&*store, "a").await;
    let jobs: Vec<_> = (0..100)
        .map(|_| {
            let (store, site) = (Arc::clone(&store), Arc::clone(&site));
            tokio::spawn(async move { store.decide(&site, decision(&[], START)).await.map(|recorded| recorded.index) })
        })
        .collect();
    drop(store);
    let mut indexes: Vec<u64> = Vec::new();
    for job in jobs {
        indexes.push(job.await.unwrap().unwrap());
    }
    let log = &check_log(bed.path()).unwrap()[0];
    assert_eq!(log.size, 102);
    let ids: std::collections::BTreeSet<RecordId> = log.records.keys().copied().collect();
    assert_eq!(ids.len(), 102);
}
