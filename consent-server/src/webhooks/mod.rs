//! Webhooks: each event of a site, sent by HTTP to whoever processes data on the strength of it.
//!
//! One task for each webhook follows the feed from where the webhook is, in order: an event is sent once the one before it was taken
//! or given up. What was sent is written down after it was, so that a receiver may get an event twice, with the same `webhook-id`,
//! and misses none. See `docs/events.md`.

pub mod address;
pub mod manage;
mod post;
pub mod secret;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use consent_core::id::{ChoiceId, SiteId, SubjectId};
use consent_core::time::UnixMillis;
use data_encoding::BASE32_NOPAD;
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::app::App;
use crate::random;
use crate::store::events::{Cursor, Event, EventType};
use crate::store::webhooks::{Delivery, State, Webhook, WebhookStore, Which};
use crate::store::{Site, Store, StoreError};
use post::{Outcome, Poster};
use secret::Secrets;

/// How often new, ended and redelivered webhooks are looked for, and what falls due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many messages are on their way at the same time, over all webhooks.
const AT_ONCE: usize = 16;
/// Events read from the feed at once.
const PAGE: usize = 100;
/// What was delivered is written down after so many, or after so long.
const GATHER: usize = 50;
const GATHER_FOR: Duration = Duration::from_secs(1);
/// How far a webhook may have come without an event for it before that is written down, in records.
const AHEAD: u64 = 10_000;
/// The first wait after a failure, in milliseconds; doubled with each one more.
const FIRST_WAIT: i64 = 1_000;
/// The longest wait, in milliseconds.
const LONGEST_WAIT: i64 = 3_600_000;

/// The public name of a new webhook.
pub fn new_id() -> String {
    BASE32_NOPAD.encode(&random::bytes::<5>()).to_lowercase()
}

