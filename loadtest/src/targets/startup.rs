//! Starting: from nothing to the first answer with the files out of the cache, beside reading a flat
//! file of as many bytes as the store has. After a server that was stopped, which leaves an image of the policy beside
//! the store, and after one that was not.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Instant;

use pdp_engine::facts::Change;
use pdp_server::store::{FILE_NAME, IMAGE_NAME};
use tokio::runtime::Runtime;

use super::served::until_ready;
use super::{Bound, Settings, Target, TargetsError, ratios};
use crate::drive::Connection;
use crate::embedded::{Embedded, Filled};
use crate::organisation::Organisation;
use crate::questions::{Ask, Workload as _};
use crate::random::{Dice, Purpose, Skew};
use crate::shape::Shape;
use crate::wire::Requests;

/// How much is read at a time, in bytes.
const READ_BYTES: usize = 1 << 20;

pub(super) fn measure(
    settings: &Settings,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Target>, TargetsError> {
    if cfg!(not(target_os = "linux")) {
        let (name, why) =
            ("start to ready / reading it flat", "the file cache is not emptied here");
        return Ok(vec![Target::unmeasured(12, name, Bound::AtMost(10.0), why)]);
    }
    say("start: the store");
    let organisation = Organisation::new(Shape::sized(settings.size), settings.seed)?;
    let changes: Vec<Change> = organisation.changes().collect();
    let filled = Filled::with(&changes)?;
    drop(changes);
    let mut dice = Dice::at(settings.seed, Purpose::Question, 0);
    let ask: Ask = organisation.any(&mut dice, Skew::Uniform);
    let requests = Requests::checks("", &[ask]).unexpected();
    let (store, image) = (filled.path().join(FILE_NAME), filled.path().join(IMAGE_NAME));
    let flat = filled.path().join("flat");
    fs::copy(&store, &flat)?;
    let (mut starts, mut without, mut reads) = (vec![], vec![], vec![]);
    for round in 1..=settings.rounds {
        say(&format!("start: round {round} of {}", settings.rounds));
        forget(&flat)?;
        let begun = Instant::now();
        read(&flat)?;
        reads.push(begun.elapsed().as_secs_f64() * 1e3);

        if image.exists() {
            fs::remove_file(&image)?;
        }
        forget(&store)?;
        without.push(first_answer(filled.path(), &requests)?);
        forget(&store)?;
        if image.exists() {
            forget(&image)?;
        }
        starts.push(first_answer(filled.path(), &requests)?);
    }
    let ratio = ratios(&starts, &reads);
    Ok(vec![
        Target::reported(12, "start to ready, cold file cache", &starts, "ms"),
        Target::reported(12, "the same after a crash, without an image", &without, "ms"),
        Target::reported(12, "reading a flat file of the same bytes, cold", &reads, "ms"),
        Target::held(12, "start to ready / reading it flat", &ratio, Bound::AtMost(10.0), "times"),
    ])
}

/// Starts a server, and stops it after its first answer: how many milliseconds that took to come.
fn first_answer(folder: &Path, requests: &Requests) -> Result<f64, TargetsError> {
    let runtime = Runtime::new()?;
    let begun = Instant::now();
    let server = Embedded::start(folder)?;
    runtime.block_on(async {
        let mut connection = Connection::open(server.endpoint()).await?;
        until_ready(&mut connection, requests).await
    })?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    server.stop()?;
    Ok(took)
}

/// Writes a file out and has the operating system forget what it has of it.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Reads a file in one go; returns its length.
pub(crate) fn read(path: &Path) -> io::Result<u64> {
    let (mut file, mut part, mut whole) = (File::open(path)?, vec![0; READ_BYTES], 0);
    loop {
        match file.read(&mut part)? {
            0 => return Ok(whole),
            length => whole += length as u64,
        }
    }
}
