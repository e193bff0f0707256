//! Who may connect: so many in all, and so many of one address, so that nobody holds a door alone.
//! What comes beyond that is not left waiting, where a probe would wait behind it: a few more
//! connections are let in for a moment, to be told about health and that there are too many. They
//! make room for each other, so that there is always a place for one more probe.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Terms;
use crate::admission::Shed;
use crate::telemetry::Connections;

/// How many connections there may be beyond the limits. A probe takes a moment, and a connection that
/// is refused is told so in one.
const RESERVE: usize = 64;

/// Lets connections in, one after the other.
pub(crate) struct Entrance {
    most: usize,
    most_of_address: usize,
    taken: Arc<Mutex<Taken>>,
    /// Those beyond the limits, the oldest first.
    reserve: VecDeque<InReserve>,
    metrics: Connections,
}

/// The connections within the limits.
#[derive(Default)]
struct Taken {
    all: usize,
    of_source: HashMap<Source, usize>,
}

/// What counts as one address. Whoever has one of IPv6 has all that share its first 64 bits with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
    /// Programs of this machine, over a socket of it.
    Local,
}

/// One beyond the limits, seen by who lets connections in.
struct InReserve {
    source: Source,
    /// Dropping it ends the connection.
    stays: oneshot::Sender<()>,
}

/// A connection that was let in, until it is dropped.
pub(crate) struct Entry {
    place: Place,
    metrics: Connections,
}

enum Place {
    /// Within the limits.
    Counted { source: Source, taken: Arc<Mutex<Taken>> },
    /// Beyond one of them.
    Reserve { shed: Shed, stays: oneshot::Receiver<()> },
}

// === impl Source ===

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

// === impl Entrance ===

impl Entrance {
    /// Nobody has come yet.
    pub(crate) fn new(terms: &Terms, metrics: Connections) -> Self {
        Self {
            most: terms.connections,
            most_of_address: terms.address_connections,
            taken: Arc::default(),
            reserve: VecDeque::new(),
            metrics,
        }
    }

    /// Lets one more in, from this address; from a program of this machine where there is none.
    pub(crate) fn admit(&mut self, address: Option<IpAddr>) -> Entry {
        let source = address.map_or(Source::Local, Source::from);
        let place = match self.take(source) {
            Ok(()) => Place::Counted { source, taken: Arc::clone(&self.taken) },
            Err(shed) => {
                self.metrics.refused(shed.label());
                Place::Reserve { shed, stays: self.reserve(source) }
            }
        };
        self.metrics.opened();
        Entry { place, metrics: self.metrics.clone() }
    }

    fn take(&self, source: Source) -> Result<(), Shed> {
        let mut taken = lock(&self.taken);
        if taken.all >= self.most {
            return Err(Shed::Connections { maximum: self.most });
        }
        let of_source = taken.of_source.entry(source).or_default();
        // They are not told apart, so that what one of them may have would be what all may.
        if *of_source >= self.most_of_address && source != Source::Local {
            return Err(Shed::AddressConnections { maximum: self.most_of_address });
        }
        *of_source += 1;
        taken.all += 1;
        Ok(())
    }

    /// A place beyond the limits. Where all are taken, the oldest goes of the address that has most.
    fn reserve(&mut self, source: Source) -> oneshot::Receiver<()> {
        self.reserve.retain(|it| !it.stays.is_closed());
        if self.reserve.len() >= RESERVE {
            let of = |source| self.reserve.iter().filter(|it| it.source == source).count();
            let most = self.reserve.iter().map(|it| of(it.source)).max().unwrap_or_default();
            let goes = self.reserve.iter().position(|it| of(it.source) == most);
            goes.and_then(|at| self.reserve.remove(at));
        }
        let (stays, told) = oneshot::channel();
        self.reserve.push_back(InReserve { source, stays });
        told
    }
}

/// It goes on where somebody panicked with the lock: numbers are whole at any moment.
fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Entry ===

