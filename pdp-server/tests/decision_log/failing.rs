//! A log that cannot be written, on a real disk: what is decided is decided, what is lost is counted, and
//! that it is so is said once.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use pdp_proto::v1;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::{Channel, Endpoint};

use crate::logged::{log_in, records};
use crate::served::{folder, question};

/// How many questions are asked at once.
const BATCH: u64 = 1_000;

/// The server as a process, which no file may outgrow a limit of.
struct Limited {
    process: Child,
    folder: TempDir,
    channel: Channel,
    http: String,
    said: Arc<Mutex<Vec<Value>>>,
    asked: u64,
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Limited {
    /// One whose log's files are of this size, and where no file may be larger than `blocks` says:
    /// `unlimited`, or so many of `ulimit -f`.
    fn start(max_bytes: &str, blocks: &str) -> Self {
        let folder = folder();
        // What goes beyond is an error like that of a full disk, for every user, rather than a signal.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut process = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_pdp-server")])
            .args(["serve", "--log-format", "json", "--http", "127.0.0.1:0", "--grace-ms", "0"])
            .args(["--grpc", "127.0.0.1:0", "--data", "data", "--load", "policy.yaml"])
            .args(["--decision-log", "decisions.jsonl", "--decision-log-keep", "1"])
            .args(["--decision-log-max-bytes", max_bytes, "--max-queue-ms", "60000"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(process.stderr.take().unwrap());
        let mut lines = told.lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains(r#""message":"serving""#)).unwrap();
        let serving: Value = serde_json::from_str(&line).unwrap();
        let said: Arc<Mutex<Vec<Value>>> = Arc::default();
        let into = Arc::clone(&said);
        std::thread::spawn(move || {
            let read = lines.filter_map(|line| serde_json::from_str(&line).ok());
            read.for_each(|line| into.lock().unwrap().push(line));
        });
        let address = |door: &str| serving[door].as_str().unwrap().to_owned();
        let channel = Endpoint::from_shared(format!("http://{}", address("grpc"))).unwrap();
        let (channel, http) = (channel.connect_lazy(), address("http"));
        Self { process, folder, channel, http, said, asked: 0 }
    }

    fn log(&self) -> PathBuf {
        log_in(self.folder.path())
    }

    /// Asks many questions, each of which is answered and has to be logged, and waits until the log
    /// has dealt with them.
    async fn asks(&mut self) {
        let questions = vec![question("bo", "View", "absence"); usize::try_from(BATCH).unwrap()];
        let request = v1::BatchCheckRequest { questions, ..Default::default() };
        let mut client = DecisionServiceClient::new(self.channel.clone());
        let results = client.batch_check(request).await.unwrap().into_inner().results;
        let decided = |it: &v1::BatchCheckResult| {
            matches!(&it.result, Some(v1::batch_check_result::Result::Decision(_)))
        };
        assert!(results.iter().all(decided));
        self.asked += BATCH;
        loop {
            let [written, lost] = self.counts().await;
            if written + lost == self.asked {
                return;
            }
        }
    }

    /// How many records were written, and how many were lost as they could not be.
    async fn counts(&self) -> [u64; 2] {
        let mut stream = tokio::net::TcpStream::connect(&self.http).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let names = [
            "pdp_decision_log_records_total ",
            r#"pdp_decision_log_dropped_total{reason="failed"} "#,
        ];
        names.map(|name| {
            let mut lines = reply.lines();
            lines.find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
        })
    }

    /// How often the server said that something is wrong with the log.
    fn said(&self, what: &str) -> usize {
        let said = self.said.lock().unwrap();
        let errors = said.iter().filter(|line| line["level"] == "ERROR");
        errors.filter(|line| line["message"].as_str().is_some_and(|it| it.contains(what))).count()
    }
}

fn whole_lines(path: &Path) -> usize {
    records(path).len()
}

#[tokio::test]
async fn a_file_that_cannot_be_put_aside_grows_until_it_can() {
    let mut server = Limited::start("16384", "unlimited");
    // No user can put a file where a folder is that has something in it.
    let aside = server.folder.path().join("decisions.jsonl.1");
    std::fs::create_dir_all(aside.join("in-the-way")).unwrap();
    for _ in 0..3 {
        server.asks().await;
    }
    assert_eq!(server.counts().await, [3 * BATCH, 0]);
    assert_eq!(u64::try_from(whole_lines(&server.log())).unwrap(), 3 * BATCH);
    assert_eq!(server.said("cannot be put aside"), 1);

    std::fs::remove_dir_all(&aside).unwrap();
    server.asks().await;
    assert_eq!(server.counts().await, [4 * BATCH, 0]);
    assert!(aside.is_file() && std::fs::metadata(server.log()).unwrap().len() <= 16_384);
    assert_eq!(server.said("log of decisions"), 1);
}

#[tokio::test]
async fn what_a_full_disk_does_not_take_is_counted_and_no_decision_waits() {
    // Four megabytes, or eight where blocks have a kilobyte: enough for the store.
    let mut server = Limited::start("1073741824", "8192");
    while server.counts().await[1] == 0 {
        server.asks().await;
    }
    for _ in 0..3 {
        server.asks().await;
    }
    let [written, lost] = server.counts().await;
    assert!(lost >= 3 * BATCH, "{lost}");
    assert_eq!(server.said("the log of decisions cannot be written"), 1);

    // Room again: what comes now is written, and the line that was cut has an end.
    std::fs::File::options().write(true).open(server.log()).unwrap().set_len(0).unwrap();
    server.asks().await;
    assert_eq!(server.counts().await, [written + BATCH, lost]);
    let text = std::fs::read_to_string(server.log()).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    let read = lines.map(serde_json::from_str::<Value>).map(Result::unwrap).count();
    assert_eq!(u64::try_from(read).unwrap(), BATCH);
    assert_eq!(server.said("the log of decisions cannot be written"), 1);
}
