//! The load: keep-alive connections that each send the next request when they have the answer to the last. Raw HTTP/1.1, so that the
//! client costs little and the same for every kind.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::requests::{Kind, Traffic};
use crate::server::Server;

/// How many keep-alive connections put the load on.
pub(crate) const CONNECTIONS: usize = 32;

/// At the beginning of a timed run, what is not counted.
const LEAD_IN: Duration = Duration::from_millis(300);

/// What a run gave.
pub(crate) struct Outcome {
    /// All requests that were answered, the lead-in's too.
    pub(crate) requests: u64,
    /// How long the counted ones took, in seconds.
    pub(crate) seconds: f64,
    /// The processor time that the server took for each request, in microseconds.
    pub(crate) processor: f64,
    /// The latencies of those that were counted, in microseconds.
    pub(crate) latency: Histogram<u32>,
}

impl Outcome {
    /// Answers per second.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "requests of one run are far below 2^52")]
        let counted = self.latency.len() as f64;
        counted / self.seconds
    }
}

/// What the connections of a run share; they are all on one thread.
struct Run {
    traffic: Rc<Traffic>,
    kind: Kind,
    from: Instant,
    until: Instant,
    requests: u64,
    latency: Histogram<u32>,
}

/// Puts load on a server for this long, after a lead-in.
///
/// # Errors
/// If a connection breaks, or any answer is not the one that its kind must have: a fast refusal is no speed.
pub(crate) async fn run(server: &Server, traffic: &Rc<Traffic>, kind: Kind, each: Duration) -> anyhow::Result<Outcome> {
    let mut streams = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server.address()).await.context("connect to the server")?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let processor = server.processor_seconds()?;
    let begin = Instant::now();
    let (from, until) = (begin + LEAD_IN, begin + LEAD_IN + each);
    let latency = Histogram::new_with_bounds(1, 60_000_000, 3).context("the bounds of a histogram")?;
    let shared = Run { traffic: Rc::clone(traffic), kind, from, until, requests: 0, latency };
    let shared = Rc::new(RefCell::new(shared));
    let mut connections = JoinSet::new();
    let tasks = tokio::task::LocalSet::new();
    for stream in streams {
        connections.spawn_local_on(connection(stream, Rc::clone(&shared)), &tasks);
    }
    tasks
        .run_until(async {
            while let Some(ended) = connections.join_next().await {
                ended.context("a connection's task")??;
            }
            anyhow::Ok(())
        })
        .await?;
    let run = Rc::into_inner(shared).context("a connection is still there")?.into_inner();
    #[expect(clippy::cast_precision_loss, reason = "requests of one run are far below 2^52")]
    let processor = (server.processor_seconds()? - processor) * 1e6 / run.requests as f64;
    Ok(Outcome { requests: run.requests, seconds: (until - from).as_secs_f64(), processor, latency: run.latency })
}

/// One connection, until the run is over.
async fn connection(mut stream: TcpStream, run: Rc<RefCell<Run>>) -> anyhow::Result<()> {
    let (mut request, mut answer) = (Vec::with_capacity(1024), Vec::with_capacity(4096));
    loop {
        {
            let run = run.borrow();
            if Instant::now() >= run.until {
                return Ok(());
            }
            run.traffic.next(run.kind, &mut request);
        }
        let sent = Instant::now();
        stream.write_all(&request).await.context("send a request")?;
        read_answer(&mut stream, &mut answer).await?;
        let got = Instant::now();

        let mut run = run.borrow_mut();
        if !answer.starts_with(run.kind.answer()) {
            bail!("an answer that is none to be counted:\n{}", String::from_utf8_lossy(&answer));
        }
        if run.kind == Kind::Decision {
            run.traffic.note_answer();
        }
        run.requests += 1;
        if got >= run.from && got <= run.until {
            let took = u64::try_from((got - sent).as_micros()).unwrap_or(u64::MAX);
            run.latency.saturating_record(took);
        }
    }
}

/// Reads one answer, headers and body, by its content length.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    answer.clear();
    let mut whole = None;
    while whole.is_none_or(|length| answer.len() < length) {
        let before = answer.len();
        if stream.read_buf(answer).await.context("read an answer")? == 0 {
            bail!("the server closed a connection");
        }
        if whole.is_none() {
            // The end of the headers may be split between two reads.
            let from = before.saturating_sub(3);
            let end = answer[from..].windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| from + at + 4);
            if let Some(end) = end {
                whole = Some(end + content_length(&answer[..end]).context("an answer without its length")?);
            }
        }
    }
    Ok(())
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length: ";
    let at = head.windows(NAME.len()).position(|bytes| bytes.eq_ignore_ascii_case(NAME))? + NAME.len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}
