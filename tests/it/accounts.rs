//! Accounts: a person's devices, linked by the backend and asked about together.

use consent_core::id::{RecordId, SubjectId};
use consent_core::record::{Action, Hex32, Kind, Leaf};
use consent_core::time::UnixMillis;
use consent_server::store::{AccountId, LinkError, MAX_DEVICES, NewDecision, Store};
use consent_tests::{
    Api, DAY, DecisionBody, TestServer, check_log, consent, days_ago, log_size, new_subject, now, open_rows,
};
use serde_json::{Value, json};

use crate::store::{Bed, decision, make_site};

const ACCOUNT: &str = "ada.lovelace@example.org";

/// A device that has made this decision and is linked.
fn device(api: &Api, account: &str, first: &DecisionBody) -> SubjectId {
    let answer = api.decide(first).expect(201);
    let subject = SubjectId::parse(answer.json()["subject"].as_str().unwrap()).unwrap();
    api.link(subject, account).expect(204);
    subject
}

fn allowed(api: &Api, category: &str) -> bool {
    api.account(ACCOUNT, category)["allowed"].as_bool().unwrap()
}

#[test]
fn the_latest_explicit_answer_of_any_device_holds() {
    let server = TestServer::choice();
    let api = server.api();
    let grant = DecisionBody::save(&["statistics"]).by(new_subject());
    let telephone = device(&api, ACCOUNT, &grant);
    assert!(allowed(&api, "statistics") && allowed(&api, "statistics:page-counter") && !allowed(&api, "marketing"));

    let laptop = device(&api, ACCOUNT, &DecisionBody::save(&["statistics", "marketing"]).by(new_subject()));
    assert!(allowed(&api, "statistics") && allowed(&api, "marketing"));
    assert!(!api.allowed(telephone, "marketing"), "each device keeps its own answer");

    api.decide(&DecisionBody::new("reject-all", "settings", &[]).by(telephone).after(&grant)).expect(201);
    assert!(!allowed(&api, "statistics") && !allowed(&api, "marketing"), "refused on one, refused for all");
    assert!(api.allowed(laptop, "statistics"), "the other one is not asked again");

    let object = api.account(ACCOUNT, "statistics");
    assert_eq!(object["subject"], Value::Null);
    assert_eq!((&object["site"], &object["status"], &object["notice"]), (&json!("demo"), &json!("valid"), &json!(1)));
    assert_eq!(object["categories"], json!({"functional": "granted", "statistics": "denied", "marketing": "denied"}));
    assert!(!object.to_string().contains("ada"), "the account is not repeated");
}

#[test]
fn closing_and_signals_speak_for_their_own_device() {
    let server = TestServer::choice();
    let api = server.api();
    let grant = DecisionBody::save(&["statistics", "marketing"]).by(new_subject());
    let laptop = device(&api, ACCOUNT, &grant);
    device(&api, ACCOUNT, &DecisionBody::new("close", "first", &[]).by(new_subject()));
    assert!(allowed(&api, "statistics") && allowed(&api, "marketing"), "somebody closed a banner elsewhere");
    let signal = DecisionBody::new("signal", "none", &[]).with("signals", json!({"gpc": true}));
    api.decide(&signal.by(laptop).after(&grant)).expect(201);
    assert!(!api.allowed(laptop, "marketing"), "this browser has asked not to");
    assert!(allowed(&api, "marketing"));
}

#[test]
fn a_refusal_counts_from_when_it_was_recorded_and_a_grant_from_when_it_was_made() {
    let server = TestServer::start();
    let api = server.api();
    device(&api, ACCOUNT, &DecisionBody::new("reject-all", "first", &[]).by(new_subject()));
    // A device that was offline: it had granted two days ago, and only now sends it.
    let late = DecisionBody::save(&["statistics"]).by(new_subject()).at(days_ago(2));
    let offline = device(&api, ACCOUNT, &late);
    assert!(api.allowed(offline, "statistics"));
    assert!(!allowed(&api, "statistics"), "the person has refused since");
    api.decide(&DecisionBody::save(&["statistics"]).by(offline).after(&late)).expect(201);
    assert!(allowed(&api, "statistics"));
}

