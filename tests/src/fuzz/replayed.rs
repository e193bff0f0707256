//! A line of a log of decisions, read as `pdpctl decisions replay` reads it, and asked again.

use std::sync::LazyLock;

use pdp_engine::compile::compile;
use pdp_engine::query::Revision;
use pdp_engine::snapshot::Snapshot;

use super::inside::policy;
use crate::asked::Asked;

// The command line is a program and no library: its file is read here a second time.
#[allow(dead_code, reason = "the command line shows the rest")]
#[path = "../../../pdp-client/cli/src/replay/record.rs"]
mod record;

static POLICY: LazyLock<Snapshot> = LazyLock::new(|| compile(&policy(), Revision::new(1)));

/// Every line of a log.
pub(super) fn decision_log(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(read) = record::Record::read(line) else { continue };
        if let record::Question::Whole(question) = read.question {
            drop(Asked::of(&question).decide(&POLICY, read.at));
            drop(question.to_string());
        }
    }
}
