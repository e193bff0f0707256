//! What lets callers in, put together: who they may be, and the certificates of connections. Both
//! are read anew when their files change.

use std::sync::Arc;

use pdp_bundle::callers::Callers;

use crate::admission::Admission;
use crate::callers::Gate;
use crate::clock::Clock;
use crate::config::{CallersFile, Config};
use crate::reload::{LOOK_INTERVAL, Watched};
use crate::telemetry::Metrics;
use crate::tls::{Acceptor, Door, Tls, TlsError};

/// What lets callers in.
pub(crate) struct Access {
    pub(crate) gate: Arc<Gate>,
    tls: Option<Arc<Tls>>,
}

// === impl Access ===

impl Access {
    /// Reads what the settings name. Keys of issuers are fetched by tasks of the runtime at hand.
    pub(crate) fn open(
        config: &Config,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        admission: &Arc<Admission>,
    ) -> Result<Self, TlsError> {
        let patience = config.overload.tls_handshake;
        let tls = config.tls.clone().map(|files| Tls::open(files, patience, Arc::clone(metrics)));
        let callers = config.callers.clone();
        let callers = callers.map(|CallersFile { path, callers }| (path, callers));
        let gate = Gate::new(callers, clock.clone(), Arc::clone(metrics), admission);
        Ok(Self { gate: Arc::new(gate), tls: tls.transpose()?.map(Arc::new) })
    }

    /// How a door takes connections.
    pub(crate) fn acceptor(&self, door: Door) -> Acceptor {
        Acceptor::new(self.tls.clone(), door)
    }

    /// Looks after the files, for as long as it is polled.
    pub(crate) async fn reread(self) {
        let Self { gate, tls } = self;
        let mut callers = Watched::new(gate.file().into_iter().cloned().collect());
        let mut certificates = Watched::new(tls.iter().flat_map(|tls| tls.paths()).collect());
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            ticks.tick().await;
            let gate_at_work = Arc::clone(&gate);
            let tls_at_work = tls.clone();
            let look = move || {
                let file = gate_at_work.file().filter(|_| callers.changed());
                let read = file.map(|file| Callers::open(file));
                if let Some(tls) = tls_at_work.filter(|_| certificates.changed()) {
                    tls.reload();
                }
                (callers, certificates, read)
            };
            let Ok(looked) = tokio::task::spawn_blocking(look).await else {
                tracing::error!("the files of callers and certificates are not looked at any more");
                return;
            };
            let read;
            (callers, certificates, read) = looked;
            if let Some(read) = read {
                gate.reload(read);
            }
        }
    }
}
