//! The thread that writes: it looks into every ring, makes lines of the records there, and hands them
//! to the sink. Whoever decides neither waits for it nor wakes it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Shared;
use super::line::Lines;
use super::ring::Arriving;
use super::sink::{Lost, Sink};

/// How long it waits for more: a ring of the default size holds what a core decides in many times that.
/// Many lines together cost less than each by itself.
const PAUSE: Duration = Duration::from_millis(5);

/// It does not wait where it found more than this part of a ring.
const PART: usize = 4;

/// The writer.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) lines: Lines,
    pub(super) sink: Sink,
    pub(super) rings: Vec<Arriving>,
    /// The last write failed; it was said.
    pub(super) failing: bool,
}

// === impl Writer ===

impl Writer {
    /// Writes until the sender is gone, and then what is left.
    pub(super) fn run(mut self, stopped: &Receiver<()>) {
        let much = self.shared.ring / PART;
        loop {
            while self.drain() > much {}
            if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        while self.drain() > 0 {}
    }

    /// Writes what has come, and says how much had.
    fn drain(&mut self) -> usize {
        self.rings.append(&mut self.shared.joined());
        let mut rings = std::mem::take(&mut self.rings);
        let (mut taken, mut lost) = (0_usize, 0);
        let (mut texts, mut text) = (Vec::new(), Vec::new());
        for ring in &mut rings {
            // What comes meanwhile has its turn after the other rings.
            for _ in 0..ring.len() {
                let Some(record) = ring.pop(&mut texts) else { break };
                text.clear();
                self.lines.write(&record.read(&texts), &mut text);
                lost += self.sink.push(&text).map_or_else(|lost| self.tell(&lost), |()| 0);
                taken += 1;
            }
        }
        // A thread that has ended takes its ring along.
        rings.retain(|ring| !ring.is_over());
        self.rings = rings;
        if taken == 0 {
            return taken;
        }
        match self.sink.flush() {
            Ok(()) if lost == 0 => self.failing = false,
            // Some of it was lost before, and what came last was not.
            Ok(()) => {}
            Err(last) => lost += self.tell(&last),
        }
        self.shared.metrics.decisions_lost(lost);
        let written = u64::try_from(taken).unwrap_or(u64::MAX).saturating_sub(lost);
        self.shared.metrics.decisions_logged(written);
        taken
    }

    /// Says that the log cannot be written, once until it goes well again. How many lines are lost.
    fn tell(&mut self, Lost { lines, source }: &Lost) -> u64 {
        if *lines == 0 {
            let why = "a full file of the log of decisions cannot be put aside, and grows";
            tracing::error!(error = %source, "{why}");
            return 0;
        }
        if !self.failing {
            tracing::error!(error = %source, "the log of decisions cannot be written");
        }
        self.failing = true;
        *lines
    }
}
