//! The system's allocator, and the memory that the controller holds. Each block notes its owner, so
//! that a block that another owner frees (an answer, for example) does not change the account.

#![allow(unsafe_code)]

use ecs_drain_bench::owner::is_controller;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that the controller holds, and the largest number since [`Counting::begin`].
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// The allocator that counts the controller's memory.
pub struct Counting;

impl Counting {
    /// Resets the largest number.
    pub fn begin() {
        MOST.store(HELD.load(Relaxed), Relaxed);
    }

    /// Returns the largest number of bytes that the controller has held at once.
    pub fn most() -> usize {
        MOST.load(Relaxed)
    }
}

/// Returns the size of the prefix of each block; its last byte names the owner.
fn prefix(layout: Layout) -> usize {
    layout.align().max(16)
}

fn whole(layout: Layout, size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(prefix(layout))?, prefix(layout)).ok()
}

fn grow(size: usize) {
    MOST.fetch_max(HELD.fetch_add(size, Relaxed) + size, Relaxed);
}

// SAFETY: every block is one of the system's with `prefix` bytes before it, and its layout gives
// that number again. The prefix is a multiple of the alignment, so the block is aligned as
// requested; it is at least 16 bytes, so the byte before the block belongs to the prefix.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(block) = whole(layout, layout.size()) else { return std::ptr::null_mut() };
        // SAFETY: the size is not zero.
        let start = unsafe { System.alloc(block) };
        if start.is_null() {
            return start;
        }
        let ours = is_controller();
        if ours {
            grow(layout.size());
        }
        // SAFETY: the prefix lies inside the block.
        unsafe {
            let user = start.add(prefix(layout));
            user.sub(1).write(u8::from(ours));
            user
        }
    }

    unsafe fn dealloc(&self, user: *mut u8, layout: Layout) {
        let Some(block) = whole(layout, layout.size()) else { return };
        // SAFETY: `user` comes from `alloc` with the same layout.
        unsafe {
            if user.sub(1).read() == 1 {
                HELD.fetch_sub(layout.size(), Relaxed);
            }
            System.dealloc(user.sub(prefix(layout)), block);
        }
    }

    unsafe fn realloc(&self, user: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (Some(block), Some(wanted)) = (whole(layout, layout.size()), whole(layout, size))
        else {
            return std::ptr::null_mut();
        };
        // SAFETY: `user` comes from `alloc` with the same layout; the prefix moves with the block.
        unsafe {
            let ours = user.sub(1).read() == 1;
            let start = System.realloc(user.sub(prefix(layout)), block, wanted.size());
            if start.is_null() {
                return start;
            }
            if ours {
                HELD.fetch_sub(layout.size(), Relaxed);
                grow(size);
            }
            start.add(prefix(layout))
        }
    }
}
