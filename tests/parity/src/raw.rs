//! The interface of the WASM module: bytes in, bytes out, memory handed over explicitly.
//!
//! Natively these functions are not called; they are kept so that both builds have the same code.
#![expect(unsafe_code, reason = "a WASM host reaches memory by address only; each function says who owns what")]

use std::alloc::{Layout, alloc as allocate, dealloc, handle_alloc_error};

/// Room for `len` bytes, for the host to write a case into.
// SAFETY (of the exported names): nothing else that is linked has functions of these names.
#[unsafe(no_mangle)]
pub extern "C" fn parity_alloc(len: usize) -> *mut u8 {
    let Ok(layout) = Layout::array::<u8>(len.max(1)) else { return std::ptr::null_mut() };
    // SAFETY: the layout has a size of at least one.
    let room = unsafe { allocate(layout) };
    if room.is_null() { handle_alloc_error(layout) } else { room }
}

/// Gives back what [`parity_alloc`] or [`parity_run`] gave.
///
/// # Safety
/// `at` and `len` must be exactly what one of them gave, and must not be used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn parity_free(at: *mut u8, len: usize) {
    if let Ok(layout) = Layout::array::<u8>(len.max(1)) {
        // SAFETY: the caller's promise; both were allocated with this layout.
        unsafe { dealloc(at, layout) }
    }
}

/// Answers the case at `at`. The address of the answer is in the upper half of what it returns, its length in the lower one.
///
/// # Safety
/// `at` must point to `len` bytes that are written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn parity_run(at: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's promise.
    let case = unsafe { std::slice::from_raw_parts(at, len) };
    let answer = crate::answer(case);
    let room = parity_alloc(answer.len());
    // SAFETY: the room is fresh and has as many bytes.
    unsafe { std::ptr::copy_nonoverlapping(answer.as_ptr(), room, answer.len()) };
    (room as u64) << 32 | answer.len() as u64
}
