//! The event feed: what a system downstream reads, and when.

use std::time::{Duration, Instant};

use consent_core::decision::Method;
use consent_core::id::{CategoryId, SubjectId};
use consent_core::time::UnixMillis;
use consent_server::store::events::{Cursor, Event, EventType, Page};
use consent_server::store::sqlite::Sqlite;
use consent_server::store::{Actor, Change, NewDecision, Recorded, Store};
use consent_tests::{Answer, Api, DAY, DecisionBody, TestServer, check_log, days_ago, new_subject, now, wait_until};
use serde_json::{Value, json};

use crate::store::{Bed, START, after, decision, draft, make_site, site};

const EVENTS: &str = "/v1/sites/demo/events";

fn feed(api: &Api, query: &str) -> Answer {
    api.get_as(&api.backend, &format!("{EVENTS}{query}"))
}

/// All events from this place on, a page at a time.
fn all(api: &Api, after: &str, limit: usize) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), after.to_owned());
    loop {
        let page = feed(api, &format!("?limit={limit}&after={after}")).expect(200).json();
        let found = page["events"].as_array().unwrap();
        assert!(found.len() <= limit);
        events.extend(found.iter().cloned());
        page["next"].as_str().unwrap().clone_into(&mut after);
        if page["more"] == false {
            return events;
        }
    }
}

fn start() -> String {
    Cursor::START.to_string()
}

/// Type, subject, and what was granted and denied.
fn gist(event: &Value) -> (String, String, Value, Value) {
    let text = |field: &str| event[field].as_str().unwrap().to_owned();
    (text("type"), text("subject"), event["granted"].clone(), event["denied"].clone())
}

// What a backend reads.

#[test]
fn each_change_is_an_event_in_the_order_of_the_log_from_its_201_on() {
    let server = TestServer::choice();
    let api = server.api();
    let (one, two) = (new_subject(), new_subject());
    let grant = DecisionBody::save(&["statistics"]).by(one);
    let change = DecisionBody::save(&["marketing"]).by(one).after(&grant);
    let refuse = DecisionBody::new("reject-all", "first", &[]).by(two);
    let forget = DecisionBody::forget().by(one).after(&change);
    let mut last = String::new();
    let want = [
        (&grant, one, "grant", json!(["statistics"]), json!(["marketing"])),
        (&change, one, "grant", json!(["marketing"]), json!(["statistics"])),
        (&refuse, two, "revoke", json!([]), json!(["marketing", "statistics"])),
        (&forget, one, "forget", json!([]), json!(["marketing", "statistics"])),
    ];
    for (decision, subject, kind, granted, denied) in &want {
        let recorded = api.decide(decision).expect(201).json();
        let page = feed(&api, &format!("?after={}", if last.is_empty() { start() } else { last })).expect(200);
        assert_eq!(
            (page.header("cache-control"), page.header("content-type")),
            ("no-store".into(), "application/json".into())
        );
        let page = page.json();
        let [event] = page["events"].as_array().unwrap().as_slice() else { panic!("one event is new: {page}") };
        assert_eq!(gist(event), ((*kind).to_owned(), subject.to_string(), granted.clone(), denied.clone()));
        assert_eq!(
            (&event["id"], &event["at"], &event["notice"]),
            (&decision.0["id"], &recorded["recorded_at"], &json!(1))
        );
        assert_eq!(page["more"], false);
        last = event["cursor"].as_str().unwrap().to_owned();
    }
    // A decision that is sent again is no news.
    api.decide(&refuse).expect(200);
    assert_eq!(all(&api, &last, 10), Vec::<Value>::new());

    let whole = all(&api, &start(), 1000);
    let ids: Vec<&Value> = whole.iter().map(|event| &event["id"]).collect();
    assert_eq!(ids, want.iter().map(|(decision, ..)| &decision.0["id"]).collect::<Vec<_>>());
    assert_eq!(all(&api, &start(), 1), whole, "a page at a time is the same");
    assert_eq!(
        feed(&api, "").expect(200).json()["events"],
        json!(whole),
        "without a cursor it begins at its beginning"
    );
    for (at, event) in whole.iter().enumerate() {
        let rest = all(&api, event["cursor"].as_str().unwrap(), 2);
        assert_eq!(rest, whole[at + 1..], "an event's cursor is the place behind it");
    }
}

