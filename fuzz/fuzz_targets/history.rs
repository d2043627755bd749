#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chiron_fuzz::history(data));
