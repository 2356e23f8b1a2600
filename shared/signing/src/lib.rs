//! Signing by KMS, and checking signatures.
//!
//! - [`Signer`] is the only part of keypool that calls KMS: it signs a payload with the product's key, else
//!   the global key, and reads public keys.
//! - [`PublicKey`] checks a signature, and [`SignedEnvelope`] a whole response, without KMS. A [`JwkSet`]
//!   gives public keys to others.

mod connect;
mod custody;
mod exact;
mod jwk;
mod signer;
mod verification;

pub use custody::SigningKey;
pub use jwk::{InvalidJwkSet, JwkSet};
pub use signer::{Signature, Signer};
pub use verification::{InvalidEnvelope, InvalidPublicKey, PublicKey, SignedEnvelope};
