//! What servers with one log do, for people and for machines.

use super::{Machine, put, shown};
use crate::replicas::{CaughtUp, ROOM, ROUNDS, Replicated, Room, SHOWN};
use crate::tally::Latency;

/// A run with servers that share a log.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ReplicasReport {
    /// Where.
    pub machine: Machine,
    /// The size of the policy, in assignments.
    pub size: u64,
    /// The seed.
    pub seed: u64,
    /// What came out.
    pub replicated: Replicated,
}

// === impl ReplicasReport ===

impl ReplicasReport {
    /// A line a figure.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { machine, size, seed, replicated: it } = self;
        let mut out = format!("{}\n{size} assignments, seed {seed}\n", machine.text());
        let imported = format!("{} ms", shown(it.import_ms));
        let mut line = |name: &str, text: String| put(&mut out, format_args!("{name:<46}{text}"));
        line("the policy as one import", format!("{imported}; {}", memory(it.resident_bytes)));
        line("a change, acknowledged", latency(&it.acknowledged));
        let verdict = if it.is_shown_in_time() { "met" } else { "not met" };
        let name = "from then until it counts at another server";
        line(name, format!("{}; p99 in ms {SHOWN}: {verdict}", latency(&it.shown)));
        let verdict = if it.has_room() { "met" } else { "not met" };
        line("etcd, the policy in the log", room(it.log));
        let kept = format!("{}; in MiB {ROOM} of a million: {verdict}", room(it.checkpoint));
        line("etcd, the policy in a checkpoint", kept);
        line("an empty server, from the log", caught_up(it.from_log));
        line("an empty server, from the checkpoint", caught_up(it.from_checkpoint));
        let one = it.answers.first().map_or(f64::NAN, |one| one.median);
        for (servers, spread) in (1..).zip(&it.answers) {
            let (rate, least, most) =
                (shown(spread.median), shown(spread.least), shown(spread.most));
            let ratio = shown(spread.median / one);
            let text = format!(
                "{rate} answers/s ({least} to {most} in {ROUNDS} rounds); {ratio} times one's"
            );
            line(&format!("servers: {servers}"), text);
        }
        out
    }
}

fn latency(latency: &Latency) -> String {
    let Latency { count, p50_us, p99_us, max_us, .. } = *latency;
    let ms = |us: f64| shown(us / 1e3);
    format!("p50 {} ms, p99 {} ms, max {} ms, of {count}", ms(p50_us), ms(p99_us), ms(max_us))
}

fn mib(bytes: u64) -> String {
    shown(bytes as f64 / f64::from(1 << 20))
}

fn room(room: Room) -> String {
    format!("{} MiB, {} MiB of them in use", mib(room.bytes), mib(room.in_use_bytes))
}

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "memory not told".to_owned(), |it| format!("{} MiB in memory", mib(it)))
}

fn caught_up(it: CaughtUp) -> String {
    format!("{} ms; {}", shown(it.ready_ms), memory(it.resident_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::Spread;

    #[test]
    fn what_is_held_against_a_bound_says_whether_it_is_met() {
        let latency = Latency { count: 9, p50_us: 5_000.0, p99_us: 60_000.0, ..Default::default() };
        let rate = |median| Spread { median, least: median, most: median };
        let room = Room { bytes: 3 << 20, in_use_bytes: 1 << 20 };
        let replicated = Replicated {
            import_ms: 1_500.0,
            resident_bytes: Some(64 << 20),
            log: room,
            from_log: CaughtUp { ready_ms: 250.0, resident_bytes: None },
            acknowledged: Latency { p99_us: 12_000.0, ..latency },
            shown: latency,
            checkpoint: room,
            from_checkpoint: CaughtUp::default(),
            answers: vec![rate(1_000.0), rate(1_500.0)],
        };
        let report = ReplicasReport { machine: Machine::this(), size: 10, seed: 1, replicated };
        let text = report.text();
        let line = |name| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("from then").ends_with("<= 50: not met"), "{text}");
        assert!(line("from then").contains("p99 60.0 ms"), "{text}");
        assert!(line("etcd, the policy in a checkpoint").ends_with(": met"), "{text}");
        assert!(
            line("an empty server, from the log").contains("250 ms; memory not told"),
            "{text}"
        );
        assert!(line("servers: 2").ends_with("1.50 times one's"), "{text}");
    }
}
