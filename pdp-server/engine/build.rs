//! Works out a digest of the engine's sources. What one engine has compiled is decided upon by the same engine only
//! (`src/image.rs`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=src");
    let mut files = Vec::new();
    collect(Path::new("src"), &mut files)?;
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
    println!("cargo:rustc-env=PDP_ENGINE_SOURCES={shown}");
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
