//! A copy that is damaged while its server is away: the server refuses it and says which file it is and what to
//! do, or has everything all the same. It never answers with what is not so.

use std::path::Path;
use std::sync::Arc;

use crate::etcd::Etcd;
use crate::load::Load;
use crate::process::{Process, store};

/// How many bits are flipped, one at a start.
const FLIPS: usize = 12;

/// At how many of its lengths the file is cut off.
const CUTS: u64 = 4;

/// Starts upon a damaged copy: whether it served, and what the others say.
async fn held(one: &Process, other: &Process, damage: &str) -> bool {
    if let Err(said) = one.begin().await {
        assert!(said.contains("pdp.redb"), "{damage}: {said}");
        assert!(said.contains("empty the data folder"), "{damage}: {said}");
        return false;
    }
    let expected = other.answer(0).await.unwrap();
    assert_eq!(one.answer(expected.0).await.unwrap(), expected, "{damage}");
    assert_eq!(one.audit().await, other.audit().await, "{damage}");
    one.kill();
    true
}

fn flip(file: &Path, bytes: &[u8], at: usize) {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 0x10;
    std::fs::write(file, flipped).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_refused_or_whole_and_an_empty_one_is_made_anew() {
    let etcd = Etcd::start(1).await;
    let one = Arc::new(Process::start(&etcd.endpoints(), &["--load", "policy.yaml"]).await);
    let other = Arc::new(Process::start(&etcd.endpoints(), &[]).await);
    let load = Load::begin(&[&one, &other]);
    tokio::join!(load.writes(0, 50), load.writes(1, 50));
    load.end().await;
    one.kill();
    let file = store(&one.data());
    let bytes = std::fs::read(&file).unwrap();
    // Bytes that are nothing are mostly those of pages that nobody reads.
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let mut refused = 0;
    for at in used.iter().step_by(used.len() / FLIPS) {
        flip(&file, &bytes, *at);
        refused += usize::from(!held(&one, &other, &format!("byte {at}")).await);
    }
    assert!(refused > 0, "of {FLIPS} flipped bits none was noticed");
    let length = u64::try_from(bytes.len()).unwrap();
    let mut cut = 0;
    for part in 0..CUTS {
        std::fs::write(&file, &bytes).unwrap();
        let to = length * part / CUTS;
        std::fs::File::options().write(true).open(&file).unwrap().set_len(to).unwrap();
        cut += u64::from(!held(&one, &other, &format!("{to} of {length} bytes")).await);
    }
    println!("{refused} of {FLIPS} flipped bits and {cut} of {CUTS} cut files were refused");
    std::fs::remove_dir_all(one.data()).unwrap();
    assert!(held(&one, &other, "an empty folder").await);
}
