//! What this browser holds, and what to show next: the core's rules applied to one cookie and to what waits to be sent.
//!
//! Pure and tested natively; the surface that JavaScript sees is in `lib.rs`.

use alloc::string::String;
use alloc::vec::Vec;

use consent_core::consent::{Act, Consent, Granted, Status, View};
use consent_core::cookie::{self, Cookie, Found};
use consent_core::decision::{Decision, DecisionError, Layer, Method, Signals};
use consent_core::id::{ChoiceId, RecordId, SubjectId};
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;

/// What a page shows when nobody has pressed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// The first layer.
    Ask,
    /// The first layer, saying that something changed since the last choice.
    AskAgain,
    /// The control that opens the settings.
    Reopen,
}

/// What a person asks for, before the core has judged it.
#[derive(Debug, Clone)]
pub struct Request {
    /// By which act.
    pub method: Method,
    /// Where.
    pub layer: Layer,
    /// What is granted, as claimed.
    pub granted: Vec<ChoiceId>,
    /// When.
    pub at: UnixMillis,
    /// The layer said that a signal was on.
    pub said: bool,
}

/// The consent of whoever uses this browser.
#[derive(Debug, Clone)]
pub struct Device {
    /// The notice in force.
    pub outline: Outline,
    /// The browser sends GPC or DNT.
    pub signal: bool,
    /// Who only refuses carries an ID too.
    pub id_for_refusals: bool,
    /// Who this is, once something was granted.
    pub subject: Option<SubjectId>,
    consent: Consent,
}

impl Device {
    /// Nobody has decided anything yet.
    pub fn new(outline: Outline) -> Self {
        Self { outline, signal: false, id_for_refusals: false, subject: None, consent: Consent::default() }
    }

    /// Takes what `document.cookie` says under `name`. Returns whether there is something unreadable that must be deleted.
    pub fn read(&mut self, cookies: &str, name: &str) -> bool {
        self.reset();
        let value = match cookie::find(cookies, name) {
            Found::Absent => return false,
            Found::One(value) => value,
            Found::Differing => return true,
        };
        match Cookie::parse(value) {
            Ok(cookie) => {
                self.subject = cookie.subject;
                self.consent = Consent::from_cookie_only(&cookie, &self.outline);
                false
            }
            Err(_) => true,
        }
    }

    /// Takes a decision that was made here and is not confirmed yet, in the order of the queue.
    ///
    /// The cookie says it already, unless the answer to an earlier one has set the cookie back meanwhile.
    pub fn replay(&mut self, subject: Option<SubjectId>, notice: u32, request: &Request) {
        if request.method == Method::Forget {
            if self.subject == subject {
                self.reset();
            }
            return;
        }
        // Somebody else's, from before a "Forget my settings".
        if self.subject.is_some() && self.subject != subject {
            return;
        }
        if let Ok((_, act)) = self.judge(RecordId::at(request.at, &[0; 10]), request) {
            self.subject = subject;
            self.consent.apply(&Act { notice, ..act });
        }
    }

    /// Judges an act and takes it. Returns the id of its record, or `None` where it answers nothing and must not be recorded.
    ///
    /// # Errors
    /// [`DecisionError`], and nothing changes.
    pub fn decide(&mut self, request: &Request, random: &[u8; 26]) -> Result<Option<RecordId>, DecisionError> {
        let (subject_bytes, record_bytes) = random.split_first_chunk().expect("26 bytes are 16 and 10");
        let id = RecordId::at(request.at, record_bytes.first_chunk().expect("26 bytes are 16 and 10"));
        let (grants, act) = self.judge(id, request)?;
        if request.method == Method::Forget {
            self.reset();
            return Ok(Some(id));
        }
        // A first layer that was answered in another tab.
        if act.granted.is_empty() && act.denied.is_empty() {
            return Ok(None);
        }
        let lasts = request.layer != Layer::Placeholder;
        if self.subject.is_none() && lasts && (grants || self.id_for_refusals) {
            self.subject = Some(SubjectId::from_random(*subject_bytes));
        }
        self.consent.apply(&act);
        Ok(Some(id))
    }

