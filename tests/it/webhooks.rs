//! Webhooks: what a receiver gets, when it is slow, broken, gone, or not allowed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use consent_core::record::{Kind, Leaf};
use consent_core::time::UnixMillis;
use consent_server::store::events::Cursor;
use consent_server::webhooks::manage::MOST;
use consent_server::webhooks::secret::WebhookSecret;
use consent_tests::{Api, DAY, DecisionBody, Demo, TestServer, check_log, new_subject, now, open_rows, wait_until};
use serde_json::{Value, json};

const ALLOW: &str = "--webhook-allow-private";

/// One delivery as it came.
#[derive(Debug, Clone)]
struct Got {
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
    at: Instant,
}

impl Got {
    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

/// What a receiver answers: a status, with a place to go to. Nothing: it never answers.
type Plan = dyn Fn(usize, &Got) -> Option<u16> + Send + Sync;

/// A real socket that takes deliveries.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    /// Answers each delivery, counted from 0, as planned.
    fn start(plan: impl Fn(usize, &Got) -> Option<u16> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let (kept, plan): (_, Arc<Plan>) = (Arc::clone(&got), Arc::new(plan));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, plan) = (Arc::clone(&kept), Arc::clone(&plan));
                std::thread::spawn(move || drop(take(&stream, &kept, &*plan)));
            }
        });
        Self { port, got }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/consent", self.port)
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn wait_for(&self, count: usize) -> Vec<Got> {
        wait_until("deliveries", || self.got().len() >= count);
        self.got()
    }
}

fn take(stream: &TcpStream, got: &Mutex<Vec<Got>>, plan: &Plan) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(line.starts_with("POST "), "{line}");
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body)?;
        let one = Got { path, headers, body, at: Instant::now() };
        let (number, one) = {
            let mut got = got.lock().unwrap();
            got.push(one.clone());
            (got.len() - 1, one)
        };
        let Some(status) = plan(number, &one) else {
            std::thread::sleep(Duration::from_mins(1));
            return Ok(());
        };
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status} So\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\nok")?;
    }
}

