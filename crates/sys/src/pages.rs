//! Memory for large content that is read here and there: few large pages, which the processor finds at once.

/// Bytes of a small page; where pages are larger the kernel refuses the range, and all stays as it is.
const PAGE: usize = 4096;
/// Bytes of a large page; nothing smaller is worth a call.
const LARGE_PAGE: usize = 1 << 21;

/// A buffer of no bytes with room for so many, in large pages where the kernel has them. Content is as in any other.
pub fn buffer_of_large_pages(bytes: usize) -> Vec<u8> {
    let mut buffer: Vec<u8> = Vec::with_capacity(bytes);
    if bytes < LARGE_PAGE {
        return buffer;
    }
    let room = buffer.spare_capacity_mut();
    // From the start of its first page on, the rest of which is the allocator's: it maps what is as large.
    let before = room.as_ptr().addr() % PAGE;
    let start = room.as_mut_ptr().cast::<u8>().wrapping_sub(before);
    // SAFETY: MADV_HUGEPAGE changes no content and no access, only which pages the kernel takes for a range of this
    // process; an error leaves all as it is. So the range need not even be ours.
    let _ = unsafe { libc::madvise(start.cast(), room.len() + before, libc::MADV_HUGEPAGE) };
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_what_is_put_into_it_whatever_its_pages_are() {
        for bytes in [0, 1, 5000, 5 << 20] {
            let mut buffer = buffer_of_large_pages(bytes);
            assert!(buffer.is_empty() && buffer.capacity() >= bytes);
            buffer.extend((0..bytes).map(|n| n as u8));
            assert!(buffer.iter().enumerate().all(|(n, &byte)| byte == n as u8));
        }
    }
}