    /// Takes what the server says holds: what it denies is denied here.
    pub fn follow(&mut self, status: &str, denied: &[ChoiceId]) {
        if status == Status::None.as_str() || status == Status::Forgotten.as_str() {
            self.reset();
        }
        for choice in &mut self.consent.choices {
            // A category of which only services are granted is not granted as a whole, so "denied" says nothing about them; a
            // service that is denied although it is granted here takes the others with it, since nobody knows what happened.
            let is_denied = denied.iter().filter(|id| id.category() == choice.category.as_str()).any(|id| {
                match (&choice.granted, id.service()) {
                    (Granted::Whole, service) => service.is_none(),
                    (Granted::Services(services), Some(service)) => services.iter().any(|s| s.as_str() == service),
                    _ => false,
                }
            });
            if is_denied {
                choice.granted = Granted::Nothing;
            }
        }
    }

    /// What the page shows when nobody has pressed anything.
    pub fn show(&self, now: UnixMillis) -> Show {
        match self.status(now) {
            Status::Valid => Show::Reopen,
            Status::Outdated => Show::AskAgain,
            Status::None | Status::Expired | Status::Forgotten => Show::Ask,
        }
    }

    /// How the consent stands.
    pub fn status(&self, now: UnixMillis) -> Status {
        self.view(now).status()
    }

    /// Writes the optional ids that are granted, joined as in the cookie.
    pub fn granted(&self, now: UnixMillis, text: &mut String) {
        let mut first = true;
        for id in self.view(now).granted_ids() {
            join(text, &mut first, id.as_str());
        }
    }

    /// Writes every id that may be used: necessary and granted categories, and each of their services that may be.
    pub fn allowed(&self, now: UnixMillis, text: &mut String) {
        let view = self.view(now);
        let mut first = true;
        let mut add = |id: &ChoiceId| {
            if view.granted(id) {
                join(text, &mut first, id.as_str());
            }
        };
        for category in &self.outline.categories {
            add(&ChoiceId::from(&category.id));
            for service in &category.services {
                add(&ChoiceId::service_of(&category.id, &service.id));
            }
        }
    }

    /// Whether a signal denies something that was granted before it appeared.
    pub fn withheld(&self, now: UnixMillis) -> bool {
        self.view(now).withheld().next().is_some()
    }

    /// The value of the cookie; `None` where there must be none.
    pub fn cookie(&self, now: UnixMillis) -> Option<String> {
        self.consent.to_cookie(&self.outline, self.subject, now).map(|cookie| cookie.value())
    }

    fn view(&self, now: UnixMillis) -> View<'_> {
        self.consent.view(&self.outline, now, self.signal)
    }

    fn reset(&mut self) {
        self.subject = None;
        self.consent = Consent::default();
    }

    /// What an act says under the rules, and whether it grants anything.
    fn judge(&self, id: RecordId, request: &Request) -> Result<(bool, Act), DecisionError> {
        let Request { method, layer, at, said, .. } = *request;
        // Here the order is the person's own, so each act follows the last one; what the server's log says is for its answer.
        let prev = self.consent.last.map(|last| last.id);
        let decision = Decision {
            id,
            prev,
            method,
            layer,
            granted: request.granted.clone(),
            decided_at: at,
            signals: Signals { said, gpc: self.signal, dnt: false },
            on_behalf: false,
        };
        let answer = decision.resolve(&self.outline, &self.consent, at)?;
        let grants = !answer.granted.is_empty();
        let act = Act {
            id,
            prev,
            method,
            layer,
            granted: answer.granted,
            denied: answer.denied,
            notice: self.outline.version,
            decided_at: at,
            recorded_at: at,
            said,
            on_behalf: false,
        };
        Ok((grants, act))
    }
}

