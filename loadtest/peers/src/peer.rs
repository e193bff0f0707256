//! What every engine here can do: take questions in its own form, and decide one.

use pdp_engine::check::check;
use pdp_engine::query::Effect;
use pdp_engine::snapshot::Snapshot;
use pdp_loadtest::organisation::NOW;
use pdp_loadtest::questions::Ask;

/// An engine with a policy.
pub(crate) trait Peer {
    /// What it is called in the table.
    fn name(&self) -> &'static str;

    /// Whether its encoding knows scopes that are relative to whoever asks.
    fn knows_relative(&self) -> bool {
        true
    }

    /// Takes questions and puts them into its own form; that is not measured.
    fn take(&mut self, asks: &[Ask]) -> anyhow::Result<()>;

    /// Whether the n-th question that it took is allowed.
    fn decide(&mut self, n: usize) -> anyhow::Result<bool>;
}

/// This project's engine. It takes questions as they are: from names to a decision is measured.
pub(crate) struct Ours {
    snapshot: Snapshot,
    asks: Vec<Ask>,
}

// === impl Ours ===

impl Ours {
    pub(crate) const fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, asks: Vec::new() }
    }
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        "pdp"
    }

    fn take(&mut self, asks: &[Ask]) -> anyhow::Result<()> {
        self.asks = asks.to_vec();
        Ok(())
    }

    fn decide(&mut self, n: usize) -> anyhow::Result<bool> {
        let Some(ask) = self.asks.get(n) else { anyhow::bail!("no such question") };
        Ok(check(&self.snapshot, &ask.as_question(), NOW)?.effect == Effect::Allow)
    }
}
