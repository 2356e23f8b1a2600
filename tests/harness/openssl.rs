use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// True if `openssl dgst -sha256 -verify` accepts `signature` (base64) for the key and the text.
///
/// # Panics
/// If `openssl` is not installed.
#[must_use]
pub fn openssl_verifies(public_key_pem: &str, signed_text: &str, signature: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("key.pem"), public_key_pem).unwrap();
    std::fs::write(path("text"), signed_text).unwrap();
    std::fs::write(path("signature"), STANDARD.decode(signature).unwrap()).unwrap();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(path("key.pem"))
        .arg("-signature")
        .arg(path("signature"))
        .arg(path("text"))
        .output()
        .expect("openssl is installed");
    output.status.success() && output.stdout == b"Verified OK\n"
}
