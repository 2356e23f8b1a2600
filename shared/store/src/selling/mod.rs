//! The operations of a checkout: look up, draw, assign, insert, and requests that are made once.

pub(crate) mod assign;
pub(crate) mod claim;
mod counter;
pub(crate) mod draw;
pub(crate) mod insert;
mod lookup;
pub(crate) mod order;
mod settle;

pub use counter::Counter;
pub use lookup::{Found, Lookup};