#[test]
fn forgetting_is_for_all_devices_and_granting_anew_is_possible() {
    let server = TestServer::start();
    let api = server.api();
    device(&api, ACCOUNT, &DecisionBody::save(&["statistics"]).by(new_subject()));
    let grant = DecisionBody::save(&["statistics"]).by(new_subject());
    let laptop = device(&api, ACCOUNT, &grant);
    api.decide(&DecisionBody::forget().by(laptop).after(&grant)).expect(201);
    let object = api.account(ACCOUNT, "statistics");
    assert_eq!((&object["allowed"], &object["status"]), (&json!(false), &json!("forgotten")));
    device(&api, ACCOUNT, &DecisionBody::save(&["statistics"]).by(new_subject()));
    let object = api.account(ACCOUNT, "statistics");
    assert_eq!((&object["allowed"], &object["status"]), (&json!(true), &json!("valid")));
}

#[test]
fn an_account_nobody_has_heard_of_is_denied() {
    let server = TestServer::start();
    let api = server.api();
    for when in ["before any link", "with other accounts there"] {
        let object = api.account(ACCOUNT, "statistics");
        assert_eq!((&object["allowed"], &object["status"]), (&json!(false), &json!("none")), "{when}");
        device(&api, "somebody else", &DecisionBody::save(&["statistics"]).by(new_subject()));
    }
    assert!(api.account("somebody else", "statistics")["allowed"].as_bool().unwrap());
    for other in ["Somebody else", "somebody else ", "somebody  else", "somebody"] {
        assert_eq!(api.account(other, "statistics")["allowed"], false, "{other}: an id is taken byte for byte");
    }
    let answers = api.post_as(&api.backend, "/v1/sites/demo/accounts/consent", &json!({"account": ACCOUNT}));
    assert!(answers.expect(200).json().get("allowed").is_none(), "nothing was asked");
}

#[test]
fn a_link_does_not_move_and_is_recorded_once() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let size = log_size(server.data());
    let problem = api.link(subject, ACCOUNT).expect(404).problem();
    assert!(!problem.to_string().contains("ada"));
    assert_eq!(log_size(server.data()), size);

    let grant = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&grant).expect(201);
    let size = log_size(server.data());
    api.link(subject, ACCOUNT).expect(204);
    assert_eq!(log_size(server.data()), size + 1);
    for _ in 0..2 {
        api.link(subject, ACCOUNT).expect(204);
        let problem = api.link(subject, "mallory").expect(409).problem();
        assert_eq!((&problem["type"], &problem["pointer"]), (&json!("/problems/other-account"), &json!("/account")));
        assert!(!problem.to_string().contains("mallory") && !problem.to_string().contains("ada"), "{problem}");
    }
    assert_eq!(log_size(server.data()), size + 1);
    assert!(allowed(&api, "statistics"));
    assert_eq!(api.account("mallory", "statistics")["allowed"], false);

    // The person sees it among their records, and has a receipt for it.
    let records = api.records(subject).expect(200).json();
    let leaf = &records["records"][1]["leaf"];
    assert_eq!((&leaf["kind"], &leaf["action"]), (&json!("account"), &json!("create")));
    let id = RecordId::parse(leaf["id"].as_str().unwrap()).unwrap();
    api.receipt(subject, id).expect(200);
    // It is no decision: the next grant still follows the last decision.
    let next = DecisionBody::save(&["statistics"]).by(subject).after(&grant);
    assert_eq!(api.decide(&next).expect(201).json()["effect"], "applied");
    let taken = DecisionBody::save(&["statistics"]).by(subject).with("id", id.to_string());
    api.decide(&taken).expect(409).problem();
    check_log(server.data()).unwrap();
    let doctor = server.command_ok(&["doctor"]);
    assert!(!doctor.contains("WRONG"), "{doctor}");
}

