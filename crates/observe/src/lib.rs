//! Events become Postfix log lines and counters; nothing else logs.
