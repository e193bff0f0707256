//! One of a client's servers: its connection, what is in flight there, and whether it is healthy.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use pdp_proto::v1::audit_service_client::AuditServiceClient;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_proto::v1::session_service_client::SessionServiceClient;
use pdp_proto::v1::tenant_service_client::TenantServiceClient;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

use super::Load;
use super::ejection::Ejected;
use crate::client::MAX_RESPONSE_BYTES;

/// The connection to one server, which is made again by itself when it breaks.
pub(crate) struct Subchannel {
    address: String,
    channel: Channel,
    calls: AtomicUsize,
    streams: AtomicUsize,
    ejected: Ejected,
    told: AtomicU8,
}

/// What is known of a server from watching its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Told {
    /// Nothing: calls find out.
    Nothing = 0,
    /// That it serves.
    Serving = 1,
    /// That it does not: it begins, drains, or is out of date.
    NotServing = 2,
    /// That there is no connection, or not any more.
    Lost = 3,
}

// === impl Subchannel ===

impl Subchannel {
    pub(crate) fn new(address: String, channel: Channel) -> Self {
        Self {
            address,
            channel,
            calls: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            ejected: Ejected::default(),
            told: AtomicU8::new(Told::Nothing as u8),
        }
    }

    /// The server's address, as it was written.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(super) const fn in_use(&self, load: Load) -> &AtomicUsize {
        match load {
            Load::Call => &self.calls,
            Load::Stream => &self.streams,
        }
    }

    /// Whether it is one to ask, or to try again.
    pub(super) fn is_healthy(&self, now: Duration) -> bool {
        let told = self.told.load(Ordering::Relaxed);
        told != Told::NotServing as u8 && told != Told::Lost as u8 && !self.ejected.is_out(now)
    }

    pub(super) fn admit(&self, now: Duration, pause: impl Fn(u32) -> Duration) -> bool {
        self.ejected.admit(now, pause)
    }

    pub(super) fn eject(
        &self,
        now: Duration,
        pause: impl Fn(u32) -> Duration,
        asked: Option<Duration>,
    ) {
        self.ejected.eject(now, pause, asked);
    }

    /// A call was answered here.
    pub(super) fn answered(&self) {
        self.ejected.clear();
        let (lost, nothing) = (Told::Lost as u8, Told::Nothing as u8);
        if self.told.load(Ordering::Relaxed) == lost {
            let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
            // An error is that the watch was quicker.
            let _ = self.told.compare_exchange(lost, nothing, set, fetch);
        }
    }

    /// What watching its health says.
    pub(super) fn tell(&self, told: Told) {
        self.told.store(told as u8, Ordering::Relaxed);
        if told == Told::Serving {
            self.ejected.clear();
        }
    }

    pub(crate) fn audits(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    pub(crate) fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }

    pub(crate) fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    pub(crate) fn session_calls(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    pub(crate) fn tenants(&self) -> TenantServiceClient<Channel> {
        TenantServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

impl fmt::Debug for Subchannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, channel: _, calls, streams, ejected, told } = self;
        f.debug_struct("Subchannel")
            .field("address", address)
            .field("calls", calls)
            .field("streams", streams)
            .field("ejected", ejected)
            .field("told", told)
            .finish_non_exhaustive()
    }
}
