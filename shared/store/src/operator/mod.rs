//! The operations of the command: setting up, changing, listing, importing and checking records.

mod audit;
pub(crate) mod catalogue;
pub(crate) mod import;
pub(crate) mod inventory;
pub(crate) mod orders;
pub(crate) mod owner;
mod restore;
mod signing_key;
pub(crate) mod table;

pub use restore::RestoreState;