/// Delivers what there is to deliver, for good.
pub async fn deliver_forever(app: Arc<App>) {
    let courier = Arc::new(Courier {
        secrets: Secrets::new(&app.data),
        poster: Poster::new(app.config.webhook_allow_private),
        slots: Semaphore::new(AT_ONCE),
        app,
    });
    // The tasks end with the set, and the set with this one.
    let mut tasks = JoinSet::new();
    let mut running: HashMap<String, AbortHandle> = HashMap::new();
    loop {
        while tasks.try_join_next().is_some() {}
        running.retain(|_, task| !task.is_finished());
        match courier.app.reading(|app| app.store.webhooks()).await {
            Ok(webhooks) => {
                for webhook in webhooks {
                    if webhook.ended.is_some() {
                        running.remove(&webhook.id).iter().for_each(AbortHandle::abort);
                    } else {
                        let start = || tasks.spawn(Arc::clone(&courier).follow(webhook.clone()));
                        running.entry(webhook.id.clone()).or_insert_with(start);
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the webhooks cannot be read"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What a receiver gets. See Standard Webhooks, "Payload structure".
#[derive(Debug, Serialize)]
struct Message<'a> {
    r#type: EventType,
    timestamp: UnixMillis,
    data: MessageData<'a>,
}

#[derive(Debug, Serialize)]
struct MessageData<'a> {
    id: &'a str,
    site: &'a SiteId,
    subject: SubjectId,
    granted: &'a [ChoiceId],
    denied: &'a [ChoiceId],
    notice: Option<u32>,
}

/// When a webhook goes on.
enum Next {
    Now,
    /// After so long, or with the next commit.
    Idle(Duration),
    /// After so long, whatever is committed: something is retried.
    Wait(Duration),
    /// Never.
    End,
}

struct Courier {
    app: Arc<App>,
    poster: Poster,
    secrets: Secrets,
    slots: Semaphore,
}

/// One webhook's way along the feed.
struct Way {
    webhook: Webhook,
    /// Everything before this was delivered or given up.
    place: Cursor,
    /// What of `place` is written down.
    kept: Cursor,
    /// What came of deliveries and is not written down yet.
    done: Vec<Delivery>,
    since: Instant,
}

impl Courier {
    fn site(&self, webhook: &Webhook) -> Result<Arc<Site>, StoreError> {
        let site = self.app.store.registry().site(webhook.site.as_str()).cloned();
        site.ok_or_else(|| StoreError::Refused(format!("there is no site {}", webhook.site)))
    }

    async fn follow(self: Arc<Self>, webhook: Webhook) {
        let (place, since) = (webhook.cursor, Instant::now());
        let mut way = Way { webhook, place, kept: place, done: Vec::new(), since };
        let mut commits = self.app.store.commits();
        loop {
            commits.mark_unchanged();
            let next = match self.round(&mut way).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, webhook = %way.webhook.id, "webhook {} waits", way.webhook.id);
                    // What is written down is what counts: anything else may be half of something.
                    way.done.clear();
                    way.place = way.kept;
                    Next::Wait(Duration::from_secs(5))
                }
            };
            match next {
                Next::Now => {}
                Next::Idle(time) => drop(tokio::time::timeout(time, commits.changed()).await),
                Next::Wait(time) => tokio::time::sleep(time.min(LOOK_EVERY)).await,
                Next::End => return,
            }
        }
    }

    /// Does what there is to do now.
    async fn round(&self, way: &mut Way) -> Result<Next, StoreError> {
        let id = way.webhook.id.clone();
        let open = self.app.reading(move |app| app.store.deliveries(&id, Which::Open, None, PAGE)).await?;
        let (again, retried): (Vec<_>, Vec<_>) = open.into_iter().partition(|delivery| delivery.state == State::Again);
        for delivery in again {
            if !self.once_more(way, delivery).await? {
                return Ok(Next::End);
            }
        }
        match retried.into_iter().next() {
            Some(delivery) => self.retry(way, delivery).await,
            None => self.advance(way).await,
        }
    }

    /// The event of a delivery as it is now, if it still holds.
    async fn find(&self, way: &Way, delivery: &Delivery) -> Result<Option<Event>, StoreError> {
        let (site, id) = (self.site(&way.webhook)?, delivery.event.clone());
        self.app.reading(move |app| app.store.event(&site, &id)).await
    }

    /// Sends what was given up, or was delivered before, once; `false` if the webhook is gone.
    async fn once_more(&self, way: &mut Way, mut delivery: Delivery) -> Result<bool, StoreError> {
        let outcome = match self.find(way, &delivery).await? {
            Some(event) => self.send(&way.webhook, &event).await,
            None => return self.close(way, delivery, State::Void, way.place).await.map(|()| true),
        };
        self.note(&mut delivery, &outcome);
        let state = if delivered(&outcome) { State::Delivered } else { State::Dead };
        self.close(way, delivery, state, way.place).await?;
        Ok(!self.gone(way, &outcome).await?)
    }

    /// Tries again what failed, once its time has come.
    async fn retry(&self, way: &mut Way, mut delivery: Delivery) -> Result<Next, StoreError> {
        let now = self.app.clock.now().millis();
        let wait = delivery.next_at.map_or(0, |at| at.millis() - now);
        if wait > 0 {
            // The clock may have been put back: never longer than the longest wait.
            return Ok(Next::Wait(millis(wait.min(LONGEST_WAIT))));
        }
        let place = delivery.place.unwrap_or(way.place);
        let Some(event) = self.find(way, &delivery).await? else {
            self.close(way, delivery, State::Void, place).await?;
            return Ok(Next::Now);
        };
        let outcome = self.send(&way.webhook, &event).await;
        self.note(&mut delivery, &outcome);
        if delivered(&outcome) {
            self.close(way, delivery, State::Delivered, place).await?;
            return Ok(Next::Now);
        }
        if self.is_lost(&delivery, &outcome) {
            tracing::warn!(webhook = %way.webhook.id, "webhook {} gave an event up", way.webhook.id);
            let place = passed(way, &outcome, place);
            self.close(way, delivery, State::Dead, place).await?;
            return Ok(if self.gone(way, &outcome).await? { Next::End } else { Next::Now });
        }
        way.done.push(self.postpone(delivery, place));
        self.keep(way, false).await?;
        Ok(Next::Now)
    }

    /// Goes on along the feed.
    async fn advance(&self, way: &mut Way) -> Result<Next, StoreError> {
        let (site, after) = (self.site(&way.webhook)?, way.place);
        let page = self.app.reading({
            let site = Arc::clone(&site);
            move |app| app.store.feed(&site, &after, PAGE, app.clock.now())
        });
        let Some(page) = page.await? else {
            tracing::warn!(webhook = %way.webhook.id, "the log is shorter than what webhook {} was told of: it goes on at its end", way.webhook.id);
            way.place = self.app.store.feed_end(&site, self.app.clock.now())?;
            self.keep(way, false).await?;
            return Ok(Next::Now);
        };
        for event in &page.events {
            if !way.webhook.wants(event) {
                continue;
            }
            let now = self.app.clock.now();
            let mut delivery = Delivery {
                n: None,
                event: event.id.clone(),
                kind: event.kind,
                state: State::Delivered,
                attempts: 0,
                status: None,
                error: None,
                first_at: now,
                last_at: now,
                next_at: None,
                place: None,
            };
            let outcome = self.send(&way.webhook, event).await;
            self.note(&mut delivery, &outcome);
            if !delivered(&outcome) {
                if self.is_lost(&delivery, &outcome) {
                    let place = passed(way, &outcome, event.cursor);
                    self.close(way, delivery, State::Dead, place).await?;
                    return Ok(if self.gone(way, &outcome).await? { Next::End } else { Next::Now });
                }
                way.done.push(self.postpone(delivery, event.cursor));
                self.keep(way, false).await?;
                return Ok(Next::Now);
            }
            way.done.push(delivery);
            way.place = event.cursor;
            if way.done.len() >= GATHER || way.since.elapsed() >= GATHER_FOR {
                self.keep(way, false).await?;
            }
        }
        way.place = page.next;
        if !way.done.is_empty() || way.place.records_since(&way.kept) > AHEAD {
            self.keep(way, false).await?;
        }
        Ok(if page.more { Next::Now } else { Next::Idle(LOOK_EVERY) })
    }

    /// Sends one event and waits for the answer.
    async fn send(&self, webhook: &Webhook, event: &Event) -> Outcome {
        let Ok(_slot) = self.slots.acquire().await else { return Outcome::Failed("stopped") };
        let Ok(secret) = self.secrets.read(&webhook.id) else {
            tracing::error!(webhook = %webhook.id, "the secret of webhook {} cannot be read", webhook.id);
            return Outcome::Failed("its secret cannot be read");
        };
        let message = Message {
            r#type: event.kind,
            timestamp: event.at,
            data: MessageData {
                id: &event.id,
                site: &webhook.site,
                subject: event.subject,
                granted: &event.granted,
                denied: &event.denied,
                notice: event.notice,
            },
        };
        let body = serde_json::to_vec(&message).expect("a message holds only text, numbers and string keys");
        let seconds = self.app.clock.now().seconds();
        let headers = [
            ("webhook-id", event.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", secret.sign(&event.id, seconds, &body)),
        ];
        let (poster, url) = (self.poster.clone(), webhook.url.clone());
        let (reply, answer) = oneshot::channel();
        // A thread of its own and none of the runtime's: a server that stops does not wait for a receiver.
        let thread = std::thread::Builder::new().name("consent-webhook".to_owned()).spawn(move || {
            drop(reply.send(poster.post(&url, &headers, &body)));
        });
        match thread {
            Ok(_) => answer.await.unwrap_or(Outcome::Failed("stopped")),
            Err(_) => Outcome::Failed("no thread"),
        }
    }

    fn note(&self, delivery: &mut Delivery, outcome: &Outcome) {
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.last_at = self.app.clock.now();
        (delivery.status, delivery.error) = match outcome {
            Outcome::Status(status) => (Some(*status), None),
            Outcome::Failed(why) => (None, Some((*why).to_owned())),
        };
    }

    /// Whether it is not tried any more.
    fn is_lost(&self, delivery: &Delivery, outcome: &Outcome) -> bool {
        let tried_for = delivery.last_at.millis() - delivery.first_at.millis();
        *outcome == Outcome::Status(410) || tried_for >= self.retry_millis()
    }

    fn retry_millis(&self) -> i64 {
        i64::try_from(Duration::from_secs(self.app.config.webhook_retry_seconds).as_millis()).unwrap_or(i64::MAX)
    }

    /// When a delivery that failed is tried again.
    fn postpone(&self, mut delivery: Delivery, place: Cursor) -> Delivery {
        let last = delivery.first_at.millis().saturating_add(self.retry_millis());
        let next = delivery.last_at.millis() + wait_after(delivery.attempts, random::bytes());
        delivery.state = State::Retrying;
        delivery.next_at = Some(UnixMillis::new(next.min(last)));
        delivery.place = Some(place);
        delivery
    }

    /// Writes down how a delivery ended.
    async fn close(
        &self,
        way: &mut Way,
        mut delivery: Delivery,
        state: State,
        place: Cursor,
    ) -> Result<(), StoreError> {
        delivery.state = state;
        (delivery.next_at, delivery.place) = (None, None);
        way.done.push(delivery);
        way.place = place;
        self.keep(way, false).await
    }

    /// Whether the receiver said that it is gone for good, which ends the webhook.
    async fn gone(&self, way: &mut Way, outcome: &Outcome) -> Result<bool, StoreError> {
        let gone = *outcome == Outcome::Status(410);
        if gone {
            tracing::warn!(webhook = %way.webhook.id, "the receiver of webhook {} is gone: nothing is sent to it any more", way.webhook.id);
            self.keep(way, true).await?;
        }
        Ok(gone)
    }

    async fn keep(&self, way: &mut Way, gone: bool) -> Result<(), StoreError> {
        let done = std::mem::take(&mut way.done);
        self.app.store.keep_deliveries(&way.webhook.id, way.place, done, gone).await?;
        way.kept = way.place;
        way.since = Instant::now();
        Ok(())
    }
}

fn delivered(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Status(200..=299))
}

/// Where a webhook is after what was given up. One whose receiver is gone stays before it: whoever begins anew from there misses nothing.
fn passed(way: &Way, outcome: &Outcome, behind: Cursor) -> Cursor {
    if *outcome == Outcome::Status(410) { way.place } else { behind }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// How long to wait after so many attempts, in milliseconds: twice as long each time up to an hour, of that a random part between half
/// and all, so that what failed together does not come back together.
fn wait_after(attempts: u32, random: [u8; 2]) -> i64 {
    let doublings = attempts.saturating_sub(1).min(20);
    let whole = (FIRST_WAIT << doublings).min(LONGEST_WAIT);
    whole / 2 + whole / 2 * i64::from(u16::from_be_bytes(random)) / i64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_scatter() {
        for (attempts, least, most) in [
            (1, 500, 1_000),
            (2, 1_000, 2_000),
            (5, 8_000, 16_000),
            (13, 1_800_000, 3_600_000),
            (u32::MAX, 1_800_000, 3_600_000),
        ] {
            assert_eq!(wait_after(attempts, [0; 2]), least);
            assert_eq!(wait_after(attempts, [255; 2]), most);
        }
    }
}
