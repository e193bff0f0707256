//! Memory that is going to be read, asked for ahead of it: nobody waits for it here, and nothing is read.
//! The only unsafe code of the engine.

/// How many bytes a line of the caches has.
const LINE: usize = 64;

/// Asks for the lines that the items take.
#[inline]
pub(crate) fn fetch<T>(items: &[T]) {
    let (mut at, end) = (items.as_ptr().cast::<u8>(), items.as_ptr_range().end.cast::<u8>());
    while at < end {
        line(at);
        // Where the next line begins.
        at = at.wrapping_add(LINE - at.addr() % LINE);
    }
}

/// Asks for the line that the first of the items begins in.
#[inline]
pub(crate) fn fetch_first<T>(items: &[T]) {
    line(items.as_ptr().cast::<u8>());
}

/// Asks for the line that this is in.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "there is no safe way to ask for it")]
fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction reads nothing and does not fault, whatever the address is (Intel 64 and
    // IA-32 Architectures Software Developer's Manual, PREFETCHh), and each x86-64 processor has it.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast::<i8>()) }
}

/// Other processors have to find out by themselves.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn line(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_what_it_is() {
        // The first and the last byte of a page, and nothing at all.
        for length in [0, 1, 63, 64, 65, 4_096] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            fetch(&bytes);
            fetch_first(&bytes);
            assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
        }
    }
}
