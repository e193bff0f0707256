//! The client that costs little, at the real server: what it tells apart, and what it sends.

#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use http::uri::PathAndQuery;
use pdp_engine::compile::compile;
use pdp_engine::facts::Change;
use pdp_engine::query::Revision;
use pdp_loadtest::drive::{Connection, DriveError, Timing, try_once};
use pdp_loadtest::embedded::{Embedded, Filled};
use pdp_loadtest::flood::{Flooded, Pace, flood};
use pdp_loadtest::organisation::{NOW, Organisation};
use pdp_loadtest::pace::Schedule;
use pdp_loadtest::questions::{Ask, Mix, hold, sample};
use pdp_loadtest::random::Skew;
use pdp_loadtest::shape::Shape;
use pdp_loadtest::wire::Requests;
use pdp_server::config::Settings;
use tokio::runtime::Runtime;

struct Served {
    server: Embedded,
    asks: Vec<Ask>,
    _filled: Filled,
}

const SHORT: Timing = Timing {
    warm_up: Duration::ZERO,
    duration: Duration::from_millis(50),
    last_answers: Duration::from_secs(60),
};

impl Served {
    fn with(settings: Settings) -> Self {
        let organisation = Organisation::new(Shape::sized(300), 1).unwrap();
        let filled = Filled::with(&organisation.changes().collect::<Vec<Change>>()).unwrap();
        let snapshot = compile(&hold(organisation.facts()).unwrap(), Revision::new(1));
        let mix = Mix { skew: Skew::Uniform, allow: 0.5, count: 1_000, seed: 1 };
        let asks = sample(&organisation, &snapshot, mix, NOW).unwrap();
        let server = Embedded::start_with(filled.path(), settings).unwrap();
        let runtime = Runtime::new().unwrap();
        let one = Requests::checks("", &asks);
        // Each connection is a caller of its own, whose requests are counted.
        let ready = || {
            runtime.block_on(async {
                let mut first = Connection::open(server.endpoint()).await.unwrap();
                try_once(&mut first, &one).await.is_ok()
            })
        };
        while !ready() {}
        Self { server, asks, _filled: filled }
    }

    fn ask(&self, connections: usize, requests: &Requests, pace: Pace) -> Flooded {
        let http = requests.path.path().starts_with("/access");
        let door = if http { self.server.http() } else { self.server.endpoint() };
        flood(door, connections, requests, pace, SHORT).unwrap()
    }
}

/// So many, all in the first fifty milliseconds.
fn at_once(count: u32) -> Pace {
    Pace::Open(Schedule::constant(f64::from(count) * 20.0, SHORT.duration))
}

#[test]
fn every_answer_comes_and_is_the_right_one() {
    let served = Served::with(Settings::default());
    let asks = &served.asks;
    for requests in [
        Requests::checks("", asks),
        Requests::batches("", asks, 7),
        // More than one frame has room for.
        Requests::batches("", asks, 1_000),
        Requests::evaluations(asks, 3),
    ] {
        let Flooded { summary, held_back } = served.ask(3, &requests, at_once(40));
        let each = u64::from(requests.questions);
        assert_eq!((summary.requests, held_back), (40, 0), "{each} each: {summary:?}");
        assert_eq!((summary.errors, summary.wrong), (0, 0), "{each} each: {summary:?}");
        assert_eq!((summary.questions_per_second * 0.05).round() as u64, 40 * each);
        let Flooded { summary, .. } = served.ask(2, &requests, Pace::Closed(4));
        assert!(summary.requests >= 8, "{summary:?}");
        assert_eq!((summary.errors, summary.wrong), (0, 0), "{summary:?}");
    }
    let turned = asks.iter().map(|ask| {
        let line = ask.to_line();
        let (allow, rest) = line.split_once('\t').unwrap();
        let other = if allow == "ALLOW" { "DENY" } else { "ALLOW" };
        Ask::from_line(&format!("{other}\t{rest}")).unwrap()
    });
    let wrong = Requests::checks("", &turned.collect::<Vec<_>>());
    assert_eq!(served.ask(1, &wrong, at_once(100)).summary.wrong, 100);
}

#[test]
fn refusals_are_told_from_other_errors() {
    let served = Served::with(Settings { max_caller_rate: Some(1), ..Settings::default() });
    for requests in [Requests::checks("", &served.asks), Requests::evaluations(&served.asks, 2)] {
        let Flooded { summary, .. } = served.ask(1, &requests, at_once(50));
        assert_eq!((summary.requests, summary.errors, summary.refused), (1, 49, 49), "{summary:?}");
    }
    let nowhere = PathAndQuery::from_static("/pdp.v1.DecisionService/Nothing");
    let unknown = Requests { path: nowhere, ..Requests::checks("", &served.asks) };
    let Flooded { summary, .. } = served.ask(1, &unknown, at_once(20));
    assert_eq!((summary.requests, summary.errors, summary.refused), (0, 20, 0), "{summary:?}");
}

#[test]
fn what_finds_no_stream_is_held_back() {
    let served = Served::with(Settings { max_connection_requests: Some(2), ..Settings::default() });
    let batches = Requests::batches("", &served.asks, 1_000);
    let Flooded { summary, held_back } = served.ask(1, &batches, at_once(5_000));
    assert_eq!(summary.errors, 0, "{summary:?}");
    assert!(held_back > 0);
    assert_eq!(summary.requests + held_back, 5_000);
}

#[test]
fn what_is_no_server_ends_the_run() {
    let asks = [Ask::from_line("DENY\tperson:p1\toperation:View\tDoc00:r1").unwrap()];
    let requests = Requests::checks("", &asks);
    let asked = |address: &str| flood(address, 1, &requests, Pace::Closed(1), SHORT);
    assert!(matches!(asked("nowhere"), Err(DriveError::Address(_))));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let closes = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The preface, and no answer to it.
        stream.read_exact(&mut [0; 24]).unwrap();
    });
    let ended = asked(&address);
    assert!(matches!(ended, Err(DriveError::Protocol(_) | DriveError::System(_))), "{ended:?}");
    closes.join().unwrap();
    assert!(matches!(asked(&address), Err(DriveError::System(_))), "nobody is there any more");
    let none = Requests::checks("", &[]);
    let nothing = flood(&address, 1, &none, Pace::Closed(1), SHORT);
    assert!(matches!(nothing, Err(DriveError::Nothing)));
}
