use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use serde::{Deserialize, Serialize};

use crate::data_folder::FOLDER_MODE;
use crate::services::ServiceError;

/// A tag of a key, in the JSON form of KMS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    tag_key: String,
    tag_value: String,
}

impl Tag {
    /// Returns true if KMS would accept the tag.
    pub(super) fn is_valid(&self) -> bool {
        (1..=128).contains(&self.tag_key.chars().count()) && self.tag_value.chars().count() <= 256
    }
}

/// RSA keys by id, and aliases of them. In a folder, each key is a file `<id>.pk8` (PKCS #8 in DER), its
/// tags, if it has any, a file `<id>.tags` (JSON), and each alias a file `<name>.alias` that holds an id.
#[derive(Debug)]
pub(crate) struct KeyRing {
    folder: Option<PathBuf>,
    rings: RwLock<Rings>,
}

#[derive(Debug, Default)]
struct Rings {
    keys: HashMap<String, Arc<KeyPair>>,
    aliases: HashMap<String, String>,
    tags: HashMap<String, Vec<Tag>>,
}

impl Rings {
    fn read(folder: &Path) -> Result<Self, ServiceError> {
        let failed = |source| ServiceError::File { path: folder.to_owned(), source };
        let mut rings = Self::default();
        let mut aliases = Vec::new();
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else {
                continue;
            };
            let contents =
                || fs::read(&path).map_err(|source| ServiceError::File { path: path.clone(), source });
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(KEY) => {
                    let key = KeyPair::from_pkcs8(&contents()?);
                    let key = key.map_err(|_| ServiceError::SpoiltKey(path.clone()))?;
                    rings.keys.insert(name, Arc::new(key));
                }
                Some(TAGS) => {
                    let tags = serde_json::from_slice(&contents()?);
                    rings.tags.insert(name, tags.map_err(|_| ServiceError::SpoiltTags(path.clone()))?);
                }
                Some(ALIAS) => {
                    let id = String::from_utf8_lossy(&contents()?).trim().to_owned();
                    aliases.push((format!("alias/{name}"), id, path));
                }
                _ => {}
            }
        }
        for (alias, id, path) in aliases {
            // Refuse to start, rather than sell nothing or sign with another key.
            if !rings.keys.contains_key(&id) {
                return Err(ServiceError::DanglingAlias(path));
            }
            rings.aliases.insert(alias, id);
        }
        Ok(rings)
    }
}

const KEY: &str = "pk8";
const ALIAS: &str = "alias";
const TAGS: &str = "tags";

impl KeyRing {
    /// Reads the keys in `folder`, and creates the folder if necessary. Without one, all keys are in memory.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Self, ServiceError> {
        let rings = match folder {
            Some(folder) => Rings::read(folder)?,
            None => Rings::default(),
        };
        Ok(Self { folder: folder.map(Path::to_owned), rings: RwLock::new(rings) })
    }

    /// Creates an RSA-2048 key and returns its id. Takes some tenths of a second.
    pub(crate) fn create_key(&self, tags: &[Tag]) -> Result<String, ServiceError> {
        let id = uuid::Uuid::new_v4().to_string();
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| ServiceError::KeyGeneration)?;
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| ServiceError::KeyGeneration)?;
        if !tags.is_empty() {
            let json = serde_json::to_vec(tags).map_err(std::io::Error::from)?;
            self.keep(&format!("{id}.{TAGS}"), &json)?;
        }
        self.keep(&format!("{id}.{KEY}"), pkcs8.as_ref())?;
        let mut rings = self.rings.write().unwrap_or_else(PoisonError::into_inner);
        rings.keys.insert(id.clone(), Arc::new(key));
        rings.tags.insert(id.clone(), tags.to_vec());
        Ok(id)
    }

    /// Gives a key the alias `alias/<name>`. Returns false if the alias is taken.
    pub(crate) fn create_alias(&self, alias: &str, id: &str) -> Result<bool, ServiceError> {
        let mut rings = self.rings.write().unwrap_or_else(PoisonError::into_inner);
        if rings.aliases.contains_key(alias) {
            return Ok(false);
        }
        let name = alias.trim_start_matches("alias/");
        self.keep(&format!("{name}.{ALIAS}"), id.as_bytes())?;
        rings.aliases.insert(alias.to_owned(), id.to_owned());
        Ok(true)
    }

    /// Finds the id and the key for `name`: an id, an alias, or the ARN of either.
    pub(crate) fn find(&self, name: &str) -> Option<(String, Arc<KeyPair>)> {
        let rings = self.rings.read().unwrap_or_else(PoisonError::into_inner);
        // arn:aws:kms:REGION:ACCOUNT:key/ID or :alias/NAME
        let name = if name.starts_with("arn:") { name.rsplit(':').next()? } else { name };
        let name = name.strip_prefix("key/").unwrap_or(name);
        let id = rings.aliases.get(name).map_or(name, String::as_str);
        rings.keys.get(id).map(|key| (id.to_owned(), Arc::clone(key)))
    }

    /// The tags of a key.
    pub(crate) fn tags(&self, id: &str) -> Vec<Tag> {
        let rings = self.rings.read().unwrap_or_else(PoisonError::into_inner);
        rings.tags.get(id).cloned().unwrap_or_default()
    }

    /// Writes a file completely or not at all, because a created key must survive a crash.
    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), ServiceError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let unfinished = folder.join(format!("{name}.part"));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, folder.join(name))?;
        fs::File::open(folder)?.sync_all()?;
        Ok(())
    }
}

/// The public half of a key, as `SubjectPublicKeyInfo` in DER.
pub(crate) fn public_key_der(key: &KeyPair) -> Option<Vec<u8>> {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
    Some(der.as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_aliases_and_tags_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(Some(folder.path())).unwrap();
        let tags = [Tag { tag_key: "keypool".to_owned(), tag_value: "my-stack".to_owned() }];
        let id = ring.create_key(&tags).unwrap();
        assert!(ring.create_alias("alias/keypool", &id).unwrap());
        assert!(!ring.create_alias("alias/keypool", &id).unwrap(), "an alias is unique");
        // A partial file, as a crash during a write leaves it.
        fs::write(folder.path().join("x.pk8.part"), b"half a key").unwrap();

        let again = KeyRing::open(Some(folder.path())).unwrap();
        assert_eq!(again.tags(&id), tags);
        for name in [
            id.as_str(),
            "alias/keypool",
            &format!("arn:aws:kms:eu-central-1:000000000000:key/{id}"),
            "arn:aws:kms:eu-central-1:000000000000:alias/keypool",
        ] {
            let (found, key) = again.find(name).unwrap();
            assert_eq!(found, id);
            assert_eq!(public_key_der(&key), public_key_der(&ring.find(&id).unwrap().1));
        }
        assert!(again.find("alias/other").is_none());
    }

    #[test]
    fn an_alias_without_its_key_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(Some(folder.path())).unwrap();
        let id = ring.create_key(&[]).unwrap();
        ring.create_alias("alias/keypool", &id).unwrap();
        fs::remove_file(folder.path().join(format!("{id}.pk8"))).unwrap();
        let error = KeyRing::open(Some(folder.path())).unwrap_err();
        assert!(error.to_string().contains("keypool.alias"), "{error}");
    }

    #[test]
    fn a_corrupt_key_file_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.pk8"), b"not a key").unwrap();
        let error = KeyRing::open(Some(folder.path())).unwrap_err();
        assert!(error.to_string().contains("x.pk8"), "{error}");
    }
}
