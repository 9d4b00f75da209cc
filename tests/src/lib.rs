//! What the tests of several crates share: asking for what the machine may lack, running programs,
//! and running a test once more in another process.
//!
//! A test that needs a privilege or a program says so in its first lines:
//!
//! ```
//! # use std::io;
//! fn r43_a_device_is_created_as_root() -> io::Result<()> {
//!     layergraph_tests::require!(root);
//!     layergraph_tests::require!(program "mknod", "stat");
//!     // …
//!     Ok(())
//! }
//! ```
//!
//! Where that is missing, the test records that it was skipped and why, and passes. `cargo xtask
//! test` lists the skipped tests, and in CI there may be none.
//!
//! [`run`] gives a program a time limit, [`as_user`] takes the privileges away from it, and
//! [`user_directory`] is where it may then work. [`is_prepared`], [`is_user`] and [`Partner`]
//! run the test itself once more. A [`Scratch`] is a directory, and a [`Volume`] a file system, for
//! one test.
//!
//! # Limitations
//!
//! Nothing here is for code that ships: it reads the environment and writes to stderr.

#![forbid(unsafe_code)]

mod again;
mod errors;
mod names;
pub mod need;
mod process;
mod scratch;
pub mod skip;
mod volume;

pub use again::{
    ByUser, Partner, again, as_partner, has_passed, is_inside, is_prepared, is_user, is_within,
    partner_as_user, partner_home, ready_until_told, say, test_name,
};
pub use errors::error_chain;
pub use names::{escaped, names};
pub use process::{
    USER, allow_open_files, as_user, installed, peak_memory_of_children, run, user_directory,
    without_account,
};
pub use scratch::{Scratch, mounted_below};
pub use volume::{Volume, noise};

/// Ends the test as skipped unless the machine has what it needs.
///
/// | form | asks for |
/// |---|---|
/// | `require!(root)` | user 0 who can create devices, change owners, set trusted attributes |
/// | `require!(user)` | that a program can be started as an ordinary user, as [`as_user`] does |
/// | `require!(program "bsdtar")` | a program in `PATH`; several are separated by commas |
/// | `require!(overlay_mount)` | overlay mounts of directories in the temporary directory |
/// | `require!(that kept::works())` | what a function asks for, which returns what is missing |
/// | `require!(loop_device)` | that a file can be attached as a block device, with `losetup(8)` |
///
/// Works in tests that return `()` or `Result<(), E>`. In a property test it stands outside of
/// the property, so that it is asked once and not for each case.
#[macro_export]
macro_rules! require {
    (program $($name:expr),+ $(,)?) => {
        $crate::require!(@ $crate::need::programs(&[$($name),+]))
    };
    (that $need:expr) => {
        $crate::require!(@ $need)
    };
    (@ $need:expr) => {{
        // The path of this function is the test's, and `::here`.
        fn here() {}
        if let Err(reason) = $need {
            let path = ::std::any::type_name_of_val(&here);
            $crate::skip::record(::std::env!("CARGO_PKG_NAME"), path, &reason);
            return $crate::skip::Skipped::skipped();
        }
    }};
    ($need:ident) => {
        $crate::require!(@ $crate::need::$need())
    };
}
