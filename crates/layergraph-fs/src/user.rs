//! Who the process is.

/// Returns the effective user of the process, by which the kernel decides what it may do; 0 is
/// root, in the process's own user namespace.
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
