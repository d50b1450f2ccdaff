//! `consent import`: earlier decisions, from an earlier system's records or from the cookies of a peer.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use consent_core::consent::{Consent, Effect};
use consent_core::decision::{Decision, Layer, Method, Signals, Source};
use consent_core::id::{ChoiceId, Language, RecordId, SubjectId};
use consent_core::outline::Outline;
use consent_core::record::{Kind, Leaf};
use consent_core::time::UnixMillis;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{ACTOR, Data, block_on, machine};
use crate::app::{self, App};
use crate::files::new_private;
use crate::import::{self, Claim, Peer, slug};
use crate::store::{
    Behalf, Change, DecideError, Earlier, NewDecision, Published, Recorded, Site, Store, StoreError, has_words,
};

/// The longest line, in bytes.
const MAX_LINE: u64 = 256 * 1024;
/// The longest text that somebody was shown, in bytes.
const MAX_NOTICE_TEXT: usize = 64 * 1024;
/// The longest evidence, in bytes.
const MAX_EVIDENCE: usize = 4096;
/// How many decisions are handed to the store at once: they share a transaction, and are all that is held in memory.
const BATCH: usize = 256;

/// Take over what an earlier system recorded.
///
/// Each line of the file is one decision, oldest first for each person: a JSON object with `subject` (a UUID) or `id` (the earlier
/// system's random id; neither for who had none), `decided_at`, `granted`, `refused` (all the rest if not given), `notice_text` (what
/// the person was shown), `evidence`, `language`. Or, in the place of most of them, `from` and `cookie`: the value of a peer's cookie.
///
/// Without `notice_text` a decision is kept and grants nothing. Importing a file again records nothing twice. Exits with 1 if a line
/// was rejected.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent import --site shop old.jsonl --map analytics=statistics --notice-text shown.txt --dry-run"
)]
pub(super) struct Args {
    /// The decisions, one JSON object a line
    file: PathBuf,
    /// The site
    #[arg(long)]
    site: String,
    /// Check every line and record nothing
    #[arg(long)]
    dry_run: bool,
    /// What is a category or service there, and what it is here: OLD=NEW, or OLD= for nothing; repeat for more
    #[arg(long, value_name = "OLD=NEW", value_parser = mapping)]
    map: Vec<(String, Option<ChoiceId>)>,
    /// The text that everybody was shown whose line does not say
    #[arg(long, value_name = "FILE")]
    notice_text: Option<PathBuf>,
    /// Write what each person's consent cookie must be from now on, a JSON object a line
    #[arg(long, value_name = "FILE")]
    cookies: Option<PathBuf>,
    #[command(flatten)]
    data: Data,
}

fn mapping(text: &str) -> Result<(String, Option<ChoiceId>), String> {
    let (old, new) = text.split_once('=').ok_or("must be OLD=NEW")?;
    let new = if new.is_empty() { None } else { Some(ChoiceId::parse(new).map_err(|error| error.to_string())?) };
    Ok((old.to_owned(), new))
}

/// One line of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    subject: Option<String>,
    id: Option<String>,
    decided_at: Option<UnixMillis>,
    granted: Option<Vec<String>>,
    refused: Option<Vec<String>>,
    notice_text: Option<String>,
    evidence: Option<String>,
    language: Option<String>,
    from: Option<Peer>,
    cookie: Option<String>,
}

/// A decision that is ready to be recorded.
struct Ready {
    line: u64,
    /// The earlier system's id, to give the cookie to the right person.
    old: Option<String>,
    subject: SubjectId,
    decision: NewDecision,
}

#[derive(Debug, Default)]
struct Counts {
    granting: u64,
    refusing: u64,
    unproven: u64,
    stale: u64,
    repeated: u64,
    rejected: u64,
}