#[test]
fn a_grant_that_did_not_count_is_no_event() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let first = DecisionBody::save(&["statistics"]).by(subject);
    let revoke = DecisionBody::save(&[]).by(subject).after(&first);
    api.decide(&first).expect(201);
    api.decide(&revoke).expect(201);
    let after = feed(&api, "?after=now").expect(200).json();
    assert_eq!((&after["events"], &after["more"]), (&json!([]), &json!(false)));
    let after = after["next"].as_str().unwrap().to_owned();

    // It came too late; what it refuses counts all the same.
    let stale = api.decide(&DecisionBody::save(&["statistics"]).by(subject).after(&first)).expect(201).json();
    assert_eq!(stale["effect"], "stale");
    // For one page view only.
    let once = DecisionBody::new("save", "placeholder", &["marketing"]).by(new_subject());
    assert_eq!(api.decide(&once).expect(201).json()["effect"], "once");
    // Too old when it came.
    let old = DecisionBody::save(&["statistics"]).by(new_subject()).at(days_ago(181));
    api.decide(&old).expect(201);
    let found = all(&api, &after, 10);
    let gists: Vec<_> = found.iter().map(gist).collect();
    let revoked =
        |subject: &Value| ("revoke".to_owned(), subject.as_str().unwrap().to_owned(), json!([]), json!(["marketing"]));
    assert_eq!(gists, [revoked(&json!(subject.to_string())), revoked(&old.0["subject"])]);
}

