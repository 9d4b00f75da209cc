//! Who the process is.

use std::fs;
use std::io;
use std::path::Path;

use crate::{FsError, Result};

/// Returns the effective user of the process, by which the kernel decides what it may do; 0 is
/// root, in the process's own user namespace.
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Ids that a user namespace has: the first one in it, the first one outside, and how many.
pub type NamespaceRange = (u32, u32, u32);

/// The ids that the user namespace of this process has (`user_namespaces(7)`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserNamespace {
    /// Those of users.
    pub users: Vec<NamespaceRange>,
    /// Those of groups.
    pub groups: Vec<NamespaceRange>,
}

impl UserNamespace {
    /// The ids of a namespace that has all of them, as they are.
    const ALL: NamespaceRange = (0, 0, u32::MAX);

    /// Reads the ids that the namespace of this process has.
    ///
    /// Without `/proc`, or on a kernel without such namespaces, it has all of them.
    ///
    /// # Errors
    ///
    /// What `/proc/self/uid_map` or `gid_map` says cannot be read.
    pub fn of_process() -> Result<UserNamespace> {
        Ok(UserNamespace {
            users: read("/proc/self/uid_map")?,
            groups: read("/proc/self/gid_map")?,
        })
    }

    /// Returns whether ids in it are those outside, as in the namespace that the machine begins
    /// with.
    pub fn has_all_ids(&self) -> bool {
        [&self.users, &self.groups]
            .into_iter()
            .all(|ranges| *ranges == [UserNamespace::ALL])
    }

    /// Returns whether it has the ids from 0 to `count` - 1, of users and of groups.
    pub fn has_first(&self, count: u32) -> bool {
        [&self.users, &self.groups].into_iter().all(|ranges| {
            let mut ranges = ranges.clone();
            ranges.sort_unstable();
            let mut end = 0;
            for (inside, _, count) in ranges {
                // What comes after a gap does not count.
                if u64::from(inside) > end {
                    break;
                }
                end = end.max(u64::from(inside) + u64::from(count));
            }
            end >= u64::from(count)
        })
    }
}

fn read(path: &str) -> Result<Vec<NamespaceRange>> {
    let failed = |error| FsError::new("read", Path::new(path), error);
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(vec![UserNamespace::ALL]);
        }
        result => result.map_err(failed)?,
    };
    let ranges: Option<Vec<NamespaceRange>> = text.lines().map(range).collect();
    ranges.ok_or_else(|| failed(io::Error::other("it has not three numbers a line")))
}

fn range(line: &str) -> Option<NamespaceRange> {
    let mut numbers = line.split_ascii_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    let range = (next()?, next()?, next()?);
    numbers.next().is_none().then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_three_numbers() {
        assert_eq!(
            range("         0       1000          1"),
            Some((0, 1000, 1))
        );
        assert_eq!(range("0 0 4294967295"), Some((0, 0, u32::MAX)));
        for line in ["", "0", "0 0", "0 0 0 0", "0 0 -1", "0 0 4294967296"] {
            assert_eq!(range(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_first_ids_are_there_without_a_gap() {
        let namespace = |users: &[NamespaceRange]| UserNamespace {
            users: users.to_vec(),
            groups: vec![UserNamespace::ALL],
        };
        assert!(namespace(&[UserNamespace::ALL]).has_first(65536));
        assert!(namespace(&[(1, 100_000, 65535), (0, 1000, 1)]).has_first(65536));
        assert!(!namespace(&[(0, 1000, 1)]).has_first(65536));
        assert!(!namespace(&[(0, 1000, 1), (2, 100_000, 65536)]).has_first(3));
        assert!(namespace(&[(0, 1000, 2), (5, 100_000, 10)]).has_first(2));
        assert!(!namespace(&[]).has_first(1));
    }

    #[test]
    fn this_process_has_itself() {
        let namespace = UserNamespace::of_process().expect("it can be read");
        assert!(!namespace.users.is_empty());
    }
}
