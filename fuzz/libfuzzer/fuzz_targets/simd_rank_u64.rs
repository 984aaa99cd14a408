#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| stratal_fuzz::simd::rank_u64(data));