fn join(text: &mut String, first: &mut bool, id: &str) {
    if !*first {
        text.push('~');
    }
    *first = false;
    text.push_str(id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;

    const NOW: i64 = 1_795_504_832_000;
    const COOKIE: &str = "1.1.1795504800.AAAAAAAAQACAAAAAAAAAAQ";
    const SUBJECT: &str = "00000000-0000-4000-8000-000000000001";
    const RANDOM: &str = "00112233445566778899aabbccddeeff00112233445566778899";

    /// Asks under a notice of `version` with a functional category, statistics with one service, and marketing that heeds signals.
    fn ask(version: u32, signal: bool, cookies: &str, more: &[String]) -> Vec<String> {
        let mut lines = vec![
            format!("n {version} 180 {} 0 {NOW}", i32::from(signal)),
            "c functional 1 0 1".to_owned(),
            "s choice 1".to_owned(),
            format!("c statistics 0 0 {version}"),
            "s counter 1".to_owned(),
            "c marketing 0 1 1".to_owned(),
            format!("k consent {cookies}"),
        ];
        lines.extend_from_slice(more);
        judge(&lines.join("\n")).split(' ').map(str::to_owned).collect()
    }

    fn act(method: &str, layer: &str, granted: &str, said: bool) -> String {
        format!("a {NOW} {} {method} {layer} {granted} {RANDOM}", i32::from(said))
    }

    fn queued(method: &str, layer: &str, granted: &str, subject: &str) -> String {
        format!("q {NOW} 0 {method} {layer} {granted} {subject} 1")
    }

    const ID: usize = 0;
    const STATUS: usize = 1;
    const GRANTED: usize = 2;
    const ALL: usize = 3;
    const SHOW: usize = 4;
    const WITHHELD: usize = 5;
    const VALUE: usize = 6;
    const WHO: usize = 7;
    const DAMAGED: usize = 8;

    #[test]
    fn what_a_cookie_says_holds() {
        for (name, cookies, status, granted, show, damaged) in [
            ("nobody", String::new(), "none", "", "ask", ""),
            ("another cookie", "session=1".to_owned(), "none", "", "ask", ""),
            ("refused", "consent=1.1.1795504800.-..".to_owned(), "valid", "", "reopen", ""),
            ("granted", format!("a=b; consent={COOKIE}.statistics."), "valid", "statistics", "reopen", ""),
            ("a service", format!("consent={COOKIE}.statistics:counter."), "valid", "statistics:counter", "reopen", ""),
            ("twice the same", format!("consent={COOKIE}..; consent={COOKIE}.."), "valid", "", "reopen", ""),
            ("two that differ", format!("consent={COOKIE}..; consent={COOKIE}.statistics."), "none", "", "ask", "1"),
            ("garbage", "consent=yes".to_owned(), "none", "", "ask", "1"),
            ("from the future", "consent=1.1.1795514800.-..".to_owned(), "expired", "", "ask", ""),
            ("old", "consent=1.1.1775504800.-..".to_owned(), "expired", "", "ask", ""),
        ] {
            let now = ask(1, false, &cookies, &[]);
            let want = ["", status, granted];
            assert_eq!([&now[ID], &now[STATUS], &now[GRANTED]], want, "{name}");
            assert_eq!([&now[SHOW], &now[DAMAGED]], [show, damaged], "{name}");
        }
    }

    #[test]
    fn what_may_be_used_names_services() {
        let now = ask(1, false, &format!("consent={COOKIE}.statistics."), &[]);
        assert_eq!(now[ALL], "functional~functional:choice~statistics~statistics:counter");
        assert_eq!(now[WHO], SUBJECT);
    }

    #[test]
    fn only_a_grant_mints_a_subject() {
        for (method, layer, granted, status, who) in [
            ("close", "first", "", "valid", ""),
            ("save", "settings", "", "valid", ""),
            ("save", "settings", "statistics", "valid", "00112233-4455-4677-8899-aabbccddeeff"),
            ("save", "placeholder", "statistics", "none", ""),
            ("accept-all", "first", "marketing~statistics", "valid", "00112233-4455-4677-8899-aabbccddeeff"),
        ] {
            let now = ask(1, false, "", &[act(method, layer, granted, false)]);
            assert_eq!(now[ID].len(), 36, "{method} {layer}");
            assert_eq!([&now[STATUS], &now[WHO]], [status, who], "{method} {layer}");
            assert_eq!(now[VALUE].is_empty(), status == "none", "{method} {layer}: {}", now[VALUE]);
        }
    }

    #[test]
    fn what_must_not_be_is_refused_and_changes_nothing() {
        for (method, layer, granted, why) in [
            ("close", "first", "statistics", "!act"),
            ("reject-all", "first", "statistics", "!act"),
            ("forget", "settings", "statistics", "!act"),
            ("signal", "none", "marketing", "!act"),
            ("close", "settings", "", "!act"),
            ("accept-all", "first", "statistics", "!all"),
            ("save", "settings", "bogus", "!id"),
            ("save", "settings", "Not~an-id", "!id"),
            ("bogus", "settings", "", "!id"),
        ] {
            let now = ask(1, false, &format!("consent={COOKIE}.."), &[act(method, layer, granted, false)]);
            assert_eq!([&now[ID], &now[STATUS], &now[GRANTED]], [why, "valid", ""], "{method} {layer} {granted}");
            assert_eq!(now[VALUE], format!("{COOKIE}.."), "{method} {layer} {granted}");
        }
    }

    #[test]
    fn forgetting_leaves_nothing() {
        let now = ask(1, false, &format!("consent={COOKIE}.statistics."), &[act("forget", "settings", "", false)]);
        assert_eq!([&now[STATUS], &now[GRANTED], &now[VALUE], &now[WHO]], ["none", "", "", ""]);
        assert_eq!(now[ALL], "functional~functional:choice");
    }

    #[test]
    fn a_queue_wins_over_a_cookie_that_an_earlier_answer_set_back() {
        let granted = format!("consent={COOKIE}.statistics.");
        let revoked = ask(1, false, &granted, &[queued("save", "settings", "", SUBJECT)]);
        assert_eq!([&revoked[STATUS], &revoked[GRANTED], &revoked[WHO]], ["valid", "", SUBJECT]);
        let forgotten = ask(1, false, &granted, &[queued("forget", "settings", "", SUBJECT)]);
        assert_eq!([&forgotten[STATUS], &forgotten[VALUE]], ["none", ""]);
        let other =
            ask(1, false, &granted, &[queued("forget", "settings", "", "00112233-4455-4677-8899-aabbccddeeff")]);
        assert_eq!(other[GRANTED], "statistics", "somebody who was here before has forgotten, not this one");
    }

    #[test]
    fn what_the_server_denies_is_denied() {
        let granted = format!("consent={COOKIE}.statistics~marketing.");
        for (name, line, status, holds) in [
            ("one of them", "f valid marketing", "valid", "statistics"),
            ("none", "f valid functional", "valid", "marketing~statistics"),
            ("forgotten elsewhere", "f forgotten ", "none", ""),
            ("unknown to it", "f none ", "none", ""),
        ] {
            let now = ask(1, false, &granted, &[line.to_owned()]);
            assert_eq!([&now[STATUS], &now[GRANTED]], [status, holds], "{name}");
        }
    }

    #[test]
    fn a_signal_withholds_until_it_is_said() {
        let granted = format!("consent={COOKIE}.statistics~marketing.");
        let now = ask(1, true, &granted, &[]);
        assert_eq!([&now[GRANTED], &now[WITHHELD]], ["statistics", "1"]);
        let recorded = ask(1, true, &granted, &[act("signal", "none", "", false)]);
        assert_eq!([&recorded[GRANTED], &recorded[WITHHELD]], ["statistics", ""]);
        let said = ask(1, true, "", &[act("accept-all", "first", "statistics~marketing", true)]);
        assert_eq!([&said[GRANTED], &said[WITHHELD]], ["marketing~statistics", ""]);
        assert_eq!(said[VALUE].rsplit('.').next(), Some("s"), "{}", said[VALUE]);
    }

    #[test]
    fn a_material_version_asks_again_and_close_answers_only_that() {
        let granted = format!("consent={COOKIE}.statistics~marketing.");
        let now = ask(2, false, &granted, &[]);
        assert_eq!([&now[STATUS], &now[GRANTED], &now[SHOW]], ["outdated", "marketing", "again"]);
        let closed = ask(2, false, &granted, &[act("close", "first", "", false)]);
        assert_eq!([&closed[STATUS], &closed[GRANTED], &closed[SHOW]], ["valid", "marketing", "reopen"]);
    }

    #[test]
    fn a_layer_that_another_tab_has_answered_records_nothing() {
        let now = ask(1, false, &format!("consent={COOKIE}.statistics."), &[act("close", "first", "", false)]);
        assert_eq!([&now[ID], &now[STATUS], &now[GRANTED]], ["", "valid", "statistics"]);
    }

    #[test]
    fn nonsense_grants_nothing() {
        for lines in
            ["", "\n\n", "k", "k consent", "x y z", "n 1 180 0 0 0\nc A 0 0 1\na", "a 1 1 save settings statistics zz"]
        {
            let answer = judge(lines);
            let fields: Vec<_> = answer.split(' ').collect();
            assert_eq!(fields.len(), 9, "{lines:?}: {answer:?}");
            assert_eq!(fields[GRANTED], "", "{lines:?}");
        }
    }
}
