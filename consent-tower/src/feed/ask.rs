//! Questions to the service, asked by threads so that no runtime is needed and none is blocked.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use consent_core::id::{ChoiceId, SubjectId};

use super::Shared;
use super::client::Client;

/// How many questions are asked at once.
const THREADS: usize = 4;
/// How many may wait; a further one is not asked, and its visitor is denied.
const QUEUE: usize = 256;
/// How often an answer may be crossed by an event before its visitor is denied.
const TRIES: usize = 3;

/// Where questions are left.
pub(super) struct Desk {
    queue: SyncSender<Question>,
}

impl Desk {
    pub(super) fn open(client: &Arc<Client>, shared: &Arc<Shared>, timeout: Duration) -> std::io::Result<Self> {
        let (queue, questions) = sync_channel(QUEUE);
        let questions = Arc::new(Mutex::new(questions));
        for _ in 0..THREADS {
            let (client, shared, questions) = (Arc::clone(client), Arc::downgrade(shared), Arc::clone(&questions));
            let work = move || work(&client, &shared, &questions, timeout);
            std::thread::Builder::new().name("consent-ask".to_owned()).spawn(work)?;
        }
        Ok(Self { queue })
    }

    /// The answer of the service; `None` where there is none in time.
    pub(super) fn ask(&self, subject: SubjectId, cookie: String, choice: ChoiceId) -> Asking {
        let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
        let question = Question { subject, cookie, choice, left_at: Instant::now(), slot: Arc::clone(&slot) };
        // A question that is not taken answers itself when it is dropped.
        drop(self.queue.try_send(question));
        Asking { slot }
    }
}

struct Question {
    subject: SubjectId,
    cookie: String,
    choice: ChoiceId,
    left_at: Instant,
    slot: Arc<Mutex<Slot>>,
}

/// Where an answer is put, and who is waiting for it.
enum Slot {
    Waiting(Option<Waker>),
    Answered(Option<bool>),
}

impl Question {
    fn answer(&self, answer: Option<bool>) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Slot::Waiting(waker) = &mut *slot {
            let waker = waker.take();
            *slot = Slot::Answered(answer);
            drop(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Drop for Question {
    /// Nobody waits for ever: not where the queue is full, not where the follower has gone or a thread has died.
    fn drop(&mut self) {
        self.answer(None);
    }
}

/// Waits for an answer.
pub(super) struct Asking {
    slot: Arc<Mutex<Slot>>,
}

impl Future for Asking {
    type Output = Option<bool>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<bool>> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Slot::Answered(answer) => Poll::Ready(*answer),
            Slot::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn work(client: &Client, shared: &Weak<Shared>, questions: &Mutex<Receiver<Question>>, timeout: Duration) {
    loop {
        // One thread waits in the queue, the others for their turn.
        let next = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let (Ok(question), Some(shared)) = (next, shared.upgrade()) else { return };
        question.answer(find_out(client, &shared, &question, timeout));
    }
}

fn find_out(client: &Client, shared: &Shared, question: &Question, timeout: Duration) -> Option<bool> {
    let Question { subject, cookie, choice, left_at, .. } = question;
    for _ in 0..TRIES {
        let left = timeout.checked_sub(left_at.elapsed()).filter(|left| !left.is_zero())?;
        let ticket = shared.write().expect(*subject, Instant::now());
        let granted = match client.ask(cookie, choice, left) {
            Ok(granted) => granted,
            Err(trouble) => {
                shared.tell(Some(trouble.into_text()));
                // A connection that was kept may have ended meanwhile: another one is tried, while there is time.
                continue;
            }
        };
        let Some(ticket) = ticket else { return Some(granted) };
        if shared.write().learn(ticket, *subject, choice.clone(), granted) {
            return Some(granted);
        }
    }
    None
}