struct Import<'a> {
    app: &'a App,
    site: Arc<Site>,
    published: Arc<Published>,
    map: HashMap<&'a str, &'a Option<ChoiceId>>,
    notice_text: Option<String>,
    dry_run: bool,
    cookies: Option<BufWriter<File>>,
    counts: Counts,
    bar: ProgressBar,
    waiting: Vec<Ready>,
    /// Whose decisions wait: the next one of a person needs to know how the one before ended.
    subjects: HashSet<SubjectId>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Args { file, site, dry_run, map, notice_text, cookies, data: Data { data } } = args;
    if !data.join("consent.db").exists() {
        bail!("there is no database in {}", data.display());
    }
    let app = app::open(data)?;
    let site = Arc::clone(super::site(&app.store.registry(), site)?);
    let published = site.notice().cloned().with_context(|| format!("{} has no notice: publish one first", site.id))?;
    for (old, new) in map {
        if new.as_ref().is_some_and(|new| published.outline.listed(new).is_none()) {
            bail!("--map {old}=…: the notice does not list that");
        }
    }
    let notice_text = notice_text
        .as_ref()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display())));
    let notice_text = notice_text.transpose()?;
    if notice_text.as_ref().is_some_and(|text| text.len() > MAX_NOTICE_TEXT || !has_words(text)) {
        bail!("the text that people were shown has 1 to {MAX_NOTICE_TEXT} bytes");
    }
    let cookies = cookies
        .as_ref()
        .filter(|_| !dry_run)
        .map(|path| new_private(path).map(BufWriter::new).with_context(|| format!("cannot write {}", path.display())));
    let input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let bar = progress(input.metadata().map_or(0, |about| about.len()));
    app.store.write_beside_a_server();
    let mut import = Import {
        app: &app,
        site,
        published,
        map: map.iter().map(|(old, new)| (old.as_str(), new)).collect(),
        notice_text,
        dry_run: *dry_run,
        cookies: cookies.transpose()?,
        counts: Counts::default(),
        bar,
        waiting: Vec::new(),
        subjects: HashSet::new(),
    };
    block_on(import.all(BufReader::new(input)))??;
    import.tell();
    Ok(if import.counts.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Import<'_> {
    async fn all(&mut self, mut input: impl BufRead) -> anyhow::Result<()> {
        let mut number = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            number += 1;
            let read = std::io::Read::take(&mut input, MAX_LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            self.bar.inc(read as u64);
            if read as u64 == MAX_LINE && line.last() != Some(&b'\n') {
                self.reject(number, &format!("longer than {MAX_LINE} bytes"));
                self.bar.inc(skip_line(&mut input)?);
                continue;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match self.read(number, text) {
                Ok(ready) => self.take(ready).await?,
                Err(why) => self.reject(number, &why),
            }
        }
        self.flush().await?;
        if let Some(mut cookies) = self.cookies.take() {
            cookies.flush()?;
        }
        let counts = &self.counts;
        let recorded = counts.granting + counts.refusing + counts.unproven + counts.stale;
        if recorded > 0 && !self.dry_run {
            let target = format!("{recorded} earlier decisions");
            self.app.store.change(Change::Import { site: self.site.id.clone(), target }, machine()).await?;
        }
        Ok(())
    }

    fn reject(&mut self, line: u64, why: &str) {
        self.counts.rejected += 1;
        self.bar.suspend(|| eprintln!("line {line}: {why}"));
    }

    /// What a line says, as a decision; or why it is none.
    fn read(&self, number: u64, text: &[u8]) -> Result<Ready, String> {
        let line: Line = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let claim = match (line.from, &line.cookie) {
            (Some(peer), Some(cookie)) => import::claim(peer, cookie).map_err(|error| format!("{error:#}"))?,
            (None, None) => Claim::default(),
            _ => return Err("from and cookie go together".to_owned()),
        };
        let granted = match (line.granted, line.cookie.is_some()) {
            (Some(_), true) => return Err("granted is what the cookie says".to_owned()),
            (Some(granted), false) => granted,
            (None, true) => claim.granted,
            (None, false) => return Err("granted is missing; [] for who refused everything".to_owned()),
        };
        let decided_at = line.decided_at.or(claim.decided_at).ok_or("decided_at is missing")?;
        if decided_at > self.app.clock.now() {
            return Err("decided_at is in the future".to_owned());
        }
        if line.evidence.as_ref().is_some_and(|text| text.len() > MAX_EVIDENCE) {
            return Err(format!("evidence has more than {MAX_EVIDENCE} bytes"));
        }
        if line.evidence.as_deref().is_some_and(|text| !has_words(text)) {
            return Err("evidence without words is none: leave it out".to_owned());
        }
        let notice_text = line.notice_text.filter(|text| has_words(text)).or_else(|| self.notice_text.clone());
        if notice_text.as_ref().is_some_and(|text| text.len() > MAX_NOTICE_TEXT) {
            return Err(format!("notice_text has more than {MAX_NOTICE_TEXT} bytes"));
        }
        let outline = &self.published.outline;
        let granted = self.choices(&granted, outline)?;
        let refused = line.refused.or(claim.refused).map(|refused| self.choices(&refused, outline)).transpose()?;
        let old = line.id.or(claim.id);
        // Makes the ids, so that the same line is the same record whenever it is imported.
        let said = serde_json::json!([
            "consent-import-v1",
            self.site.id,
            line.subject,
            old,
            decided_at,
            granted,
            refused,
            notice_text,
            line.evidence,
        ]);
        let digest: [u8; 32] = Sha256::digest(said.to_string()).into();
        let subject = self.subject(line.subject.as_deref(), old.as_deref(), &digest)?;
        let languages = self.published.notice.languages();
        let language = line.language.or(claim.language).and_then(|tag| Language::parse(&tag).ok());
        let language = language.filter(|tag| languages.contains(tag));
        let language = language.unwrap_or_else(|| self.published.notice.default_language().clone());
        let decision = Decision {
            id: RecordId::at(decided_at, digest.first_chunk().expect("32 bytes hold 10")),
            prev: None,
            method: Method::Api,
            layer: Layer::None,
            granted,
            decided_at,
            signals: Signals::default(),
            on_behalf: true,
        };
        let decision = NewDecision {
            decision,
            subject: Some(subject),
            notice: outline.version,
            language,
            control: None,
            widget: None,
            behalf: Some(Behalf {
                source: Source::Import,
                evidence: line.evidence,
                actor: ACTOR.to_owned(),
                earlier: Some(Earlier { notice_text, refused }),
            }),
        };
        Ok(Ready { line: number, old, subject, decision })
    }

    /// The ids of the notice that the earlier system's names stand for.
    fn choices(&self, names: &[String], outline: &Outline) -> Result<Vec<ChoiceId>, String> {
        let mut choices = Vec::new();
        for name in names {
            match self.map.get(name.as_str()) {
                Some(Some(choice)) => choices.push(choice.clone()),
                Some(None) => {}
                None => choices.extend(meant(name, outline).ok_or_else(|| {
                    format!("the notice has no category or service {name:?}: say --map {name}=ID, or --map {name}= for nothing")
                })?),
            }
        }
        // Every service of a category is the category.
        for category in &outline.categories {
            let all = !category.services.is_empty()
                && category.services.iter().all(|s| choices.contains(&ChoiceId::service_of(&category.id, &s.id)));
            if all {
                choices.push(ChoiceId::from(&category.id));
            }
        }
        let whole: Vec<ChoiceId> = choices.iter().filter(|choice| choice.service().is_none()).cloned().collect();
        let in_whole = |choice: &ChoiceId| whole.iter().any(|whole| whole.as_str() == choice.category());
        choices.retain(|choice| choice.service().is_none() || !in_whole(choice));
        choices.sort();
        choices.dedup();
        Ok(choices)
    }

    /// Whose decision it is: the subject that the line names, or one that follows from the earlier system's id, or from the line.
    fn subject(&self, subject: Option<&str>, old: Option<&str>, digest: &[u8; 32]) -> Result<SubjectId, String> {
        if let Some(subject) = subject {
            return SubjectId::parse(subject).map_err(|error| format!("subject {error}"));
        }
        let Some(old) = old else {
            return Ok(SubjectId::from_random(*digest[16..].first_chunk().expect("16 bytes are left")));
        };
        if old.is_empty() || old.len() > 256 || old.contains('@') {
            return Err("id must be a random id, not an address or a name".to_owned());
        }
        Ok(SubjectId::parse(old).unwrap_or_else(|_| {
            let said = serde_json::json!(["consent-import-subject-v1", self.site.id, old]);
            let hash: [u8; 32] = Sha256::digest(said.to_string()).into();
            SubjectId::from_random(*hash.first_chunk().expect("32 bytes hold 16"))
        }))
    }

    async fn take(&mut self, mut ready: Ready) -> anyhow::Result<()> {
        if self.waiting.len() >= BATCH || self.subjects.contains(&ready.subject) {
            self.flush().await?;
        }
        let (site, subject, id) = (&self.site, ready.subject, ready.decision.decision.id);
        if self.app.store.record(site, &subject, &id)?.is_some() {
            self.counts.repeated += 1;
            let consent = self.app.store.consent(site, &subject)?;
            return self.hand_out(&ready, consent.as_deref());
        }
        if let Some(last) = self.last_decision(&subject)? {
            if last.decided_at.is_some_and(|at| at > ready.decision.decision.decided_at) {
                self.reject(ready.line, "a later decision of this person is recorded already; oldest first");
                return Ok(());
            }
            // Each is the next one of the same earlier history; what somebody did here meanwhile was not known to it.
            if last.source == Some(Source::Import) {
                ready.decision.decision.prev = Some(last.id);
            }
        }
        if self.dry_run {
            self.try_out(&ready)?;
            return Ok(());
        }
        self.subjects.insert(subject);
        self.waiting.push(ready);
        Ok(())
    }

    fn last_decision(&self, subject: &SubjectId) -> anyhow::Result<Option<Leaf>> {
        for entry in self.app.store.records(&self.site, subject)?.iter().rev() {
            let leaf = Leaf::parse(&entry.leaf)?;
            if leaf.kind == Kind::Decision {
                return Ok(Some(leaf));
            }
        }
        Ok(None)
    }

    /// What recording would say, without doing it.
    fn try_out(&mut self, ready: &Ready) -> anyhow::Result<()> {
        let consent = self.app.store.consent(&self.site, &ready.subject)?;
        let consent = consent.as_deref().cloned().unwrap_or_default();
        let (decision, outline) = (&ready.decision.decision, &self.published.outline);
        let answer = decision.resolve(outline, &consent, self.app.clock.now()).and_then(|mut answer| {
            let behalf = ready.decision.behalf.as_ref();
            let refused = behalf.and_then(|behalf| behalf.earlier.as_ref()?.refused.as_ref());
            refused.map_or(Ok(()), |refused| answer.refuse_only(refused, outline)).map(|()| answer)
        });
        match answer {
            Ok(answer) => {
                let unproven = !ready.decision.behalf.as_ref().is_some_and(Behalf::shown);
                let effect = if unproven && !answer.granted.is_empty() { Effect::Unproven } else { Effect::Applied };
                self.count(effect, !answer.granted.is_empty());
            }
            Err(error) => self.reject(ready.line, &error.to_string()),
        }
        Ok(())
    }

    fn count(&mut self, effect: Effect, grants: bool) {
        *match effect {
            Effect::Unproven => &mut self.counts.unproven,
            Effect::Stale => &mut self.counts.stale,
            Effect::Applied | Effect::Once if grants => &mut self.counts.granting,
            Effect::Applied | Effect::Once => &mut self.counts.refusing,
        } += 1;
    }

    /// Records what waits: all of it at once, so that it shares a transaction.
    async fn flush(&mut self) -> anyhow::Result<()> {
        self.subjects.clear();
        let waiting = std::mem::take(&mut self.waiting);
        let mut tasks = Vec::with_capacity(waiting.len());
        for ready in waiting {
            let (store, site, decision) = (Arc::clone(&self.app.store), Arc::clone(&self.site), ready.decision.clone());
            tasks.push((ready, tokio::spawn(async move { store.decide(&site, decision).await })));
        }
        for (ready, task) in tasks {
            match task.await? {
                Ok(recorded) => self.recorded(&ready, &recorded)?,
                Err(DecideError::Store(error)) => return Err(stopped(error, ready.line)),
                Err(error) => self.reject(ready.line, &error.to_string()),
            }
        }
        Ok(())
    }

    fn recorded(&mut self, ready: &Ready, recorded: &Recorded) -> anyhow::Result<()> {
        if recorded.repeated {
            self.counts.repeated += 1;
        } else {
            self.count(recorded.effect, !ready.decision.decision.granted.is_empty());
        }
        self.hand_out(ready, Some(&recorded.consent))
    }

    /// Writes which cookie the person of a line has from now on.
    fn hand_out(&mut self, ready: &Ready, consent: Option<&Consent>) -> anyhow::Result<()> {
        let Some(out) = &mut self.cookies else { return Ok(()) };
        let Published { notice, outline, .. } = &*self.published;
        let cookie = consent.and_then(|consent| {
            let shown = (consent.identified || notice.id_for_refusals()).then_some(ready.subject);
            consent.to_cookie(outline, shown, self.app.clock.now())
        });
        let line = serde_json::json!({
            "line": ready.line,
            "id": ready.old,
            "subject": ready.subject,
            "cookie": cookie.map(|cookie| cookie.value()),
        });
        writeln!(out, "{line}").context("cannot write the cookies")
    }

    fn tell(&self) {
        self.bar.finish_and_clear();
        let Counts { granting, refusing, unproven, stale, repeated, rejected } = self.counts;
        let recorded = granting + refusing + unproven + stale;
        say!("{}  {recorded}", if self.dry_run { "to record" } else { "recorded " });
        say!("  granting {granting}");
        say!("  refusing {refusing}");
        say!("  unproven {unproven} (without the text that was shown: kept, and grants nothing)");
        say!("  stale    {stale} (the person has decided here meanwhile: kept, and grants nothing)");
        say!("repeated   {repeated}");
        say!("rejected   {rejected}");
    }
}

/// What a name stands for: an id of the notice, or its like, or a service wherever it is. `None` if nothing.
fn meant(name: &str, outline: &Outline) -> Option<Vec<ChoiceId>> {
    let listed = |text: &str| ChoiceId::parse(text).ok().filter(|choice| outline.listed(choice).is_some());
    let like = match name.split_once(':') {
        Some((category, service)) => format!("{}:{}", slug(category), slug(service)),
        None => slug(name),
    };
    if let Some(choice) = listed(name).or_else(|| listed(&like)) {
        return Some(vec![choice]);
    }
    let places = outline.categories.iter().filter_map(|category| {
        let service = category.service(&like)?;
        Some(ChoiceId::service_of(&category.id, &service.id))
    });
    let places: Vec<_> = places.collect();
    (!places.is_empty()).then_some(places)
}

/// Skips the rest of a line; returns how much that was.
fn skip_line(input: &mut impl BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        input.consume(length);
        skipped += length as u64;
        if end.is_some() || length == 0 {
            return Ok(skipped);
        }
    }
}

fn stopped(error: StoreError, line: u64) -> anyhow::Error {
    anyhow::Error::new(error)
        .context(format!("stopped before line {line}; importing the file again goes on from there"))
}

fn progress(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}
