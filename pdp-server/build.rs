//! Works out a digest of the sources that make a policy of what is stored. What one build has compiled is decided upon
//! by a build of the same sources only (`src/store/image.rs`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Where they are: all of the server's, whichever of them it is that matters, and what says which versions of the others
/// there are.
const SOURCES: [&str; 3] = ["engine/src", "src", "../Cargo.lock"];

fn main() -> std::io::Result<()> {
    let mut files = Vec::new();
    for sources in SOURCES {
        println!("cargo:rerun-if-changed={sources}");
        collect(Path::new(sources), &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let source = std::fs::read(&file)?;
        digest.update(file.to_string_lossy().as_bytes());
        digest.update((source.len() as u64).to_be_bytes());
        digest.update(source);
    }
    let mut shown = String::new();
    for byte in digest.finalize() {
        let _never_fails = write!(shown, "{byte:02x}");
    }
    // `cargo run` hands it to the program, too, whose settings begin with `PDP_`.
    println!("cargo:rustc-env=SOURCES_DIGEST={shown}");
    Ok(())
}

fn collect(source: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !source.is_dir() {
        files.push(source.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(source)? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "rs") {
            collect(&path, files)?;
        }
    }
    Ok(())
}
