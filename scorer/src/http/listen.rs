//! Where the scorer listens: TCP, a Unix socket, or both.

use std::{
    fmt,
    fs::Permissions,
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Open sockets. Dropping them removes the Unix socket's file.
#[derive(Debug, Default)]
pub struct Listeners {
    pub(crate) tcp: Option<TcpListener>,
    pub(crate) unix: Option<UnixSocket>,
}

/// Where a Unix socket is to be, and who may connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixAddress {
    /// The socket's file.
    pub path: PathBuf,
    /// Its permissions. A client needs write permission for the file, and search permission for its directory.
    pub mode: u32,
}

/// A Unix socket and its file.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
}

/// A socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is taken, or is not this machine's.
    #[error("cannot listen on {address}{}", taken(source))]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Something listens on the socket already.
    #[error("another process listens on {path}: stop it, or choose another --unix path")]
    Live {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else in the socket's place.
    #[error("{path} is there and is no socket: move it away, or choose another --unix path")]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The directory of the socket's file does not exist.
    #[error("cannot listen on the Unix socket {path}: the directory {folder} does not exist (create it with mkdir -p)")]
    NoFolder {
        /// The socket.
        path: PathBuf,
        /// The directory that is missing.
        folder: PathBuf,
    },
    /// The directory of the socket's file cannot be written to.
    #[error("cannot listen on the Unix socket {path}: no permission to write to the directory {folder}")]
    ClosedFolder {
        /// The socket.
        path: PathBuf,
        /// The directory.
        folder: PathBuf,
    },
    /// The socket's file cannot be made, or a stale one removed.
    #[error("cannot listen on the Unix socket {path}")]
    Unix {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

fn taken(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::AddrInUse {
        " (is another scorer running? --listen takes another port)"
    } else {
        ""
    }
}

impl Listeners {
    /// Opens the sockets that are asked for. A socket file that nothing listens on any more is replaced.
    ///
    /// # Errors
    /// [`ListenError`] says which socket and why.
    pub async fn bind(tcp: Option<SocketAddr>, unix: Option<&UnixAddress>) -> Result<Self, ListenError> {
        let mut listeners = Self::default();
        if let Some(address) = tcp {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|source| ListenError::Tcp { address, source })?;
            listeners.tcp = Some(listener);
        }
        if let Some(address) = unix {
            listeners.unix = Some(UnixSocket::bind(address).await?);
        }
        Ok(listeners)
    }

    /// The TCP address, with the port that was given where port 0 was asked for.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.local_addr().ok()
    }
}

/// As a person, or a program that reads the ready line, wants it: `http://127.0.0.1:8088 and unix:/run/scorer.sock`.
impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.address() {
            write!(f, "http://{address}")?;
        }
        if let Some(socket) = &self.unix {
            let and = if self.tcp.is_some() { " and " } else { "" };
            write!(f, "{and}unix:{}", socket.path.display())?;
        }
        Ok(())
    }
}

impl UnixSocket {
    async fn bind(UnixAddress { path, mode }: &UnixAddress) -> Result<Self, ListenError> {
        let error = |source: io::Error| unix_error(path, source);
        match std::fs::symlink_metadata(path) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(error(source)),
            Ok(found) if !found.file_type().is_socket() => {
                let path = path.to_owned();
                return Err(ListenError::NotASocket { path });
            }
            Ok(_) => match UnixStream::connect(path).await {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(error)?;
                }
                Ok(_) => {
                    let path = path.to_owned();
                    return Err(ListenError::Live { path });
                }
                Err(source) => return Err(ListenError::Unix { path: path.to_owned(), source }),
            },
        }
        let socket = Self { listener: UnixListener::bind(path).map_err(error)?, path: path.to_owned() };
        // With the usual umask only the owner could connect.
        std::fs::set_permissions(path, Permissions::from_mode(*mode)).map_err(error)?;
        Ok(socket)
    }
}

/// An error of the socket's file, with its directory where that is the cause.
fn unix_error(path: &Path, source: io::Error) -> ListenError {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (path, folder) = (path.to_owned(), parent.to_owned());
    match source.kind() {
        // Name the first missing directory on the path.
        io::ErrorKind::NotFound => {
            let missing = folder.ancestors().take_while(|folder| !folder.exists()).last();
            let folder = missing.map(Path::to_owned).unwrap_or(folder);
            ListenError::NoFolder { path, folder }
        }
        io::ErrorKind::PermissionDenied => ListenError::ClosedFolder { path, folder },
        _ => ListenError::Unix { path, source },
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the socket's file cannot be removed");
        }
    }
}
