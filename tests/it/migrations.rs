//! Databases that earlier binaries left behind, opened by this one: see `tests/schemas`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use consent_core::id::{ChoiceId, SubjectId};
use consent_core::time::UnixMillis;
use consent_server::clock::Clock;
use consent_server::signers::FileSigners;
use consent_server::store::sqlite::Sqlite;
use consent_server::store::{AccountId, Store};
use consent_tests::{
    Api, DecisionBody, FixedClock, Installed, SHOP, binary, check_log, consent, new_subject, wait_until,
};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Enough records that the tree has a full tile.
const DECISIONS: usize = 262;
const WORD: &str = "a long word for a test only";
const ACCOUNT: &str = "customer 7";

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// The migrations that there are: number and SQL.
fn migrations() -> BTreeMap<i64, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consent-server/migrations/sqlite");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .map(|path| {
            let number = path.file_name().unwrap().to_str().unwrap().split('_').next().unwrap().parse().unwrap();
            (number, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn applied(db: &Connection) -> Vec<i64> {
    let mut statement = db.prepare("SELECT number FROM migration ORDER BY number").unwrap();
    let numbers = statement.query_map([], |row| row.get(0)).unwrap();
    numbers.collect::<Result<_, _>>().unwrap()
}

/// What tables, indexes and triggers a database has, as they were written.
fn shape(db: &Connection) -> Vec<(String, String)> {
    let mut statement = db
        .prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'migration' ORDER BY name")
        .unwrap();
    let parts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    parts.collect::<Result<_, _>>().unwrap()
}

fn leaves(db: &Connection) -> Vec<(i64, Vec<u8>)> {
    let mut statement = db.prepare("SELECT key, leaf FROM record ORDER BY key").unwrap();
    let leaves = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    leaves.collect::<Result<_, _>>().unwrap()
}

/// A database as SQL. Bytes that are text are written as text, for whoever reads it.
fn dump(db: &Connection) -> String {
    let mut sql = String::new();
    let parts = |kinds: &str| -> Vec<(String, String)> {
        let query = format!("SELECT name, sql FROM sqlite_schema WHERE type IN ({kinds}) AND sql IS NOT NULL");
        let mut statement = db.prepare(&query).unwrap();
        let parts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        parts.collect::<Result<_, _>>().unwrap()
    };
    let tables = parts("'table'");
    for (_, create) in &tables {
        writeln!(sql, "{create};").unwrap();
    }
    for (table, _) in &tables {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns).map(|at| literal(row.get_ref(at).unwrap())).collect();
            writeln!(sql, "INSERT INTO {table} VALUES ({});", values.join(", ")).unwrap();
        }
    }
    for (_, create) in parts("'index', 'trigger'") {
        writeln!(sql, "{create};").unwrap();
    }
    sql
}

fn literal(value: ValueRef<'_>) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => quoted(std::str::from_utf8(text).unwrap()),
        ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with('{') => format!("CAST({} AS BLOB)", quoted(text)),
            _ => format!("x'{}'", bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))),
        },
    }
}

/// A folder as an earlier binary left it.
struct Left {
    folder: TempDir,
    facts: Value,
    schema: i64,
}

impl Left {
    fn of(schema: i64) -> Self {
        let folder = TempDir::with_prefix("consent-schema-").unwrap();
        let from = schemas().join(schema.to_string());
        copy(&from.join("data"), &folder.path().join("data"));
        let data = folder.path().join("data");
        let sql = std::fs::read_to_string(data.join("consent.sql")).unwrap();
        std::fs::remove_file(data.join("consent.sql")).unwrap();
        let db = Connection::open(data.join("consent.db")).unwrap();
        db.execute_batch(&format!("PRAGMA journal_mode = WAL; BEGIN; {sql} COMMIT")).unwrap();
        let facts = serde_json::from_slice(&std::fs::read(from.join("facts.json")).unwrap()).unwrap();
        Self { folder, facts, schema }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn db(&self) -> Connection {
        Connection::open(self.data().join("consent.db")).unwrap()
    }

    fn text(&self, fact: &str) -> &str {
        self.facts[fact].as_str().unwrap_or_else(|| panic!("no {fact} in the facts of schema {}", self.schema))
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        consent(args.iter().copied().chain(["--data", self.data().to_str().unwrap()]))
    }

    fn command(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "schema {}: {args:?}: {said}", self.schema);
        said
    }
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, PermissionsExt::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
            std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600)).unwrap();
        }
    }
}

