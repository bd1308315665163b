//! The queue: its directories, limits and the journal.

parameters! {
    /// Parameters of the queue.
    pub struct Queue {
        /// The largest message; 0 is no limit.
        message_size_limit: Size = "10240000",
        /// Free bytes below which no mail is taken.
        queue_minfree: Size = "0",
        /// Whether queue ids have the long form that is never used again.
        enable_long_queue_ids: Bool = "no",
        /// Queue directories that are divided into subdirectories.
        hash_queue_names: List = "deferred, defer",
        /// Levels of these subdirectories.
        hash_queue_depth: Count = "1", range 1..=16,
        /// Bytes of one record in a queue file.
        line_length_limit: Count = "2048", range 512..,
        /// Whether delivered queue files are kept in saved/.
        dont_remove: Count = "0",
        /// Ours: bytes of the journal beyond which no mail is taken until it was spilled to files.
        posthaste_journal_size_limit: Size = "1073741824", range 16777216..,
        /// Ours: bytes of one journal segment.
        posthaste_journal_segment_size: Size = "33554432", range 1048576..,
        /// Ours: bytes of a message from which on it goes to a file of its own.
        posthaste_journal_large_message_size: Size = "1048576", range 4096..,
        /// Ours: bytes of message bodies that wait for the journal, in one process.
        posthaste_body_memory_limit: Size = "67108864", range 1048576..,
        /// Ours: age of a segment from which on what is left in it becomes queue files.
        posthaste_spill_after: Duration = "60s", range 1..,
    }
}
