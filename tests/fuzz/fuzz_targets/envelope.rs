//! Verifies arbitrary bytes as a response.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keypool_properties::envelope::holds(bytes));
