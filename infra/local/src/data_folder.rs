use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the embedded stack keeps its data: license keys and private keys, in files that only their owner may
/// read. One stack uses it at a time.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    // Held until the stack ends; the operating system lets go of it even after a kill -9.
    _lock: File,
}

/// Where a running stack's services listen, for the command's other subcommands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The API's base URL.
    pub base_url: String,
    /// The embedded DynamoDB.
    pub dynamodb: String,
    /// The embedded KMS.
    pub kms: String,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// Another stack uses it.
    #[error("another keypool is running on the data folder {}: stop it, or name another folder with --data-dir", .0.display())]
    InUse(PathBuf),
    /// It cannot be made, read or written.
    #[error("the data folder {} cannot be used", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

const LOCK: &str = "lock";
const ENDPOINTS: &str = "endpoints.json";

/// How often and how long a lock is waited for that may be held for a moment only.
const TRIES_MAX: usize = 20;
const WAIT: Duration = Duration::from_millis(10);

impl DataFolder {
    /// Makes the folder if need be and takes it.
    pub fn take(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |source| DataFolderError::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = File::options().write(true).create(true).truncate(false).open(path.join(LOCK));
        let lock = lock.map_err(failed)?;
        let mut taken = lock.try_lock();
        for _ in 0..TRIES_MAX {
            // A command that asks whether a stack runs here holds the lock for a moment.
            if !matches!(taken, Err(TryLockError::WouldBlock)) {
                break;
            }
            thread::sleep(WAIT);
            taken = lock.try_lock();
        }
        match taken {
            Ok(()) => {
                let folder = Self { path: path.to_owned(), _lock: lock };
                // A stack that was killed could not do it.
                folder.withdraw();
                Ok(folder)
            }
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The file of the embedded DynamoDB.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("dynamodb.sqlite")
    }

    /// The folder of the embedded KMS.
    pub(crate) fn keys(&self) -> PathBuf {
        self.path.join("kms")
    }

    /// Writes down where the stack listens.
    pub(crate) fn announce(&self, endpoints: &Endpoints) -> Result<(), DataFolderError> {
        let json = serde_json::to_string_pretty(endpoints).unwrap_or_default();
        fs::write(self.path.join(ENDPOINTS), json)
            .map_err(|source| DataFolderError::Io { path: self.path.clone(), source })
    }

    /// Says no longer where the stack listens.
    pub(crate) fn withdraw(&self) {
        // Left behind, the file would only make the next command say that nothing listens there.
        let _ = fs::remove_file(self.path.join(ENDPOINTS));
    }

    /// Where the stack that runs on the data folder at `path` listens, if one does.
    #[must_use]
    pub fn endpoints_at(path: &Path) -> Option<Endpoints> {
        // After a kill -9 the file is there, but nobody holds the lock.
        let lock = File::open(path.join(LOCK)).ok()?;
        if !matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        serde_json::from_str(&fs::read_to_string(path.join(ENDPOINTS)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stack_at_a_time_takes_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/data");
        let taken = DataFolder::take(&path).unwrap();
        assert!(matches!(DataFolder::take(&path), Err(DataFolderError::InUse(_))));
        drop(taken);
        assert!(DataFolder::take(&path).is_ok());
    }

    #[test]
    fn endpoints_are_known_while_the_stack_runs() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(DataFolder::endpoints_at(folder.path()), None);
        let taken = DataFolder::take(folder.path()).unwrap();
        let endpoints = Endpoints {
            base_url: "http://127.0.0.1:1".to_owned(),
            dynamodb: "http://127.0.0.1:2".to_owned(),
            kms: "http://127.0.0.1:3".to_owned(),
        };
        taken.announce(&endpoints).unwrap();
        assert_eq!(DataFolder::endpoints_at(folder.path()), Some(endpoints));
        drop(taken);
        assert_eq!(DataFolder::endpoints_at(folder.path()), None, "as after a kill -9");
    }
}