fn browser(api: &Api, body: &DecisionBody) {
    let headers = [("origin", SHOP), ("content-type", "application/json")];
    api.send("POST", "/v1/sites/demo/decisions", &headers, body.0.to_string().as_bytes()).expect(201);
}

/// Fills a new folder with the binary under test as people would, and keeps what it leaves.
fn keep() {
    let at = Installed::new();
    let number = *applied(&Connection::open(at.data().join("consent.db")).unwrap()).last().unwrap();
    let revoked = at.command(&["key", "create", "--role", "backend", "--site", "demo"]).trim().to_owned();
    at.command(&["key", "revoke", revoked.split('_').nth(2).unwrap()]);
    let mut webhook = Value::Null;
    if number >= 3 {
        at.command(&["webhook", "create", "--site", "demo", "--url", "https://receiver.example/"]);
        webhook = at.command(&["webhook", "list"]).split('\t').next().unwrap().into();
    }
    if number >= 4 {
        let data = at.data();
        let mut child = Command::new(binary())
            .args(["user", "create", "ada", "--role", "officer", "--site", "demo", "--data"])
            .arg(&data)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{WORD}\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
    let mut serving = at.serve("publish_every_seconds = 1\n");
    let api = at.api(&serving);
    let (granting, refusing, changing, gone) = (new_subject(), new_subject(), new_subject(), new_subject());
    let first = DecisionBody::save(&["statistics"]).by(changing);
    for body in [
        DecisionBody::save(&["statistics"]).by(granting),
        DecisionBody::save(&[]).by(refusing),
        first.clone(),
        DecisionBody::save(&[]).by(changing).after(&first),
        DecisionBody::save(&["statistics"]).by(gone),
        DecisionBody::forget().by(gone),
        DecisionBody::new("close", "first", &[]),
    ] {
        browser(&api, &body);
    }
    let told = new_subject();
    for _ in 0..DECISIONS {
        let body = DecisionBody::new("api", "none", &["statistics"]).by(told).with("source", "phone");
        api.decide_for(&body.with("evidence", "said so at noon")).expect(201);
    }
    let mut account = Value::Null;
    if number >= 2 {
        api.link(granting, ACCOUNT).expect(204);
        account = ACCOUNT.into();
    }
    let subjects = [granting, refusing, changing, gone, told].map(|subject| {
        let object = api.check(subject, "statistics");
        let records = api.records(subject).expect(200).json()["records"].as_array().unwrap().len();
        json!({"subject": subject.to_string(), "consent": object, "records": records})
    });
    let mut receipt = None;
    wait_until("a published checkpoint", || {
        let answer = api.receipt(changing, first.id());
        receipt = Some(answer.text());
        answer.status == 200
    });
    serving.ask_to_stop();
    serving.wait();
    let db = Connection::open(at.data().join("consent.db")).unwrap();
    let facts = json!({
        "made_at": consent_tests::now().millis(),
        "log_key": at.log_key,
        "backend": api.backend, "officer": api.officer, "admin": api.admin, "revoked": revoked,
        "subjects": subjects, "receipt": receipt, "record": first.id().to_string(), "account": account,
        "webhook": webhook, "user": (number >= 4).then_some("ada"), "password": WORD,
    });
    let folder = schemas().join(number.to_string());
    std::fs::create_dir(&folder).expect("no database of this schema is kept yet");
    copy(&at.data(), &folder.join("data"));
    for of_the_process in ["consent.db", "consent.db-wal", "consent.db-shm", "serving.lock"] {
        drop(std::fs::remove_file(folder.join("data").join(of_the_process)));
    }
    std::fs::write(folder.join("data/consent.sql"), dump(&db)).unwrap();
    std::fs::write(folder.join("facts.json"), format!("{facts:#}\n")).unwrap();
}

/// A migration that nobody has tried on a database from before it is none. This test makes what is missing if it is told to.
#[test]
fn every_schema_has_a_database_of_its_time() {
    let numbers: Vec<i64> = migrations().into_keys().collect();
    if std::env::var_os("CONSENT_KEEP_SCHEMA").is_some() {
        keep();
    }
    let missing: Vec<&i64> = numbers.iter().filter(|number| !schemas().join(number.to_string()).is_dir()).collect();
    assert!(missing.is_empty(), "no database of the schemas {missing:?}: see tests/schemas/README.md");
    for number in numbers {
        let left = Left::of(number);
        assert_eq!(applied(&left.db()).last(), Some(&number), "what is kept is of that schema");
    }
}

#[test]
fn a_database_of_every_earlier_schema_is_taken_over_whole() {
    let numbers: Vec<i64> = migrations().into_keys().collect();
    for &number in &numbers {
        let left = Left::of(number);
        let before = leaves(&left.db());
        assert!(before.len() > DECISIONS, "{}", before.len());
        what_held_still_holds(&left);
        assert_eq!(applied(&left.db()), numbers);
        assert_eq!(leaves(&left.db())[..before.len()], before[..], "no leaf of schema {number} was touched");
        check_log(&left.data()).unwrap();
        let doctor = left.command(&["doctor"]);
        assert!(doctor.contains("all is well"), "{doctor}");
        proofs_of_then_are_good(&left);
        keys_of_then_work(&left);
        check_log(&left.data()).unwrap();
    }
}

/// What the earlier binary answered about people, this one answers for the same moment.
fn what_held_still_holds(left: &Left) {
    let made_at = left.facts["made_at"].as_i64().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(made_at));
    let store = Sqlite::open(&left.data(), clock, Arc::new(FileSigners::new(left.data().join("keys")))).unwrap();
    let site = store.registry().site("demo").cloned().unwrap();
    let outline = &site.notice().unwrap().outline;
    let now = UnixMillis::new(made_at);
    let statistics = ChoiceId::parse("statistics").unwrap();
    for fact in left.facts["subjects"].as_array().unwrap() {
        let subject = SubjectId::parse(fact["subject"].as_str().unwrap()).unwrap();
        let consent = store.consent(&site, &subject).unwrap().unwrap();
        let view = consent.view(outline, now, false);
        assert_eq!(json!(view.status()), fact["consent"]["status"], "schema {}", left.schema);
        assert_eq!(json!(view.granted(&statistics)), fact["consent"]["allowed"], "schema {}", left.schema);
    }
    if let Some(account) = left.facts["account"].as_str() {
        let merged = store.account(&site, &AccountId::parse(account).unwrap()).unwrap();
        assert!(merged.view(outline, now, false).granted(&statistics), "schema {}", left.schema);
    }
}

