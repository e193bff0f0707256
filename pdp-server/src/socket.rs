//! The Unix socket that a sidecar answers on: made so that nobody can open it who may not, and gone with its
//! server.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::config::SocketMode;

/// A socket that is listened on. Dropped, its file is removed, unless it is another one's by now.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// What tells it from another one at the same path.
    made: (u64, u64),
}

/// Why a socket is not listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error(
        "another server answers on `{}` (`socket`); end it, or choose another path with `--socket`",
        .0.display()
    )]
    InUse(PathBuf),
    /// Something else has the name, and is not to be lost.
    #[error("`{}` (`socket`) is there and is no socket; choose another path with `--socket`", .0.display())]
    NoSocket(PathBuf),
    /// More than the operating system takes.
    #[error(
        "`{}` (`socket`) has {actual} bytes, which is too long for a socket; choose a shorter path with `--socket`",
        .path.display()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// How long it is.
        actual: usize,
    },
    /// What the operating system says.
    #[error(
        "cannot listen on `{}` (`socket`): {source}; its folder has to be there, and this user has to be allowed to write in it",
        .path.display()
    )]
    System {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

// === impl Socket ===

impl Socket {
    /// Listens at a path, in place of a socket that nobody answers on any more.
    ///
    /// It is made in a folder that is nobody else's and moved once it has its mode: at no moment can it be
    /// opened by others.
    pub(crate) fn bind(path: &Path, mode: SocketMode) -> Result<Self, SocketError> {
        let system = |source| SocketError::System { path: path.to_owned(), source };
        let too_long = |_| {
            let actual = path.as_os_str().len();
            SocketError::TooLong { path: path.to_owned(), actual }
        };
        SocketAddr::from_pathname(path).map_err(too_long)?;
        vacant(path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = tempfile::Builder::new()
            .prefix(".")
            .rand_bytes(4)
            .tempdir_in(parent.unwrap_or(Path::new(".")))
            .map_err(system)?;
        let made_at = folder.path().join("s");
        SocketAddr::from_pathname(&made_at).map_err(too_long)?;
        let listener = UnixListener::bind(&made_at).map_err(system)?;
        let permissions = std::fs::Permissions::from_mode(mode.bits());
        std::fs::set_permissions(&made_at, permissions).map_err(system)?;
        let made = identity(&made_at).map_err(system)?;
        std::fs::rename(&made_at, path).map_err(system)?;
        Ok(Self { listener, file: SocketFile { path: path.to_owned(), made } })
    }

    /// The path.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    /// What is listened on, and what removes its file.
    pub(crate) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

/// Whether a path is free, or has a socket that nobody answers on.
fn vacant(path: &Path) -> Result<(), SocketError> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => Err(SocketError::NoSocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(SocketError::InUse(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(source) => Err(SocketError::System { path: path.to_owned(), source }),
        },
        // Making it says what is wrong with the folder.
        Err(_) => Ok(()),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|it| (it.dev(), it.ino()))
}

// === impl SocketFile ===

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|there| there == self.made) {
            // One that stays is replaced at the next start.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> SocketMode {
        text.parse().unwrap()
    }

    #[test]
    fn a_socket_has_its_mode_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pdp.sock");
        let socket = Socket::bind(&path, mode("660")).unwrap();
        let there = std::fs::symlink_metadata(&path).unwrap();
        assert!(there.file_type().is_socket());
        assert_eq!(there.permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pdp.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "its server died");
        let first = Socket::bind(&path, mode("600")).unwrap();
        let second = Socket::bind(&path, mode("600")).unwrap_err();
        assert!(matches!(second, SocketError::InUse(_)), "{second}");
        UnixStream::connect(&path).unwrap();
        // Where the name is another one's, it is not taken away.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        drop(first);
        assert!(path.exists());
        let refused = Socket::bind(&path, mode("600")).unwrap_err();
        assert!(matches!(refused, SocketError::NoSocket(_)), "{refused}");
    }

    #[test]
    fn a_path_that_cannot_be_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("a".repeat(120));
        let refused = Socket::bind(&long, mode("600")).unwrap_err();
        assert!(refused.to_string().contains("too long for a socket"), "{refused}");
        let nowhere = folder.path().join("missing/pdp.sock");
        let refused = Socket::bind(&nowhere, mode("600")).unwrap_err();
        assert!(refused.to_string().contains("its folder has to be there"), "{refused}");
    }
}
