#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| stratal_fuzz::merge::operands(data));
