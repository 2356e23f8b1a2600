//! A model of how keypool sells license keys.
pub mod attempt;
mod alone;
pub mod desk;
pub mod explore;
pub mod history;
pub mod picks;
pub mod properties;
pub mod protocol;
pub mod recovery;
pub mod table;
pub mod write;
pub use desk::{Desk, Request};
pub use protocol::{Protocol, Rule};
