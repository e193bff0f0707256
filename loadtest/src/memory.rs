//! How much memory there is and how much this process has, as the operating system tells it; where it
//! does not, there is no figure.

use std::fs;

/// A figure of this process or of the machine, in bytes.
fn told(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().split(' ').next()?.parse().ok()?;
    kib.checked_mul(1 << 10)
}

/// What this process has in memory now, in bytes.
#[must_use]
pub fn resident() -> Option<u64> {
    told("/proc/self/status", "VmRSS")
}

/// What the process of this id has in memory now, in bytes.
#[must_use]
pub fn resident_of(process: u32) -> Option<u64> {
    told(&format!("/proc/{process}/status"), "VmRSS")
}

/// The most that this process ever had in memory, in bytes.
#[must_use]
pub fn peak() -> Option<u64> {
    told("/proc/self/status", "VmHWM")
}

/// What could be had without taking anything from anybody, in bytes.
#[must_use]
pub fn available() -> Option<u64> {
    told("/proc/meminfo", "MemAvailable")
}

/// The caches of the first core that hold data, smallest first, such as `L1 32K, L2 512K, L3 32768K`; empty
/// where the operating system does not tell.
#[must_use]
pub fn caches() -> String {
    let one = |index: usize| {
        let of = |name: &str| {
            let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}");
            fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
        };
        let data = of("type").is_some_and(|kind| kind != "Instruction");
        Some(format!("L{} {}", of("level")?, of("size")?)).filter(|_| data)
    };
    (0..8).filter_map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_some_memory_and_never_had_less() {
        let (now, most) = (resident().unwrap(), peak().unwrap());
        assert!(now > 0 && most >= now / 2 && available().unwrap() > 0);
        assert!(resident_of(std::process::id()).unwrap() > 0);
        assert_eq!(told("/proc/self/status", "VmNothing"), None);
    }
}