#[test]
fn bodies_that_name_no_account_are_refused_without_repeating_them() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    api.decide(&DecisionBody::save(&[]).by(subject)).expect(201);
    let link = format!("/v1/sites/demo/subjects/{subject}/account");
    let key = format!("Bearer {}", api.backend);
    let long = "x".repeat(257);
    for (method, path) in [("PUT", &*link), ("POST", "/v1/sites/demo/accounts/consent")] {
        for account in [json!(""), json!(long), json!(4711), json!(null), json!(["4711"]), json!({"id": "4711"})] {
            let body = json!({"account": account}).to_string();
            let headers = [("authorization", &*key), ("content-type", "application/json")];
            let problem = api.send(method, path, &headers, body.as_bytes()).expect(422).problem();
            assert_eq!(problem["pointer"], "/account", "{problem}");
            assert!(!problem.to_string().contains("4711") && !problem.to_string().contains(&long), "{problem}");
        }
        let headers = [("authorization", &*key), ("content-type", "application/json")];
        for body in [json!({}), json!({"account": "a", "subject": "b"}), json!([ACCOUNT])] {
            api.send(method, path, &headers, body.to_string().as_bytes()).expect(422).problem();
        }
        api.send(method, path, &headers, b"{").expect(400).problem();
        api.send(method, path, &[("content-type", "application/json")], b"{}").expect(401).problem();
        let officer = format!("Bearer {}", api.officer);
        api.send(method, path, &[("authorization", &officer), headers[1]], b"{}").expect(403).problem();
    }
    let headers = [("authorization", &*key), ("content-type", "application/json")];
    api.send("PUT", "/v1/sites/demo/subjects/-/account", &headers, br#"{"account":"a"}"#).expect(400).problem();
    let body = json!({"account": "a", "category": "statistic"});
    let problem = api.post_as(&api.backend, "/v1/sites/demo/accounts/consent", &body).expect(404).problem();
    assert!(problem["categories"].as_array().unwrap().contains(&json!("statistics")));
}

#[test]
fn the_account_is_kept_as_a_keyed_hash_only() {
    let server = TestServer::start();
    let api = server.api();
    let subject = device(&api, ACCOUNT, &DecisionBody::save(&["statistics"]).by(new_subject()));
    assert!(allowed(&api, "statistics"));
    let exported = api.get_as(&api.officer, "/v1/sites/demo/export").expect(200).text();
    let logged = server.logged();
    let rows = open_rows(server.data());
    let (key, hash): ([u8; 32], [u8; 32]) = rows
        .query_row("SELECT k.key, s.account FROM account_key k JOIN subject s USING (site)", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let (key, hash) = (Hex32(key).to_string(), Hex32(hash).to_string());
    for secret in [ACCOUNT, &key, &hash, &subject.to_string()] {
        assert!(!exported.contains(secret) && !logged.contains(secret), "{secret}");
    }
    drop(rows);
    for file in std::fs::read_dir(server.data()).unwrap().filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let found = bytes.windows(ACCOUNT.len()).any(|window| window == ACCOUNT.as_bytes());
        assert!(!found, "{} holds the account", file.display());
    }
}

#[test]
fn links_outlive_a_restart() {
    let mut server = TestServer::start();
    let api = server.api();
    device(&api, ACCOUNT, &DecisionBody::save(&["statistics"]).by(new_subject()));
    server.kill();
    let server = consent_tests::Demo::default().data(server.data()).start();
    assert!(allowed(&server.api(), "statistics"));
}

// The store.

fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn next(before: &NewDecision, granted: &[&str], at: i64) -> NewDecision {
    let mut next = decision(granted, at);
    next.subject = before.subject;
    next.decision.prev = Some(before.decision.id);
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_know_one_account_by_different_names() {
    let bed = Bed::at(1_800_000_000_000);
    let store = bed.open();
    let (one, two) = (make_site(&store, "one").await, make_site(&store, "two").await);
    let grant = decision(&["statistics"], bed.now());
    let subject = grant.subject.unwrap();
    store.decide(&one, grant).await.unwrap();
    store.link(&one, subject, account("7"), "a test").await.unwrap();
    assert!(matches!(store.link(&two, subject, account("7"), "a test").await, Err(LinkError::UnknownSubject)));
    assert!(store.account(&two, &account("7")).unwrap().choices.is_empty());
    let other = decision(&["marketing"], bed.now());
    let theirs = other.subject.unwrap();
    store.decide(&two, other).await.unwrap();
    store.link(&two, theirs, account("7"), "a test").await.unwrap();
    let hashes: i64 =
        bed.rows().query_row("SELECT count(DISTINCT account) FROM account_device", [], |row| row.get(0)).unwrap();
    assert_eq!(hashes, 2);

    let leaf = Leaf::parse(&store.records(&one, &subject).unwrap()[1].leaf).unwrap();
    assert_eq!((leaf.kind, leaf.action, leaf.target), (Kind::Account, Some(Action::Create), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_account_takes_no_more_until_one_is_spent() {
    let bed = Bed::at(1_800_000_000_000);
    let store = bed.open();
    let site = make_site(&store, "a").await;
    let mut devices = Vec::new();
    for _ in 0..MAX_DEVICES {
        let refusal = decision(&[], bed.now());
        store.decide(&site, refusal.clone()).await.unwrap();
        store.link(&site, refusal.subject.unwrap(), account("7"), "a test").await.unwrap();
        devices.push(refusal);
    }
    let size = store.publish(&site).await.unwrap();
    let grant = decision(&["statistics"], bed.now() + 1);
    let subject = grant.subject.unwrap();
    store.decide(&site, grant).await.unwrap();
    let refused = store.link(&site, subject, account("7"), "a test").await;
    assert!(matches!(refused, Err(LinkError::TooMany)), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("400"));
    assert_ne!(store.publish(&site).await.unwrap(), size, "the decision");
    store.link(&site, subject, account("8"), "a test").await.unwrap();

    // One device goes on answering; what the others have said ends to matter.
    bed.advance(395 * DAY);
    let again = next(&devices[0], &["statistics"], bed.now());
    store.decide(&site, again).await.unwrap();
    let grant = decision(&["marketing"], bed.now() + 1);
    store.decide(&site, grant.clone()).await.unwrap();
    store.link(&site, grant.subject.unwrap(), account("7"), "a test").await.unwrap();
    let left: i64 = bed
        .rows()
        .query_row(
            "SELECT count(*) FROM account_device d JOIN subject s ON s.id = d.subject AND s.account = d.account",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(left, 3, "the two that say something, and the one of the other account");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasing_one_device_grants_nothing_that_it_had_revoked() {
    let bed = Bed::at(1_800_000_000_000);
    let store = bed.open();
    let site = make_site(&store, "a").await;
    let (grant, refusal) = (decision(&["statistics"], bed.now()), decision(&[], bed.now()));
    for new in [&grant, &refusal] {
        store.decide(&site, new.clone()).await.unwrap();
        store.link(&site, new.subject.unwrap(), account("7"), "a test").await.unwrap();
    }
    let rows = bed.rows();
    let erased = refusal.subject.unwrap();
    rows.execute("DELETE FROM subject WHERE id = ?1", [&erased.as_bytes()[..]]).unwrap();
    let left: i64 = rows
        .query_row("SELECT count(*) FROM account_device WHERE subject = ?1", [&erased.as_bytes()[..]], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0, "the link is gone with the subject");
    assert!(
        store.account(&site, &account("7")).unwrap().choices.is_empty(),
        "what the other one had said is not believed"
    );
    assert!(store.account_of(&site, &erased).unwrap().is_none());
    // Linking again brings nothing back; an answer does.
    store.link(&site, grant.subject.unwrap(), account("7"), "a test").await.unwrap();
    assert!(store.account(&site, &account("7")).unwrap().choices.is_empty());
    bed.advance(1);
    store.decide(&site, next(&grant, &["statistics"], bed.now())).await.unwrap();
    let merged = store.account(&site, &account("7")).unwrap();
    let outline = &site.notice().unwrap().outline;
    assert_eq!(merged.view(outline, UnixMillis::new(bed.now()), false).granted_ids().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subjects_of_a_database_from_before_accounts_can_be_linked() {
    let bed = Bed::at(now().millis());
    let store = bed.open();
    let site = make_site(&store, "a").await;
    let grant = decision(&["statistics"], bed.now());
    store.decide(&site, grant.clone()).await.unwrap();
    store.decide(&site, next(&grant, &[], bed.now())).await.unwrap();
    drop(store);
    // As it was before the second migration.
    bed.rows()
        .execute_batch(
            "DROP TRIGGER subject_erased; DROP TABLE account_device; DROP TABLE account_key;
             ALTER TABLE subject DROP COLUMN account; DELETE FROM migration WHERE number = 2;",
        )
        .unwrap();
    let store = bed.open();
    let subject = grant.subject.unwrap();
    store.link(&site, subject, account("7"), "a test").await.unwrap();
    let merged = store.account(&site, &account("7")).unwrap();
    assert!(
        !merged.choices.is_empty()
            && merged.choices.iter().all(|c| c.granted == consent_core::consent::Granted::Nothing)
    );
    store.publish(&site).await.unwrap();
    drop(store);
    check_log(bed.path()).unwrap();
    let doctor = consent(["doctor", "--data", bed.path().to_str().unwrap()]);
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));

    bed.rows().execute("UPDATE account_device SET says = x'010100000000000000ff00'", []).unwrap();
    let doctor = consent(["doctor", "--data", bed.path().to_str().unwrap()]);
    assert_eq!(doctor.status.code(), Some(1), "a device that says what its records do not is found");
}
