//! Sends arbitrary bytes as a request to an endpoint.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keypool_properties::request::holds(bytes));
