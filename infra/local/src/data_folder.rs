use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The folder with the data of the embedded stack: license keys and private keys, in files that only their
/// owner may read. One stack uses it at a time.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    // Held until the stack ends. The operating system releases it even after a kill -9.
    _lock: File,
}

/// The addresses of a running stack's services, for the other subcommands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The API's base URL.
    pub base_url: String,
    /// The embedded DynamoDB.
    pub dynamodb: String,
    /// The embedded KMS.
    pub kms: String,
}

/// The error for an unusable data folder.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// Another stack uses it.
    #[error("another keypool is running on the data folder {}: stop it, or give another --data-dir", .0.display())]
    InUse(PathBuf),
    /// Other users can write into it, so they could replace its private keys.
    #[error(
        "other users can write into the folder {path} (mode {mode:04o}): run `chmod go-w {path}`, or give another \
         --data-dir",
        path = path.display()
    )]
    WritableByOthers {
        /// The data folder, or the folder of its private keys.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another user owns it, and can do anything with its content.
    #[error(
        "the folder {path} belongs to another user (uid {uid}): run `sudo chown -R {me} {path}`, or give another \
         --data-dir",
        path = path.display()
    )]
    OfAnotherUser {
        /// The data folder, or the folder of its private keys.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// The user who runs the stack.
        me: u32,
    },
    /// It cannot be created, read or written.
    #[error("cannot use the data folder {}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

const LOCK: &str = "lock";
const ENDPOINTS: &str = "endpoints.json";
const KEYS: &str = "kms";

/// The permissions of the data folder and of the folder of its private keys, if keypool creates them.
pub(crate) const FOLDER_MODE: u32 = 0o700;
/// The permissions of the files in them.
const FILE_MODE: u32 = 0o600;
/// Write permission for the group and for others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The number of tries, and the pause between them, for a lock that may be held for only a moment.
const TRIES_MAX: usize = 20;
const WAIT: Duration = Duration::from_millis(10);

impl DataFolder {
    /// Creates the folder if necessary, and locks it. Refuses a folder that other users could change.
    pub fn take(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |source| DataFolderError::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(failed)?;
        refuse_if_open_to_others(path)?;
        refuse_if_open_to_others(&path.join(KEYS))?;
        let lock =
            File::options().write(true).create(true).truncate(false).mode(FILE_MODE).open(path.join(LOCK));
        let lock = lock.map_err(failed)?;
        // The mode above applies only to a new file.
        lock.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed)?;
        let mut taken = lock.try_lock();
        for _ in 0..TRIES_MAX {
            // A command that looks for a running stack holds the lock for a moment.
            if !matches!(taken, Err(TryLockError::WouldBlock)) {
                break;
            }
            thread::sleep(WAIT);
            taken = lock.try_lock();
        }
        match taken {
            Ok(()) => {
                let folder = Self { path: path.to_owned(), _lock: lock };
                // A killed stack leaves its addresses behind.
                folder.withdraw();
                Ok(folder)
            }
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The database file of the embedded DynamoDB.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("dynamodb.sqlite")
    }

    /// The key folder of the embedded KMS.
    pub(crate) fn keys(&self) -> PathBuf {
        self.path.join(KEYS)
    }

    /// Writes the addresses of the stack.
    pub(crate) fn announce(&self, endpoints: &Endpoints) -> Result<(), DataFolderError> {
        let json = serde_json::to_string_pretty(endpoints).unwrap_or_default();
        File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.path.join(ENDPOINTS))
            .and_then(|mut file| file.write_all(json.as_bytes()))
            .map_err(|source| DataFolderError::Io { path: self.path.clone(), source })
    }

    /// Removes the addresses of the stack.
    pub(crate) fn withdraw(&self) {
        // If this fails, the next command only reports that nothing listens there.
        let _ = fs::remove_file(self.path.join(ENDPOINTS));
    }

    /// The addresses of the stack that runs on the data folder at `path`, if there is one.
    #[must_use]
    pub fn endpoints_at(path: &Path) -> Option<Endpoints> {
        // After a kill -9 the file remains, but nobody holds the lock.
        let lock = File::open(path.join(LOCK)).ok()?;
        if !matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        serde_json::from_str(&fs::read_to_string(path.join(ENDPOINTS)).ok()?).ok()
    }
}

/// Refuses the folder at `path` if it exists and another user owns it or may write into it.
fn refuse_if_open_to_others(path: &Path) -> Result<(), DataFolderError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(DataFolderError::Io { path: path.to_owned(), source }),
    };
    let (uid, me) = (found.uid(), rustix::process::geteuid().as_raw());
    let mode = found.mode() & 0o7777;
    if uid != me {
        return Err(DataFolderError::OfAnotherUser { path: path.to_owned(), uid, me });
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(DataFolderError::WritableByOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn make(path: &Path, mode: u32) {
        fs::create_dir(path).unwrap();
        // The umask does not apply here.
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_writable_by_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, given) in [("group", 0o770), ("world", 0o707), ("shared", 0o1777)] {
            let path = folder.path().join(name);
            make(&path, given);
            let refused = DataFolder::take(&path).unwrap_err();
            assert!(
                matches!(&refused, DataFolderError::WritableByOthers { path: named, mode } if *named == path && *mode == given),
                "{refused}"
            );
            let advice = format!("(mode {given:04o}): run `chmod go-w {}`", path.display());
            assert!(refused.to_string().contains(&advice), "{refused}");
            assert!(fs::read_dir(&path).unwrap().next().is_none(), "nothing is written into it");
        }
        let path = folder.path().join("readable");
        make(&path, 0o755);
        assert!(DataFolder::take(&path).is_ok());
    }

    #[test]
    fn a_key_folder_writable_by_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join(KEYS), 0o722);
        let refused = DataFolder::take(folder.path()).unwrap_err();
        assert!(
            refused.to_string().contains(&format!("`chmod go-w {}`", folder.path().join(KEYS).display())),
            "{refused}"
        );
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, owner) = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(65_534), None).unwrap();
            (folder.path(), 65_534)
        } else {
            (Path::new("/"), 0)
        };
        let refused = DataFolder::take(path).unwrap_err();
        assert!(matches!(refused, DataFolderError::OfAnotherUser { uid, .. } if uid == owner), "{refused}");
        assert!(refused.to_string().contains("run `sudo chown -R "), "{refused}");
    }

    #[test]
    fn only_the_owner_can_read_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let taken = DataFolder::take(&path).unwrap();
        let nowhere = String::new;
        taken.announce(&Endpoints { base_url: nowhere(), dynamodb: nowhere(), kms: nowhere() }).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!([mode(&path.join(LOCK)), mode(&path.join(ENDPOINTS))], [0o600; 2]);
        drop(taken);

        fs::set_permissions(path.join(LOCK), Permissions::from_mode(0o644)).unwrap();
        drop(DataFolder::take(&path).unwrap());
        assert_eq!(mode(&path.join(LOCK)), 0o600, "the lock of an earlier version gets its mode");
    }

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