#[test]
fn a_cursor_that_is_none_and_one_of_a_longer_log_are_refused() {
    let server = TestServer::start();
    let api = server.api();
    let beyond = {
        let other = TestServer::start();
        let api = other.api();
        api.decide(&DecisionBody::save(&[])).expect(201);
        let page = feed(&api, "").expect(200).json();
        page["next"].as_str().unwrap().to_owned()
    };
    let problem = feed(&api, &format!("?after={beyond}")).expect(422).problem();
    assert_eq!((&problem["type"], &problem["pointer"]), (&json!("/problems/cursor-ahead"), &json!("after")));
    // What its detail says is the way on: from the beginning, or from now.
    let grant = DecisionBody::save(&["statistics"]);
    let now = feed(&api, "?after=now").expect(200).json();
    api.decide(&grant).expect(201);
    for again in [String::new(), format!("?after={}", now["next"].as_str().unwrap())] {
        let page = feed(&api, &again).expect(200).json();
        let events = page["events"].as_array().unwrap();
        assert_eq!((events.len(), &events[0]["id"]), (1, &grant.0["id"]), "{again}");
        let rest = feed(&api, &format!("?after={}", page["next"].as_str().unwrap())).expect(200).json();
        assert_eq!((&rest["events"], &rest["more"]), (&json!([]), &json!(false)));
    }
    for (query, pointer) in [
        ("?after=", "after"),
        ("?after=Now", "after"),
        ("?after=AAAA", "after"),
        (&*format!("?after={}x", start()), "after"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=-1", "query"),
        ("?wait=31", "wait"),
        ("?since=now", "query"),
    ] {
        let problem = feed(&api, query).expect(400).problem();
        assert_eq!(problem["pointer"], pointer, "{query}");
    }
}

#[test]
fn the_feed_is_for_backends_only() {
    let server = TestServer::start();
    let api = server.api();
    api.get(EVENTS).expect(401).problem();
    for key in [&api.officer, &api.admin] {
        api.get_as(key, EVENTS).expect(403).problem();
    }
    api.get_as(&api.backend, "/v1/sites/other/events").expect(403).problem();
}

#[test]
fn who_waits_is_answered_as_soon_as_there_is_something() {
    let server = TestServer::start();
    let api = server.api();
    let now = feed(&api, "?after=now").expect(200).json()["next"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    let empty = feed(&api, &format!("?after={now}&wait=1")).expect(200).json();
    assert_eq!((&empty["events"], &empty["more"]), (&json!([]), &json!(false)));
    assert!(begun.elapsed() >= Duration::from_millis(900), "it has waited");

    let waiting = std::thread::spawn({
        let api = server.api();
        move || (feed(&api, &format!("?after={now}&wait=30")).expect(200).json(), Instant::now())
    });
    std::thread::sleep(Duration::from_millis(500));
    let grant = DecisionBody::save(&["statistics"]);
    api.decide(&grant).expect(201);
    let answered = Instant::now();
    let (page, heard) = waiting.join().unwrap();
    assert_eq!(page["events"][0]["id"], grant.0["id"]);
    assert!(heard < answered + Duration::from_secs(5), "heard {:?} later", heard - answered);
}

#[test]
fn a_server_that_is_asked_to_stop_does_not_wait_for_who_waits() {
    let mut server = TestServer::start();
    let api = server.api();
    let now = feed(&api, "?after=now").expect(200).json()["next"].as_str().unwrap().to_owned();
    let waiting = std::thread::spawn(move || feed(&api, &format!("?after={now}&wait=30")).expect(200).json());
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    assert!(server.terminate().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    assert_eq!(waiting.join().unwrap()["events"], json!([]));
}

// What falls due, with a clock that stands where it is put.

struct Story {
    bed: Bed,
    store: Sqlite,
}

impl Story {
    async fn begin() -> Self {
        let bed = Bed::new();
        let store = bed.open();
        make_site(&store, "a").await;
        Self { bed, store }
    }

    async fn decide(&self, new: &NewDecision) -> Recorded {
        self.store.decide(&site(&self.store, "a"), new.clone()).await.unwrap()
    }

    /// Publishes the next version, with this many days until renewal and these categories asked again.
    async fn publish(&self, days: u16, material: &[&str]) {
        let mut draft = draft();
        draft.renew_after_days = days;
        let material: Vec<CategoryId> = material.iter().map(|id| CategoryId::parse(id).unwrap()).collect();
        let site = site(&self.store, "a");
        let notice = draft.publish(site.notice().map(|p| &p.notice), &material, true).unwrap();
        let change = Change::PublishNotice { site: site.id.clone(), notice: Box::new(notice), material };
        self.store.change(change, Actor::Machine("a test")).await.unwrap();
    }

    fn page(&self, after: &Cursor, limit: usize) -> Page {
        let now = UnixMillis::new(self.bed.now());
        self.store.feed(&site(&self.store, "a"), after, limit, now).unwrap().unwrap()
    }

    /// All that follows, read in pages of every size, which give the same.
    fn read(&self, cursor: &mut Cursor) -> Vec<Event> {
        let mut read = Vec::new();
        for limit in [1, 2, 7, 1000] {
            let (mut events, mut place) = (Vec::new(), *cursor);
            loop {
                let page = self.page(&place, limit);
                events.extend(page.events);
                place = page.next;
                if !page.more {
                    break;
                }
            }
            read.push((events, place));
        }
        let (events, end) = read.pop().unwrap();
        for (others, place) in read {
            assert_eq!(place, end);
            let same =
                |events: &[Event]| -> Vec<_> { events.iter().map(|event| (event.id.clone(), event.kind)).collect() };
            assert_eq!(same(&others), same(&events));
        }
        *cursor = end;
        events
    }

    fn gists(&self, cursor: &mut Cursor) -> Vec<(EventType, SubjectId, i64, Vec<String>)> {
        let ids = |event: &Event| event.denied.iter().map(ToString::to_string).collect();
        self.read(cursor).iter().map(|event| (event.kind, event.subject, event.at.millis(), ids(event))).collect()
    }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

const HELD: i64 = 180 * DAY;

#[tokio::test]
async fn a_grant_that_becomes_too_old_is_an_event_when_it_does_and_once() {
    let story = Story::begin().await;
    let mut cursor = Cursor::START;
    let grant = decision(&["statistics"], START);
    let refusal = decision(&[], START);
    story.decide(&grant).await;
    story.decide(&refusal).await;
    assert_eq!(story.read(&mut cursor).len(), 2);

    story.bed.set(START + HELD - 1);
    assert_eq!(story.read(&mut cursor), []);
    story.bed.set(START + HELD);
    let mut late = Cursor::START;
    let events = story.read(&mut cursor);
    let [event] = events.as_slice() else { panic!("the grant, and not the refusal: {events:?}") };
    assert_eq!(
        (event.kind, event.subject, event.at.millis()),
        (EventType::Expired, grant.subject.unwrap(), START + HELD)
    );
    assert_eq!((event.granted.len(), event.denied.len(), event.notice), (0, 1, Some(1)));
    assert_eq!(event.id, format!("{}-expired-180", grant.decision.id));
    assert_eq!(story.read(&mut cursor), []);
    story.bed.set(START + 2 * HELD);
    assert_eq!(story.read(&mut cursor), []);
    // Who begins at the beginning is told that it was granted first.
    let kinds: Vec<_> = story.read(&mut late).iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::Grant, EventType::Revoke, EventType::Expired]);
    check_log(story.bed.path()).unwrap();
}

#[tokio::test]
async fn only_what_is_still_the_last_word_expires() {
    let story = Story::begin().await;
    let mut cursor = Cursor::START;
    let renewed = decision(&["marketing", "statistics"], START);
    let revoked = decision(&["statistics"], START);
    let forgotten = decision(&["statistics"], START);
    for new in [&renewed, &revoked, &forgotten] {
        story.decide(new).await;
    }
    story.bed.set(START + DAY);
    // Statistics again, marketing no longer.
    let again = after(&renewed, &["statistics"], START + DAY);
    story.decide(&again).await;
    story.decide(&after(&revoked, &[], START + DAY)).await;
    let mut forget = after(&forgotten, &[], START + DAY);
    forget.decision.method = Method::Forget;
    story.decide(&forget).await;
    story.read(&mut cursor);
    story.bed.set(START + HELD);
    assert_eq!(story.read(&mut cursor), []);
    story.bed.set(START + DAY + HELD);
    let subject = renewed.subject.unwrap();
    assert_eq!(story.gists(&mut cursor), [(EventType::Expired, subject, START + DAY + HELD, ids(&["statistics"]))]);
}

#[tokio::test]
async fn what_was_claimed_for_an_earlier_time_expires_earlier() {
    let story = Story::begin().await;
    let mut cursor = Cursor::START;
    let (now, early) = (decision(&["statistics"], START), decision(&["statistics"], START - 100 * DAY));
    let earlier = decision(&["marketing"], START - 170 * DAY);
    let (too_old, ahead) = (decision(&["statistics"], START - 180 * DAY), decision(&["statistics"], START + 100 * DAY));
    for new in [&now, &early, &earlier, &too_old, &ahead] {
        story.decide(new).await;
    }
    let kinds: Vec<_> = story.read(&mut cursor).iter().map(|event| event.kind).collect();
    let (grant, revoke) = (EventType::Grant, EventType::Revoke);
    assert_eq!(kinds, [grant, grant, grant, revoke, grant], "what was too old has granted nothing");
    let expired = |new: &NewDecision, at, what| (EventType::Expired, new.subject.unwrap(), at, ids(&[what]));
    for (at, want) in [
        (START + 10 * DAY - 1, vec![]),
        (START + 10 * DAY, vec![expired(&earlier, START + 10 * DAY, "marketing")]),
        (START + 81 * DAY, vec![expired(&early, START + 80 * DAY, "statistics")]),
        (
            START + 200 * DAY,
            vec![expired(&now, START + HELD, "statistics"), expired(&ahead, START + HELD, "statistics")],
        ),
    ] {
        story.bed.set(at);
        assert_eq!(story.gists(&mut cursor), want);
    }
    // From the beginning, in one go: each after its grant, in the order in which they ended.
    let kinds: Vec<_> = story.gists(&mut { Cursor::START }).into_iter().filter(|g| g.0 == EventType::Expired).collect();
    let order: Vec<_> = kinds.iter().map(|gist| gist.1).collect();
    assert_eq!(order, [&earlier, &early, &now, &ahead].map(|new| new.subject.unwrap()));
}

#[tokio::test]
async fn a_notice_that_changes_how_long_answers_hold_ends_them_sooner_or_later() {
    let story = Story::begin().await;
    let mut cursor = Cursor::START;
    let grant = decision(&["statistics"], START);
    let subject = grant.subject.unwrap();
    story.decide(&grant).await;
    story.read(&mut cursor);
    let at = START + 100 * DAY;
    story.bed.set(at);
    story.publish(90, &[]).await;
    let want = |at| vec![(EventType::Expired, subject, at, ids(&["statistics"]))];
    assert_eq!(story.gists(&mut cursor), want(at), "with the notice, not before it");
    story.bed.set(at + DAY);
    story.publish(120, &[]).await;
    assert_eq!(story.read(&mut cursor), []);
    story.bed.set(START + 120 * DAY);
    assert_eq!(story.gists(&mut cursor), want(START + 120 * DAY), "it held again");
}

#[tokio::test]
async fn a_notice_that_asks_again_is_an_event_for_each_grant_that_it_ends() {
    let story = Story::begin().await;
    let mut cursor = Cursor::START;
    let both = decision(&["marketing", "statistics"], START);
    let service = decision(&["statistics:page-counter"], START);
    let other = decision(&["marketing"], START);
    let refused = decision(&[], START);
    let old = decision(&["statistics"], START - 179 * DAY);
    for new in [&both, &service, &other, &refused, &old] {
        story.decide(new).await;
    }
    story.read(&mut cursor);
    let at = START + 2 * DAY;
    story.bed.set(at);
    story.read(&mut cursor);
    let before = cursor;
    story.publish(179, &[]).await;
    assert_eq!(story.read(&mut cursor), [], "an editorial change ends nothing");
    story.publish(180, &["statistics"]).await;
    let mut found = story.gists(&mut cursor);
    let mut want = vec![
        (EventType::Outdated, both.subject.unwrap(), at, ids(&["statistics"])),
        (EventType::Outdated, service.subject.unwrap(), at, ids(&["statistics:page-counter"])),
    ];
    found.sort_by_key(|gist| gist.1);
    want.sort_by_key(|gist| gist.1);
    assert_eq!(found, want);
    assert_eq!(story.read(&mut cursor), []);

    // Each has an id of its own, and the same when it is read again; it names nobody.
    let again = story.read(&mut { before });
    assert_eq!(again.len(), 2);
    assert_ne!(again[0].id, again[1].id);
    assert!(again.iter().all(|event| !event.id.contains(&event.subject.to_string())));
    // Who has answered the new version meanwhile is told of by that answer alone.
    let mut answer = after(&both, &["statistics"], at);
    answer.notice = 3;
    story.decide(&answer).await;
    let kinds: Vec<_> = story.read(&mut { before }).iter().map(|event| (event.kind, event.subject)).collect();
    assert_eq!(kinds, [(EventType::Outdated, service.subject.unwrap()), (EventType::Grant, both.subject.unwrap())]);
    // An answer to what was shown before the new version grants nothing of it.
    let late = decision(&["marketing", "statistics"], at);
    story.decide(&late).await;
    let last = story.read(&mut { before }).pop().unwrap();
    assert_eq!((last.subject, last.granted.len(), last.granted[0].as_str()), (late.subject.unwrap(), 1, "marketing"));
}

#[tokio::test]
async fn who_was_erased_has_no_events_any_more() {
    let story = Story::begin().await;
    let (gone, stays) = (decision(&["statistics"], START), decision(&["statistics"], START));
    story.decide(&gone).await;
    story.decide(&stays).await;
    let place = story.page(&Cursor::START, 1).events[0].cursor;
    let subject = gone.subject.unwrap();
    let subject = &subject.as_bytes()[..];
    let rows = story.bed.rows();
    rows.execute("UPDATE record_id SET subject = NULL WHERE subject = ?1", [subject]).unwrap();
    rows.execute("DELETE FROM subject WHERE id = ?1", [subject]).unwrap();
    story.bed.set(START + HELD);
    let of_all: Vec<_> = story.read(&mut { Cursor::START }).iter().map(|event| event.subject).collect();
    assert_eq!(of_all, [stays.subject.unwrap(); 2]);
    assert_eq!(story.read(&mut { place }).len(), 2, "a cursor of one of their events is still a place");
}

#[tokio::test]
async fn a_feed_goes_on_over_a_restart_where_it_was() {
    let mut story = Story::begin().await;
    let mut cursor = Cursor::START;
    story.decide(&decision(&["statistics"], START)).await;
    story.read(&mut cursor);
    let text = cursor.to_string();
    drop(story.store);
    story.store = story.bed.open();
    let next = decision(&["statistics"], START);
    story.decide(&next).await;
    let events = story.read(&mut Cursor::parse(&text).unwrap());
    assert_eq!(events.iter().map(|event| event.subject).collect::<Vec<_>>(), [next.subject.unwrap()]);
}

#[test]
fn who_waits_hears_of_what_falls_due() {
    let server = TestServer::start();
    let api = server.api();
    let grant = DecisionBody::save(&["statistics"]).at(UnixMillis::new(now().millis() - HELD + 3_000));
    api.decide(&grant).expect(201);
    let after = feed(&api, "").expect(200).json()["next"].as_str().unwrap().to_owned();
    // It falls due while somebody waits, and no commit says so.
    let mut found = Value::Null;
    wait_until("the grant to become too old", || {
        found = feed(&api, &format!("?after={after}&wait=30")).expect(200).json()["events"][0].clone();
        !found.is_null()
    });
    assert_eq!(found["type"], "expired");
}
