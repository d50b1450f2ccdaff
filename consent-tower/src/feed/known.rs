//! What the service has said about subjects, as long as the feed vouches for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use consent_core::id::{ChoiceId, SubjectId};

/// Answers of the service, bounded in number, each good until something happens to its subject.
pub(super) struct Known {
    /// What was learnt last, and what was learnt before that: when the first is full it takes the place of the second.
    young: HashMap<SubjectId, Entry>,
    old: HashMap<SubjectId, Entry>,
    half: usize,
    max_age: Duration,
    /// Something may happen to a subject that the feed tells of another one.
    accounts: bool,
    as_of: Option<Instant>,
    tickets: u64,
}

struct Entry {
    /// Told apart from an entry that was dropped and made anew.
    ticket: u64,
    answers: Vec<Answer>,
}

struct Answer {
    choice: ChoiceId,
    granted: bool,
    /// When it was asked for.
    as_of: Instant,
}

/// Says when an answer of the service was asked for, and that nothing had happened to its subject then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    number: u64,
    as_of: Instant,
}

impl Known {
    pub(super) fn new(max_subjects: usize, max_age: Duration, accounts: bool) -> Self {
        let half = (max_subjects / 2).max(1);
        Self { young: HashMap::new(), old: HashMap::new(), half, max_age, accounts, as_of: None, tickets: 0 }
    }

    /// Whether all that happened up to a moment that is not too long ago has been heeded.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.as_of.is_some_and(|as_of| now.saturating_duration_since(as_of) <= self.max_age)
    }

    /// What is known, where the feed vouches for it.
    pub(super) fn of(&self, subject: SubjectId, choice: &ChoiceId, now: Instant) -> Option<bool> {
        if !self.is_fresh(now) {
            return None;
        }
        let entry = self.young.get(&subject).or_else(|| self.old.get(&subject))?;
        let answer = entry.answers.iter().find(|answer| answer.choice == *choice)?;
        let good = !self.accounts || now.saturating_duration_since(answer.as_of) <= self.max_age;
        good.then_some(answer.granted)
    }

    /// Before the service is asked. Nothing where the feed would not bring what happens after its answer.
    pub(super) fn expect(&mut self, subject: SubjectId, now: Instant) -> Option<Ticket> {
        if !self.is_fresh(now) {
            return None;
        }
        if let Some(entry) = self.young.get(&subject) {
            return Some(Ticket { number: entry.ticket, as_of: now });
        }
        let entry = self.old.remove(&subject).unwrap_or_else(|| {
            self.tickets += 1;
            Entry { ticket: self.tickets, answers: Vec::new() }
        });
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let ticket = Ticket { number: entry.ticket, as_of: now };
        self.young.insert(subject, entry);
        Some(ticket)
    }

    /// After the service has answered. Returns false where something happened to the subject meanwhile: the answer may be older.
    pub(super) fn learn(&mut self, ticket: Ticket, subject: SubjectId, choice: ChoiceId, granted: bool) -> bool {
        let entry = self.young.get_mut(&subject).or_else(|| self.old.get_mut(&subject));
        let Some(entry) = entry.filter(|entry| entry.ticket == ticket.number) else { return false };
        let answer = Answer { choice, granted, as_of: ticket.as_of };
        match entry.answers.iter_mut().find(|earlier| earlier.choice == answer.choice) {
            Some(earlier) => *earlier = answer,
            None => entry.answers.push(answer),
        }
        true
    }

    /// Something happened to a subject.
    pub(super) fn drop_subject(&mut self, subject: SubjectId) {
        self.young.remove(&subject);
        self.old.remove(&subject);
    }

    /// Something happened to nobody knows whom.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// All that happened before this moment is heeded now.
    pub(super) fn fresh_as_of(&mut self, as_of: Instant) {
        self.as_of = Some(as_of);
    }

    /// The place in the feed was lost: what happened since cannot be known.
    pub(super) fn lose(&mut self) {
        self.as_of = None;
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(10);

    fn subject(n: u8) -> SubjectId {
        SubjectId::from_random([n; 16])
    }

    fn statistics() -> ChoiceId {
        ChoiceId::parse("statistics").unwrap()
    }

    /// Known at `t`, with one grant in it.
    fn with_one(t: Instant) -> Known {
        let mut known = Known::new(4, AGE, false);
        known.fresh_as_of(t);
        let ticket = known.expect(subject(1), t).unwrap();
        assert!(known.learn(ticket, subject(1), statistics(), true));
        known
    }

    #[test]
    fn what_is_known_is_used_only_while_the_feed_is_young() {
        let t = Instant::now();
        let mut known = with_one(t);
        assert_eq!(known.of(subject(1), &statistics(), t + AGE), Some(true));
        assert_eq!(known.of(subject(1), &ChoiceId::parse("marketing").unwrap(), t), None, "never asked");
        let late = t + AGE + Duration::from_millis(1);
        assert_eq!(known.of(subject(1), &statistics(), late), None);
        assert_eq!(known.expect(subject(2), late), None, "what is answered now could be revoked unseen");
        known.fresh_as_of(late);
        assert_eq!(known.of(subject(1), &statistics(), late), Some(true), "the feed went on where it was");
        known.lose();
        assert_eq!(known.of(subject(1), &statistics(), late), None);
        known.fresh_as_of(late);
        assert_eq!(known.of(subject(1), &statistics(), late), None, "the feed did not go on where it was");
    }

    #[test]
    fn with_accounts_no_answer_is_older_than_the_feed_may_be() {
        let t = Instant::now();
        let mut known = Known::new(4, AGE, true);
        known.fresh_as_of(t);
        let ticket = known.expect(subject(1), t).unwrap();
        assert!(known.learn(ticket, subject(1), statistics(), true));
        let later = t + AGE + Duration::from_millis(1);
        known.fresh_as_of(later);
        assert_eq!(known.of(subject(1), &statistics(), t + AGE), Some(true));
        assert_eq!(known.of(subject(1), &statistics(), later), None);
        let ticket = known.expect(subject(1), later).unwrap();
        assert!(known.learn(ticket, subject(1), statistics(), false));
        assert_eq!(known.of(subject(1), &statistics(), later + AGE), Some(false));
    }

    #[test]
    fn an_answer_that_crossed_an_event_is_not_kept() {
        let t = Instant::now();
        let mut known = with_one(t);
        let ticket = known.expect(subject(1), t).unwrap();
        known.drop_subject(subject(1));
        assert!(!known.learn(ticket, subject(1), statistics(), true));
        assert_eq!(known.of(subject(1), &statistics(), t), None);
        // Nor where somebody has asked again meanwhile.
        let ticket = known.expect(subject(1), t).unwrap();
        known.drop_subject(subject(1));
        let again = known.expect(subject(1), t).unwrap();
        assert!(!known.learn(ticket, subject(1), statistics(), true));
        assert!(known.learn(again, subject(1), statistics(), false));
        assert_eq!(known.of(subject(1), &statistics(), t), Some(false));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let t = Instant::now();
        let mut known = with_one(t);
        for n in 2..200 {
            let ticket = known.expect(subject(n), t).unwrap();
            assert!(known.learn(ticket, subject(n), statistics(), true));
            assert!(known.young.len() + known.old.len() <= 4);
            assert_eq!(known.of(subject(n), &statistics(), t), Some(true));
        }
        assert_eq!(known.of(subject(1), &statistics(), t), None);
    }
}
