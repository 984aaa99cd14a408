#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| stratal_fuzz::db::record_of_this_version(data));
