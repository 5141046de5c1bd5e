//! See `ecs_drain_fuzz::request`.
#![no_main]

use ecs_drain_fuzz::mutate;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    ecs_drain_fuzz::request(data);
});

// Bytes that are changed at random are seldom JSON: every second change replaces a value in its
// place.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed.is_multiple_of(2) {
        return fuzzer_mutate(data, size, max_size);
    }
    let changed = mutate(&data[..size], &mut fastrand::Rng::with_seed(u64::from(seed)));
    let size = changed.len().min(max_size);
    data[..size].copy_from_slice(&changed[..size]);
    size
});