fn proofs_of_then_are_good(left: &Left) {
    let export = left.folder.path().join("export.jsonl");
    left.command(&["export", "--site", "demo", "--format", "jsonl", "-o", export.to_str().unwrap()]);
    let receipt = left.folder.path().join("receipt.json");
    std::fs::write(&receipt, left.text("receipt")).unwrap();
    for file in [export, receipt] {
        let output = consent(["verify", file.to_str().unwrap(), "--key", left.text("log_key")]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "schema {}: {}: {said}", left.schema, file.display());
    }
}

fn keys_of_then_work(left: &Left) {
    let (mut serving, api) = serve(left);
    for (key, path) in [
        ("backend", "/v1/sites/demo/events"),
        ("officer", "/v1/sites/demo/audit/records"),
        ("admin", "/v1/sites/demo/keys"),
    ] {
        api.get_as(left.text(key), path).expect(200);
    }
    api.get_as(left.text("revoked"), "/v1/sites/demo/events").expect(401);
    for fact in left.facts["subjects"].as_array().unwrap() {
        let subject = SubjectId::parse(fact["subject"].as_str().unwrap()).unwrap();
        let records = api.records(subject).expect(200).json();
        assert_eq!(records["records"].as_array().map(Vec::len).map(|n| json!(n)), Some(fact["records"].clone()));
        // Life goes on: who may still decide does, and is heard.
        if fact["consent"]["status"] != "forgotten" {
            browser(&api, &DecisionBody::save(&[]).by(subject));
            assert!(!api.allowed(subject, "statistics"));
        }
    }
    if let Some(account) = left.facts["account"].as_str() {
        let subject = SubjectId::parse(left.facts["subjects"][0]["subject"].as_str().unwrap()).unwrap();
        assert_eq!(api.account(account, "statistics")["allowed"], json!(false));
        api.link(subject, account).expect(204);
    }
    if let Some(webhook) = left.facts["webhook"].as_str() {
        assert!(left.command(&["webhook", "list"]).contains(webhook));
        left.command(&["webhook", "revoke", webhook]);
    }
    if let Some(user) = left.facts["user"].as_str() {
        let login = json!({"user": user, "password": left.text("password")}).to_string();
        api.send("POST", "/v1/session", &[("content-type", "application/json")], login.as_bytes()).expect(201);
    }
    serving.0.kill().unwrap();
    serving.0.wait().unwrap();
}

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serve(left: &Left) -> (Killed, Api) {
    let log = left.folder.path().join("log");
    let mut serving = Killed(
        Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--data", left.data().to_str().unwrap()])
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );
    let mut address = None;
    wait_until("consent serve to listen", || {
        let logged = std::fs::read_to_string(&log).unwrap();
        assert!(matches!(serving.0.try_wait(), Ok(None)), "{logged}");
        address =
            logged.split_once("listening on ").map(|(_, after)| after.split_whitespace().next().unwrap().to_owned());
        address.is_some()
    });
    let url = address.unwrap();
    (serving, Api::new(&url, left.text("backend"), left.text("officer"), left.text("admin")))
}

