//! Which cores run what: on one machine a client and a server set each other aside, and what one of them waits for
//! then is a figure of neither. Where there are two cores, they can be kept apart as on two machines.

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core for a server, and the others for its client.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    #[cfg(target_os = "linux")]
    both: Option<Both>,
}

#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy)]
struct Both {
    server: CpuSet,
    client: CpuSet,
    all: CpuSet,
}

// === impl Cores ===

impl Cores {
    /// Those that this thread may run on. Where there is one, or the operating system does not let itself be told,
    /// both share what there is.
    #[must_use]
    pub fn parted() -> Self {
        #[cfg(target_os = "linux")]
        return Self { both: Both::of_this_thread() };
        #[cfg(not(target_os = "linux"))]
        Self {}
    }

    /// Whether client and server are kept apart.
    #[must_use]
    pub const fn are_parted(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.both.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Does it on the server's core, with all threads that it begins.
    pub fn server<T>(&self, work: impl FnOnce() -> T) -> T {
        #[cfg(target_os = "linux")]
        return self.on(|both| both.server, work);
        #[cfg(not(target_os = "linux"))]
        work()
    }

    /// Does it on the client's cores, with all threads that it begins.
    pub fn client<T>(&self, work: impl FnOnce() -> T) -> T {
        #[cfg(target_os = "linux")]
        return self.on(|both| both.client, work);
        #[cfg(not(target_os = "linux"))]
        work()
    }

    #[cfg(target_os = "linux")]
    fn on<T>(&self, cores: impl FnOnce(Both) -> CpuSet, work: impl FnOnce() -> T) -> T {
        let Some(both) = self.both else { return work() };
        // It was tried.
        sched_setaffinity(None, &cores(both)).ok();
        let done = work();
        sched_setaffinity(None, &both.all).ok();
        done
    }
}

#[cfg(target_os = "linux")]
impl Both {
    fn of_this_thread() -> Option<Self> {
        let all = sched_getaffinity(None).ok()?;
        let first = (0..CpuSet::MAX_CPU).find(|&core| all.is_set(core))?;
        let (mut server, mut client) = (CpuSet::new(), all);
        server.set(first);
        client.unset(first);
        if client.count() == 0 {
            return None;
        }
        for cores in [server, client, all] {
            sched_setaffinity(None, &cores).ok()?;
        }
        Some(Self { server, client, all })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn threads_that_are_begun_stay_where_they_were_begun() {
        let before = sched_getaffinity(None).unwrap();
        let cores = Cores::parted();
        let begun = || {
            let thread = std::thread::spawn(|| sched_getaffinity(None).unwrap());
            thread.join().unwrap()
        };
        let (server, client) = (cores.server(begun), cores.client(begun));
        match cores.are_parted() {
            true => {
                assert_eq!((server.count(), server.count() + client.count()), (1, before.count()));
                assert!((0..CpuSet::MAX_CPU).all(|at| !(server.is_set(at) && client.is_set(at))));
            }
            false => assert_eq!((server, client), (before, before)),
        }
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