/// Makes a webhook of the demo; its id and its secret.
fn webhook(server: &TestServer, url: &str, more: &[&str]) -> (String, String) {
    let mut args = vec!["webhook", "create", "--site", "demo", "--url", url, "--allow-private"];
    args.extend(more);
    let output = server.command(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let id = said.split("created webhook ").nth(1).and_then(|rest| rest.split(';').next()).unwrap().to_owned();
    (id, String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

/// The lines of the delivery log: type, state, attempts, answer and event id.
fn log(server: &TestServer, id: &str, more: &[&str]) -> Vec<Vec<String>> {
    let mut args = vec!["webhook", "log", id];
    args.extend(more);
    let lines = server.command_ok(&args);
    lines.lines().map(|line| line.split('\t').skip(1).map(str::to_owned).collect()).collect()
}

fn wait_for_log(server: &TestServer, id: &str, state: &str, count: usize) -> Vec<Vec<String>> {
    wait_until("the delivery log", || log(server, id, &[]).iter().filter(|line| line[1] == state).count() >= count);
    log(server, id, &[])
}

/// Code of one language in the guide.
fn guide(language: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md");
    let text = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{language}\n");
    let code = text.split(&fence).nth(1).and_then(|rest| rest.split("```").next());
    code.unwrap_or_else(|| panic!("no {language} in the guide")).to_owned()
}

/// Checks a delivery with the guide's own code, by another implementation of everything: what it read, or what it refused.
fn verified(program: &str, args: &[&str], secret: &str, got: &Got) -> Result<Value, String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let body = String::from_utf8(got.body.clone()).unwrap();
    let input = json!({ "secret": secret, "headers": got.headers, "body": body });
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn by_node(secret: &str, got: &Got) -> Result<Value, String> {
    let code = guide("js")
        + "import { readFileSync } from 'node:fs';\n\
           const { secret, headers, body } = JSON.parse(readFileSync(0));\n\
           console.log(JSON.stringify(verify(secret, headers, Buffer.from(body))));\n";
    verified("node", &["--input-type=module", "-e", &code], secret, got)
}

fn by_python(secret: &str, got: &Got) -> Result<Value, String> {
    let code = guide("python")
        + "\nimport sys\n\
           m = json.load(sys.stdin)\n\
           print(json.dumps(verify(m['secret'], m['headers'], m['body'].encode())))\n";
    verified("python3", &["-c", &code], secret, got)
}

#[test]
fn each_event_is_sent_once_in_order_and_signed() {
    let server = Demo::default().preset("choice").args(&[ALLOW]).start();
    let api = server.api();
    api.decide(&DecisionBody::save(&["statistics"])).expect(201);
    let receiver = Receiver::start(|_, _| Some(204));
    let (id, secret) = webhook(&server, &receiver.url(), &[]);
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    let revoke = DecisionBody::save(&[]).by(subject).after(&grant);
    let forget = DecisionBody::forget().by(subject).after(&revoke);
    let mut recorded = Vec::new();
    for decision in [&grant, &revoke, &forget] {
        recorded.push(api.decide(decision).expect(201).json());
    }
    let got = receiver.wait_for(3);
    let log = wait_for_log(&server, &id, "delivered", 3);
    assert_eq!(receiver.got().len(), 3, "nothing from before the webhook, and nothing twice");
    let ids: Vec<&str> = got.iter().map(Got::id).collect();
    assert_eq!(ids, [&grant, &revoke, &forget].map(|decision| decision.0["id"].as_str().unwrap()));
    let first = &got[0];
    assert_eq!((first.path.as_str(), first.headers["content-type"].as_str()), ("/consent", "application/json"));
    assert_eq!(
        first.json(),
        json!({
            "type": "grant",
            "timestamp": recorded[0]["recorded_at"],
            "data": {
                "id": grant.0["id"],
                "site": "demo",
                "subject": subject.to_string(),
                "granted": ["statistics"],
                "denied": ["marketing"],
                "notice": 1,
            },
        })
    );
    assert_eq!([got[1].kind(), got[2].kind()], ["revoke", "forget"]);
    for verify in [by_node, by_python] {
        assert_eq!(verify(&secret, first), Ok(first.json()));
        let mut other = first.clone();
        other.body[10] ^= 1;
        assert!(verify(&secret, &other).unwrap_err().contains("wrong signature"));
        let mut other = first.clone();
        other.headers.insert("webhook-id".to_owned(), got[1].id().to_owned());
        assert!(verify(&secret, &other).unwrap_err().contains("wrong signature"));
        let mut other = first.clone();
        other.headers.insert("webhook-timestamp".to_owned(), (now().seconds() - 301).to_string());
        assert!(verify(&secret, &other).unwrap_err().contains("too old"));
    }
    assert_eq!(log[2], ["grant", "delivered", "1x", "204", grant.0["id"].as_str().unwrap()]);
}

#[test]
fn who_wants_revokes_hears_of_everything_that_is_denied_and_soon() {
    let server = Demo::default().preset("choice").args(&[ALLOW]).start();
    let api = server.api();
    let receiver = Receiver::start(|_, _| Some(200));
    webhook(&server, &receiver.url(), &["--types", "revoke"]);
    let subject = new_subject();
    let all = DecisionBody::new("accept-all", "first", &["marketing", "statistics"]).by(subject);
    let less = DecisionBody::save(&["statistics"]).by(subject).after(&all);
    api.decide(&all).expect(201);
    api.decide(&less).expect(201);
    let answered = Instant::now();
    let got = receiver.wait_for(1);
    assert_eq!((got[0].kind(), &got[0].json()["data"]["denied"]), ("grant".to_owned(), &json!(["marketing"])));
    let first = got[0].at.saturating_duration_since(answered);
    // The server looks for new webhooks every second; from then on a commit wakes it.
    assert!(first < Duration::from_secs(5), "it took {first:?}");
    api.decide(&DecisionBody::save(&[]).by(subject).after(&less)).expect(201);
    let answered = Instant::now();
    let got = receiver.wait_for(2);
    let second = got[1].at.saturating_duration_since(answered);
    assert!(second < Duration::from_secs(2), "a revoke took {second:?}");
    assert_eq!(got[1].kind(), "revoke");
}

#[test]
fn what_failed_is_tried_again_with_the_same_id_before_anything_later() {
    let server = Demo::default().args(&[ALLOW]).start();
    let api = server.api();
    let receiver = Receiver::start(|number, _| Some(if number < 2 { 500 } else { 200 }));
    let (id, secret) = webhook(&server, &receiver.url(), &[]);
    let (one, two) = (DecisionBody::save(&["statistics"]), DecisionBody::save(&[]));
    api.decide(&one).expect(201);
    api.decide(&two).expect(201);
    let got = receiver.wait_for(4);
    let ids: Vec<&str> = got.iter().map(Got::id).collect();
    let [one, two] = [&one, &two].map(|decision| decision.0["id"].as_str().unwrap());
    assert_eq!(ids, [one, one, one, two]);
    assert_eq!(got[0].body, got[2].body);
    assert!(got[1].at - got[0].at >= Duration::from_millis(450), "it waits before it tries again");
    assert_eq!(by_node(&secret, &got[2]), Ok(got[2].json()), "signed anew");
    let log = wait_for_log(&server, &id, "delivered", 2);
    assert_eq!(
        (&log[1][2..4], &log[0][2..4]),
        (&["3x".to_owned(), "200".to_owned()][..], &["1x".to_owned(), "200".to_owned()][..])
    );
}

#[test]
fn what_is_given_up_is_kept_listed_and_sent_again_when_asked() {
    let server = Demo::default().args(&[ALLOW, "--webhook-retry-seconds", "2"]).start();
    let api = server.api();
    let lost = DecisionBody::save(&["statistics"]);
    let lost_id = lost.0["id"].as_str().unwrap().to_owned();
    let mended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let receiver = Receiver::start({
        let (mended, lost) = (Arc::clone(&mended), lost_id.clone());
        move |_, got| {
            Some(if got.id() == lost && !mended.load(std::sync::atomic::Ordering::SeqCst) { 503 } else { 200 })
        }
    });
    let (id, _) = webhook(&server, &receiver.url(), &[]);
    api.decide(&lost).expect(201);
    let next = DecisionBody::save(&[]);
    api.decide(&next).expect(201);
    wait_for_log(&server, &id, "delivered", 1);
    let dead = log(&server, &id, &["--dead"]);
    assert_eq!(
        (dead.len(), &dead[0][1], &dead[0][3], &dead[0][4]),
        (1, &"dead".to_owned(), &"503".to_owned(), &lost_id)
    );
    assert!(server.command_ok(&["webhook", "list"]).contains("\t1 dead\t"));
    assert_eq!(receiver.got().last().unwrap().id(), next.0["id"], "the others go on");
    let before = receiver.got().len();
    assert!(before >= 3, "it was tried again before it was given up: {before}");

    mended.store(true, std::sync::atomic::Ordering::SeqCst);
    server.command_ok(&["webhook", "redeliver", &id]);
    let got = receiver.wait_for(before + 1);
    assert_eq!(got.last().unwrap().id(), lost_id);
    wait_for_log(&server, &id, "delivered", 2);
    assert!(log(&server, &id, &["--dead"]).is_empty());
    let nothing = server.command(&["webhook", "redeliver", &id]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("nothing to send again"));
    // One event of those that were delivered.
    server.command_ok(&["webhook", "redeliver", &id, "--event", next.0["id"].as_str().unwrap()]);
    assert_eq!(receiver.wait_for(before + 2).last().unwrap().id(), next.0["id"]);
}

#[test]
fn a_private_address_is_not_connected_to_unless_that_is_allowed() {
    let server = TestServer::start();
    let receiver = Receiver::start(|_, _| Some(200));
    let ids: Vec<String> = [
        receiver.url(),
        format!("https://127.0.0.1:{}/", receiver.port),
        // By its form it may be anything; its address is looked at when it is used.
        "https://localhost/".to_owned(),
    ]
    .iter()
    .map(|url| webhook(&server, url, &[]).0)
    .collect();
    server.api().decide(&DecisionBody::save(&["statistics"])).expect(201);
    for id in ids {
        let log = wait_for_log(&server, &id, "retrying", 1);
        assert!(log[0][3].contains("no public address"), "{log:?}");
    }
    assert!(receiver.got().is_empty());
    for (url, why) in [
        ("https://10.0.0.1/", "not an address of the public internet"),
        ("https://[::ffff:127.0.0.1]/", "not an address of the public internet"),
        ("https://receiver.example:8443/", "port 443"),
        ("http://receiver.example/", "https://"),
    ] {
        let output = server.command(&["webhook", "create", "--site", "demo", "--url", url]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{url}: {said}");
    }
}

#[test]
fn no_redirect_is_followed_and_a_receiver_that_is_gone_ends_its_webhook() {
    let server = Demo::default().args(&[ALLOW, "--webhook-retry-seconds", "0"]).start();
    let api = server.api();
    let receiver = Receiver::start(|number, _| Some(if number == 0 { 307 } else { 410 }));
    let (id, _) = webhook(&server, &receiver.url(), &[]);
    api.decide(&DecisionBody::save(&["statistics"])).expect(201);
    let log_1 = wait_for_log(&server, &id, "dead", 1);
    assert_eq!(log_1[0][3], "307");
    api.decide(&DecisionBody::save(&["statistics"])).expect(201);
    wait_for_log(&server, &id, "dead", 2);
    wait_until("the webhook to end", || server.command_ok(&["webhook", "list"]).contains("\tgone "));
    let third = DecisionBody::save(&["statistics"]);
    api.decide(&third).expect(201);
    std::thread::sleep(Duration::from_secs(2));
    let got = receiver.got();
    assert_eq!(got.len(), 2, "nothing is sent to it any more");
    assert!(got.iter().all(|one| one.path == "/consent"));
    // Another one goes on where it ended: with what it was gone for.
    let list = server.command_ok(&["webhook", "list"]);
    let cursor = list.trim_end().rsplit_once("\tat ").unwrap().1;
    let successor = Receiver::start(|_, _| Some(200));
    webhook(&server, &successor.url(), &["--after", cursor]);
    let told: Vec<String> = successor.wait_for(2).iter().map(|one| one.id().to_owned()).collect();
    assert_eq!(told, [got[1].id(), third.0["id"].as_str().unwrap()]);
    let page = api.get_as(&api.backend, &format!("/v1/sites/demo/events?after={cursor}")).expect(200).json();
    assert_eq!(page["events"].as_array().unwrap().len(), 2, "the feed knows the same place");
    let beyond = Cursor::START.to_string().replace('A', "B");
    for wrong in ["now", &beyond] {
        let args = ["webhook", "create", "--site", "demo", "--url", "https://a.example/", "--after", wrong];
        assert!(!server.command(&args).status.success(), "{wrong}");
    }
}

/// The value of one webhook over HTTP.
fn shown(api: &Api, id: &str) -> Value {
    api.get_as(&api.admin, &format!("/v1/sites/demo/webhooks/{id}")).expect(200).json()
}

#[test]
fn admins_do_the_same_over_http() {
    let server = Demo::default().args(&[ALLOW, "--webhook-retry-seconds", "0"]).start();
    let api = server.api();
    let hooks = "/v1/sites/demo/webhooks";
    let receiver = Receiver::start(|number, _| Some(if number < 2 { 503 } else { 200 }));
    let wanted = json!({ "url": receiver.url(), "types": ["forget", "grant", "grant"] });
    let made = api.post_as(&api.admin, hooks, &wanted).expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.json();
    let (id, secret) = (made["webhook"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(made["webhook"]["types"], json!(["grant", "forget"]));
    let secret = WebhookSecret::parse(secret).unwrap();
    for _ in 0..3 {
        api.decide(&DecisionBody::save(&["statistics"])).expect(201);
    }
    let got = receiver.wait_for(3);
    let at: i64 = got[2].headers["webhook-timestamp"].parse().unwrap();
    assert_eq!(got[2].headers["webhook-signature"], secret.sign(got[2].id(), at, &got[2].body));
    let log = |query: &str| api.get_as(&api.officer, &format!("{hooks}/{id}/deliveries{query}")).expect(200).json();
    wait_until("the deliveries", || log("")["deliveries"].as_array().unwrap().len() == 3);
    let first = log("?limit=2");
    let (of_first, next) = (first["deliveries"].as_array().unwrap(), &first["next"]);
    assert_eq!((&of_first[0]["state"], &of_first[0]["status"], of_first.len()), (&json!("delivered"), &json!(200), 2));
    assert_eq!(
        (&of_first[1]["state"], &of_first[1]["type"], next),
        (&json!("dead"), &json!("grant"), &of_first[1]["n"])
    );
    let rest = log(&format!("?limit=2&before={next}"));
    assert_eq!((rest["deliveries"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(log("?dead=true")["deliveries"].as_array().unwrap().len(), 2);
    assert_eq!(shown(&api, id)["dead"], 2);

    let again = format!("{hooks}/{id}/redeliver");
    api.post_as(&api.admin, &again, &json!({ "event": "none" })).expect(409).problem();
    api.post_as(&api.admin, &again, &json!({ "event": of_first[1]["event"] })).expect(202);
    receiver.wait_for(4);
    wait_until("it to be written down", || shown(&api, id)["dead"] == 1);
    api.post_as(&api.admin, &again, &json!({})).expect(202);
    receiver.wait_for(5);
    wait_until("it to be written down", || shown(&api, id)["dead"] == 0);
    api.post_as(&api.admin, &again, &json!({})).expect(409).problem();

    let list = api.get_as(&api.admin, hooks).expect(200).text();
    assert!(list.contains(id) && !list.contains(&secret.reveal()[6..]), "{list}");
    let end = || {
        let key = format!("Bearer {}", api.admin);
        api.send("DELETE", &format!("{hooks}/{id}"), &[("authorization", &*key)], &[])
    };
    end().expect(204);
    end().expect(404).problem();
    let ended = shown(&api, id);
    assert_eq!(ended["ended_why"], "revoked");
    assert!(!server.data().join(format!("keys/webhook-{id}.secret")).exists());
    api.post_as(&api.admin, &again, &json!({})).expect(409).problem();
    // What it was sent stays to be read, and another one may go on from there.
    assert_eq!(log("")["deliveries"].as_array().unwrap().len(), 3);
    api.decide(&DecisionBody::save(&["statistics"])).expect(201);
    let successor = json!({ "url": receiver.url(), "after": ended["cursor"] });
    api.post_as(&api.admin, hooks, &successor).expect(201);
    receiver.wait_for(6);

    let acts = api.get_as(&api.admin, "/v1/sites/demo/audit/records?kind=site&limit=200").expect(200).json();
    let acts = acts["records"].as_array().unwrap();
    let of_this = acts.iter().filter(|act| act["target"].as_str().is_some_and(|text| text.contains(id)));
    assert_eq!(of_this.count(), 4, "made, sent again twice, ended: {acts:?}");
}

#[test]
fn over_http_only_what_the_configuration_allows_is_told() {
    let server = TestServer::start();
    let api = server.api();
    let hooks = "/v1/sites/demo/webhooks";
    for (body, pointer) in [
        (json!({ "url": "https://127.0.0.1/" }), "/url"),
        (json!({ "url": "https://10.1.2.3/consent" }), "/url"),
        (json!({ "url": "http://receiver.example/" }), "/url"),
        (json!({ "url": "https://receiver.example:8443/" }), "/url"),
        (json!({ "url": "https://receiver.example/", "after": "x" }), "/after"),
        (json!({ "url": "https://receiver.example/", "types": ["all"] }), "/types/0"),
        (json!({ "url": "https://receiver.example/", "allow_private": true }), "/allow_private"),
    ] {
        let problem = api.post_as(&api.admin, hooks, &body).expect(422).problem();
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    assert_eq!(api.get_as(&api.admin, hooks).expect(200).json(), json!({ "webhooks": [] }));
    // By its form it may be anything: its address is looked at when it is used.
    let made = api.post_as(&api.admin, hooks, &json!({ "url": "https://localhost/" })).expect(201).json();
    api.decide(&DecisionBody::save(&["statistics"])).expect(201);
    let path = format!("{hooks}/{}/deliveries", made["webhook"]["id"].as_str().unwrap());
    let mut log = Value::Null;
    wait_until("an attempt", || {
        log = api.get_as(&api.officer, &path).expect(200).json();
        log["deliveries"][0]["state"] == "retrying"
    });
    assert!(log["deliveries"][0]["error"].as_str().unwrap().contains("no public address"), "{log}");
    // Changes are limited, too: whoever waits as long as is asked makes them all.
    let create = || loop {
        let answer = api.post_as(&api.admin, hooks, &json!({ "url": "https://localhost/" }));
        if answer.status != 429 {
            return answer;
        }
        std::thread::sleep(Duration::from_secs(answer.header("retry-after").parse().unwrap()));
    };
    for _ in 1..MOST {
        create().expect(201);
    }
    create().expect(409).problem();
}

#[test]
fn a_server_that_dies_in_the_middle_sends_again_with_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Takes the second delivery and is not heard of any more.
    let receiver = Receiver::start(|number, _| if number == 1 { None } else { Some(200) });
    let mut server = Demo::default().data(&data).args(&[ALLOW]).start();
    let (id, _) = webhook(&server, &receiver.url(), &[]);
    let decisions = [0, 1, 2].map(|_| DecisionBody::save(&["statistics"]));
    for decision in &decisions {
        server.api().decide(decision).expect(201);
    }
    receiver.wait_for(2);
    server.kill();
    let server = Demo::default().data(&data).args(&[ALLOW]).start();
    wait_for_log(&server, &id, "delivered", 3);
    let got = receiver.got();
    let ids: Vec<&str> = got.iter().map(Got::id).collect();
    let [one, two, three] = [0, 1, 2].map(|at: usize| decisions[at].0["id"].as_str().unwrap());
    // The first one may come again, since a death may come before it was written down that it had arrived.
    assert!(ids == [one, two, two, three] || ids == [one, two, one, two, three], "{ids:?}");
}

#[test]
fn what_is_erased_before_it_arrives_is_not_sent() {
    let server = Demo::default().args(&[ALLOW]).start();
    let api = server.api();
    let gone = new_subject();
    let receiver =
        Receiver::start(move |_, got| Some(if got.json()["data"]["subject"] == gone.to_string() { 500 } else { 200 }));
    let (id, _) = webhook(&server, &receiver.url(), &[]);
    api.decide(&DecisionBody::save(&["statistics"]).by(gone)).expect(201);
    wait_for_log(&server, &id, "retrying", 1);
    {
        let rows = rusqlite::Connection::open(server.data().join("consent.db")).unwrap();
        rows.busy_timeout(Duration::from_secs(30)).unwrap();
        rows.execute("UPDATE record_id SET subject = NULL WHERE subject = ?1", [&gone.as_bytes()[..]]).unwrap();
        rows.execute("DELETE FROM subject WHERE id = ?1", [&gone.as_bytes()[..]]).unwrap();
    }
    api.decide(&DecisionBody::save(&["statistics"])).expect(201);
    wait_for_log(&server, &id, "void", 1);
    wait_for_log(&server, &id, "delivered", 1);
    let again = server.command(&["webhook", "redeliver", &id]);
    assert!(!again.status.success(), "there is nothing to send again");
}

#[test]
fn what_falls_due_is_sent_within_a_minute() {
    let server = Demo::default().args(&[ALLOW]).start();
    let receiver = Receiver::start(|_, _| Some(200));
    webhook(&server, &receiver.url(), &["--types", "expired"]);
    let due = now().millis() + 3_000;
    let grant = DecisionBody::save(&["statistics"]).at(UnixMillis::new(due - 180 * DAY));
    server.api().decide(&grant).expect(201);
    let got = receiver.wait_for(1);
    let late = now().millis() - due;
    assert!((0..60_000).contains(&late), "{late} ms late");
    let message = got[0].json();
    assert_eq!(
        (&message["type"], &message["timestamp"]),
        (&json!("expired"), &json!(UnixMillis::new(due).to_string()))
    );
    assert_eq!(message["data"]["id"], format!("{}-expired-180", grant.0["id"].as_str().unwrap()));
    assert_eq!(message["data"]["denied"], json!(["statistics"]));
}

#[test]
fn the_secret_is_shown_once_and_every_act_is_a_record() {
    let server = Demo::default().args(&[ALLOW]).start();
    let receiver = Receiver::start(|_, _| Some(200));
    let (id, secret) = webhook(&server, &receiver.url(), &["--types", "revoke,forget"]);
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{}", secret.len());
    let list = server.command_ok(&["webhook", "list"]);
    assert!(list.contains(&format!("{id}\tdemo\tlive\t0 dead\trevoke,forget\t{}", receiver.url())), "{list}");
    let file = server.data().join(format!("keys/webhook-{id}.secret"));
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), secret);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for place in [list, server.logged()] {
        assert!(!place.contains(&secret[6..]));
    }
    let database = std::fs::read(server.data().join("consent.db")).unwrap();
    assert!(!database.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));

    server.command_ok(&["webhook", "revoke", &id]);
    assert!(!file.exists());
    assert!(!server.command(&["webhook", "revoke", &id]).status.success());
    let bad = server.command(&["webhook", "create", "--site", "demo", "--url", "https://a.example/", "--types", "all"]);
    assert!(String::from_utf8_lossy(&bad.stderr).contains("grant,revoke,forget"));
    std::thread::sleep(Duration::from_secs(2));
    server.api().decide(&DecisionBody::forget()).expect(201);
    std::thread::sleep(Duration::from_secs(1));
    assert!(receiver.got().is_empty());

    let rows = open_rows(server.data());
    let mut targets =
        rows.prepare("SELECT r.leaf, a.target FROM record r JOIN aside a ON a.key = r.key ORDER BY r.key").unwrap();
    let found: Vec<(Vec<u8>, Option<String>)> =
        targets.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let acts: Vec<&String> =
        found.iter().filter_map(|(_, target)| target.as_ref()).filter(|text| text.contains("webhook")).collect();
    assert_eq!(acts, [&format!("webhook {id} to {}", receiver.url()), &format!("webhook {id} revoked")]);
    for (leaf, _) in found.iter().filter(|(_, target)| target.as_ref().is_some_and(|text| text.contains("webhook"))) {
        assert_eq!(Leaf::parse(leaf).unwrap().kind, Kind::Site);
    }
    check_log(server.data()).unwrap();
}