#[test]
fn a_schema_of_a_newer_binary_is_refused_by_every_command() {
    let newest = *migrations().last_key_value().unwrap().0;
    let left = Left::of(newest);
    left.db().execute("INSERT INTO migration VALUES (?1, x'00', 0)", [newest + 1]).unwrap();
    let before = leaves(&left.db());
    for args in [
        vec!["serve", "--listen", "127.0.0.1:0"],
        vec!["doctor"],
        vec!["site", "list"],
        vec!["export", "--site", "demo", "--format", "jsonl", "-o", "/dev/null"],
    ] {
        let output = left.run(&args);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(&format!("schema {}", newest + 1)) && said.contains("newer one"), "{args:?}: {said}");
    }
    assert_eq!(leaves(&left.db()), before);
}

/// `kill -9` at any write or sync of a migration: each leaves a schema that some binary has had, with every record, and the next
/// start goes on from there.
#[test]
fn a_migration_that_is_killed_leaves_a_whole_schema() {
    let migrations = migrations();
    let shapes: BTreeMap<i64, Vec<(String, String)>> = {
        let db = Connection::open_in_memory().unwrap();
        let after = |sql: &String| {
            db.execute_batch(sql).unwrap();
            shape(&db)
        };
        migrations.iter().map(|(number, sql)| (*number, after(sql))).collect()
    };
    let (&first, &newest) = (migrations.first_key_value().unwrap().0, migrations.last_key_value().unwrap().0);
    let mut seen = std::collections::BTreeSet::new();
    for call in ["pwrite64", "fdatasync"] {
        for nth in 1.. {
            let left = Left::of(first);
            let before = leaves(&left.db());
            let killed = !Command::new("strace")
                .args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")])
                .args(["-e", &format!("inject={call}:signal=KILL:when={nth}")])
                .arg(binary())
                .args(["site", "list", "--data", left.data().to_str().unwrap()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("strace is needed for this test: apt-get install strace")
                .success();
            let db = left.db();
            let healthy: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            let reached = applied(&db);
            let last = *reached.last().unwrap();
            assert_eq!(healthy, "ok", "{call} {nth}");
            assert!(migrations.keys().take(reached.len()).eq(reached.iter()), "{call} {nth}: {reached:?}");
            assert_eq!(shape(&db), shapes[&last], "{call} {nth}: schema {last} is as it was made");
            assert_eq!(leaves(&db), before, "{call} {nth}");
            drop(db);
            left.command(&["site", "list"]);
            assert_eq!(applied(&left.db()).last(), Some(&newest), "{call} {nth}: the next start goes on");
            seen.insert(last);
            if !killed {
                break;
            }
        }
    }
    assert!(shapes.keys().eq(seen.iter()), "it was killed in each schema: {seen:?}");
}
