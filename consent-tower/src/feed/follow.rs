//! Reads the event feed, for as long as the follower is there.

use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Shared;
use super::client::{Client, Trouble};

/// The first pause after a failure; each further one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

pub(super) fn start(client: Arc<Client>, shared: &Arc<Shared>, max_age: Duration) -> std::io::Result<()> {
    let shared = Arc::downgrade(shared);
    let follow = move || Reader::new(client, shared, max_age).run();
    std::thread::Builder::new().name("consent-feed".to_owned()).spawn(follow).map(drop)
}

struct Reader {
    client: Arc<Client>,
    shared: Weak<Shared>,
    max_age: Duration,
    /// The next page begins here.
    cursor: String,
    /// When the notice that is known was asked for.
    notice_as_of: Option<Instant>,
    pause: Duration,
}

impl Reader {
    fn new(client: Arc<Client>, shared: Weak<Shared>, max_age: Duration) -> Self {
        Self { client, shared, max_age, cursor: "now".to_owned(), notice_as_of: None, pause: FIRST_PAUSE }
    }

    /// Ends when nobody holds what it keeps up to date.
    fn run(mut self) {
        while self.shared.strong_count() > 0 {
            if let Err(trouble) = self.turn() {
                if let Some(shared) = self.shared.upgrade() {
                    if matches!(trouble, Trouble::NoCursor(_)) {
                        "now".clone_into(&mut self.cursor);
                        shared.write().lose();
                    }
                    shared.tell(Some(trouble.into_text()));
                }
                sleep(self.pause);
                self.pause = (self.pause * 2).min(LAST_PAUSE.min(self.max_age / 4));
            } else {
                self.pause = FIRST_PAUSE;
            }
        }
    }

    /// The notice if it is time for it, and one page.
    fn turn(&mut self) -> Result<(), Trouble> {
        let notice_as_of = match self.notice_as_of {
            Some(as_of) if as_of.elapsed() < self.max_age / 2 => as_of,
            _ => self.read_notice()?,
        };
        // A poll that is under way vouches for nothing; so it must end well before what is known is too old.
        let wait = Duration::from_secs((self.max_age / 4).as_secs().min(30));
        let begin = Instant::now();
        let page = self.client.events(&self.cursor, wait)?;
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        let as_of = if page.more { None } else { Some(begin.min(notice_as_of)) };
        shared.take(&page, as_of);
        shared.tell(None);
        if page.events.iter().filter_map(|event| event.notice).any(|version| !shared.knows_notice(version)) {
            self.notice_as_of = None;
        }
        let idle = page.events.is_empty() && !page.more && page.next == self.cursor;
        self.cursor = page.next;
        drop(shared);
        // A service that is about to stop does not wait, and neither does one that is asked not to.
        if idle && (wait.is_zero() || begin.elapsed() < wait / 2) {
            sleep((self.max_age / 8).min(Duration::from_millis(250)));
        }
        Ok(())
    }

    fn read_notice(&mut self) -> Result<Instant, Trouble> {
        let begin = Instant::now();
        let outline = self.client.notice()?;
        if let Some(shared) = self.shared.upgrade() {
            shared.publish(outline);
        }
        self.notice_as_of = Some(begin);
        Ok(begin)
    }
}
