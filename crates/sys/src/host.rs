//! The host's name.

/// The name that the kernel has for this host, with or without a domain; bytes that are no text are replaced.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_is_what_the_kernel_shows() {
        let shown = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(super::host_name(), shown.trim());
    }
}
