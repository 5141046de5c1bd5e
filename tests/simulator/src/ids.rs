//! Identifiers that look real, drawn from the world's seed.

/// Returns an EC2 instance id: `i-0` and 16 hexadecimal digits.
pub(crate) fn instance_id(rng: &mut fastrand::Rng) -> String {
    format!("i-0{:016x}", rng.u64(..))
}

/// Returns a random UUID (version 4), as lifecycle action tokens and activity ids are.
pub(crate) fn uuid(rng: &mut fastrand::Rng) -> String {
    let bits = rng.u128(..);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        (bits >> 96) & 0xffff_ffff,
        (bits >> 80) & 0xffff,
        (bits >> 64) & 0x0fff,
        ((bits >> 48) & 0x3fff) | 0x8000,
        bits & 0xffff_ffff_ffff
    )
}
