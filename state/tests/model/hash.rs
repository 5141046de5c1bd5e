//! The hash by which states are compared.

use std::hash::Hasher;

/// 128 bits: wide enough that no two of some million states share them. (FNV-1a, by words.)
pub struct Wide(u128);

impl Default for Wide {
    fn default() -> Wide {
        Wide(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Wide {
    /// Returns all 128 bits.
    pub fn wide(&self) -> u128 {
        self.0
    }

    fn mix(&mut self, word: u64) {
        self.0 =
            (self.0 ^ u128::from(word)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        self.0 ^= self.0 >> 67;
    }
}

impl Hasher for Wide {
    fn finish(&self) -> u64 {
        (self.0 >> 64) as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.mix(word as u64);
    }
}
