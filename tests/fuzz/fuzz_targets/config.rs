//! See `ecs_drain_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ecs_drain_fuzz::config(data);
});