impl Entry {
    /// Why it is told about health only, if it is.
    pub(crate) const fn shed(&self) -> Option<Shed> {
        match &self.place {
            Place::Counted { .. } => None,
            Place::Reserve { shed, .. } => Some(*shed),
        }
    }

    /// Waits until it has to make room.
    pub(super) async fn makes_room(&mut self) {
        match &mut self.place {
            Place::Counted { .. } => std::future::pending().await,
            // Nothing is ever sent: it ends when nobody could.
            Place::Reserve { stays, .. } => drop(stays.await),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.metrics.closed();
        let Place::Counted { source, taken } = &self.place else { return };
        let mut taken = lock(taken);
        taken.all -= 1;
        if let Some(of_source) = taken.of_source.get_mut(source) {
            *of_source -= 1;
            if *of_source == 0 {
                taken.of_source.remove(source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection::Ping;
    use crate::telemetry::{Metrics, Port};

    fn entrance(connections: usize, address_connections: usize) -> Entrance {
        let hour = Duration::from_secs(3_600);
        let terms = Terms {
            connections,
            address_connections,
            streams: 1,
            patience: hour,
            idle: hour,
            age: hour,
            farewell: hour,
            ping: Ping { interval: hour, timeout: hour },
        };
        Entrance::new(&terms, Metrics::new().connections(Port::Grpc))
    }

    fn at(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn connections_are_bounded_in_all_and_of_one_address() {
        let mut entrance = entrance(5, 2);
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(entrance.admit(at("192.0.2.1")));
            held.push(entrance.admit(at("192.0.2.2")));
        }
        assert!(held.iter().all(|entry| entry.shed().is_none()));
        let of_address = Some(Shed::AddressConnections { maximum: 2 });
        assert_eq!(entrance.admit(at("192.0.2.1")).shed(), of_address);
        held.push(entrance.admit(at("192.0.2.3")));
        let in_all = Some(Shed::Connections { maximum: 5 });
        assert_eq!(entrance.admit(at("192.0.2.4")).shed(), in_all);
        held.clear();
        assert!(lock(&entrance.taken).of_source.is_empty());
        assert_eq!(entrance.admit(at("192.0.2.1")).shed(), None);
    }

    #[test]
    fn programs_of_this_machine_are_bounded_in_all_alone() {
        let mut entrance = entrance(3, 1);
        let held: Vec<_> = (0..3).map(|_| entrance.admit(None)).collect();
        assert!(held.iter().all(|entry| entry.shed().is_none()));
        assert_eq!(entrance.admit(None).shed(), Some(Shed::Connections { maximum: 3 }));
    }

    #[test]
    fn who_has_one_address_of_a_network_has_them_all() {
        let same = |one, other| at(one).map(Source::from) == at(other).map(Source::from);
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }

    #[tokio::test]
    async fn beyond_the_limits_there_is_always_a_place_for_one_more() {
        let mut entrance = entrance(1, 1);
        let _within = entrance.admit(at("192.0.2.1"));
        let mut probe = entrance.admit(at("192.0.2.9"));
        let mut flood: Vec<_> = (0..3 * RESERVE).map(|_| entrance.admit(at("192.0.2.1"))).collect();
        assert_eq!(entrance.reserve.len(), RESERVE);
        // The oldest of the flood have to go, and not the probe that came before them all.
        flood[0].makes_room().await;
        flood[2 * RESERVE].makes_room().await;
        for stays in [&mut probe, &mut flood[2 * RESERVE + 1]] {
            let goes = tokio::select! {
                biased;
                () = stays.makes_room() => true,
                () = std::future::ready(()) => false,
            };
            assert!(!goes);
        }
        drop(flood);
        let _next = entrance.admit(at("192.0.2.1"));
        assert_eq!(entrance.reserve.len(), 2, "those that have ended take no place");
    }
}
