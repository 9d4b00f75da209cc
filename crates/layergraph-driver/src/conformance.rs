//! The laws that every driver keeps, to be called by the tests of each, and a strict driver to
//! test others with (feature `conformance`).
//!
//! Each law is a function in [`laws`] that takes a way to open the driver, fills a store of its own
//! in a temporary directory, and panics where the driver does not keep it; an error tells that the
//! law could not be tried. [`driver_conformance!`](crate::driver_conformance) makes a test of each:
//!
//! ```
//! mod conformance {
//!     use layergraph_driver::conformance::ModelDriver;
//!     use layergraph_driver::driver_conformance;
//!
//!     driver_conformance!(model, ModelDriver::open_dyn);
//! }
//! ```
//!
//! A law that needs what this machine or user lacks says so, and its test passes. Such skips go to
//! stderr, or to a function that is given:
//!
//! ```
//! # mod conformance {
//! # use layergraph_driver::conformance::ModelDriver;
//! # use layergraph_driver::driver_conformance;
//! /// Takes note of a skipped test: its package, its path, and the reason.
//! fn skipped(package: &str, path: &str, reason: &str) {
//!     panic!("{package}: {path} was skipped, and here nothing may be: {reason}");
//! }
//!
//! driver_conformance!(model, ModelDriver::open_dyn, skipped = skipped);
//! # }
//! ```
//!
//! With `in_one_process` at the end, the laws about several processes are left out; that is for
//! drivers that keep their books in memory, and for no other.
//!
//! [`files`] and [`assert_swept`] look at a store, for tests that a driver has beside the laws.
//!
//! [`AnewDriver`] makes any driver one that is opened anew for each call, so that the laws are kept
//! by what is on disk alone.
//!
//! [`ModelDriver`] is for those who build on drivers. It hands out as little as the trait promises,
//! refuses what the trait does not allow, fails when it is told to, and remembers what it was
//! asked.

// What a law does where it is broken is said once, in `laws`.
mod anew;
#[allow(clippy::missing_panics_doc)]
mod contents;
#[allow(clippy::missing_panics_doc)]
mod graphtest;
#[allow(clippy::missing_panics_doc)]
mod isolation;
mod lab;
mod layer;
#[allow(clippy::missing_panics_doc)]
mod lifecycle;
mod model;
#[allow(clippy::missing_panics_doc)]
mod preservation;
#[allow(clippy::missing_panics_doc)]
mod processes;

use std::error::Error;
use std::io::{self, Write};

pub use self::Verdict::{Kept, Skipped};
pub use self::anew::AnewDriver;
pub use self::lab::{assert_swept, files};
pub use self::model::{Call, CallKind, ModelDriver};

/// The laws.
///
/// # Errors
///
/// What kept a law from being tried: mostly a call of the driver that failed where none of the law
/// was to fail.
///
/// # Panics
///
/// A law panics if the driver does not keep it.
pub mod laws {
    pub use super::contents::*;
    pub use super::graphtest::*;
    pub use super::isolation::*;
    pub use super::lifecycle::*;
    pub use super::preservation::*;
    pub use super::processes::*;
}

/// What came of trying a law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The driver keeps it.
    Kept,
    /// It was not tried, for this reason.
    Skipped(String),
}

/// A verdict, or what kept a law from being tried.
pub type Outcome = Result<Verdict, Box<dyn Error + Send + Sync>>;

/// Makes the name of a test, as the test program knows it, of the path
/// ([`type_name_of_val`](std::any::type_name_of_val)) of a function in it.
pub fn test_name(path_of_inner: &str) -> String {
    let test = path_of_inner.rsplit_once("::").map_or("", |(test, _)| test);
    let within = test.split_once("::").map_or(test, |(_crate, rest)| rest);
    within.to_owned()
}

/// Takes note of a test that was skipped: its package, the path of a function in it, the reason.
pub type NoteSkip = fn(&str, &str, &str);

/// Writes to stderr that a test was skipped.
pub fn say_skipped(package: &str, path: &str, reason: &str) {
    let test = test_name(path);
    // Not `eprint!`, which is captured from a test that passes. Without a stderr nobody listens.
    let _ = writeln!(io::stderr(), "skipped: {package} {test}: {reason}");
}

/// Makes a module with one test for each of the [laws](crate::conformance::laws) of a driver.
///
/// See [`conformance`](crate::conformance) for examples. The second argument is an
/// [`OpenDriver`](crate::OpenDriver).
#[macro_export]
macro_rules! driver_conformance {
    ($name:ident, $open:expr $(,)?) => {
        $crate::driver_conformance!($name, $open, skipped = $crate::conformance::say_skipped);
    };
    ($name:ident, $open:expr, skipped = $skipped:expr $(,)?) => {
        $crate::driver_conformance!(@module $name, $open, $skipped, {
            processes_see_each_others_layers
            a_killed_process_leaves_what_a_sweep_removes
            a_sweep_leaves_the_work_of_other_processes
        });
    };
    ($name:ident, $open:expr, in_one_process $(,)?) => {
        $crate::driver_conformance!(
            $name, $open, skipped = $crate::conformance::say_skipped, in_one_process
        );
    };
    ($name:ident, $open:expr, skipped = $skipped:expr, in_one_process $(,)?) => {
        $crate::driver_conformance!(@module $name, $open, $skipped, {});
    };
    (@module $name:ident, $open:expr, $skipped:expr, { $($of_processes:ident)* }) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::driver_conformance! { @tests $open, $skipped;
                create_empty
                create_base
                create_snap
                deep_layer_read
                diff_apply
                changes
                five_hundred_layers_are_read
                a_bottom_layer_has_the_size_of_its_changes
                change_lists_are_exact
                a_dropped_staging_leaves_nothing
                a_taken_id_is_refused_and_harms_nothing
                a_missing_parent_is_refused_and_leaves_nothing
                the_list_is_sorted_and_has_nothing_staged
                what_is_missing_is_not_found
                a_removed_id_can_be_used_again
                a_reopened_store_shows_the_same_layers
                two_drivers_see_each_others_layers
                threads_commit_at_once
                the_mounted_tree_is_the_viewed_one
                staging_is_as_the_capabilities_say
                a_child_does_not_change_with_its_siblings
                a_parent_is_unaffected_by_its_children
                a_hard_link_with_other_metadata_leaves_the_parent_alone
                a_child_outlives_its_parent_or_the_removal_is_refused
                everything_is_preserved_over_three_generations
                what_a_user_may_have_is_preserved_over_three_generations
                mapped_owners_are_kept_over_three_generations
                squash_is_kept_over_three_generations
            }
            $(
                #[test]
                fn $of_processes() -> $crate::conformance::TestResult {
                    fn here() {}
                    let path = ::std::any::type_name_of_val(&here);
                    let test = $crate::conformance::test_name(path);
                    let outcome = $crate::conformance::laws::$of_processes($open, &test);
                    $crate::conformance::conclude(
                        outcome, $skipped, ::std::env!("CARGO_PKG_NAME"), path,
                    )
                }
            )*
        }
    };
    (@tests $open:expr, $skipped:expr; $($law:ident)*) => {
        $(
            #[test]
            fn $law() -> $crate::conformance::TestResult {
                fn here() {}
                let path = ::std::any::type_name_of_val(&here);
                let outcome = $crate::conformance::laws::$law($open);
                $crate::conformance::conclude(
                    outcome, $skipped, ::std::env!("CARGO_PKG_NAME"), path,
                )
            }
        )*
    };
}

/// What a test of [`driver_conformance!`](crate::driver_conformance) returns.
#[doc(hidden)]
pub type TestResult = Result<(), Box<dyn Error + Send + Sync>>;

/// Makes the result of a test of an outcome.
#[doc(hidden)]
pub fn conclude(outcome: Outcome, note_skip: NoteSkip, package: &str, path: &str) -> TestResult {
    if let Skipped(reason) = outcome? {
        note_skip(package, path, &reason);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    /// A law that the macro forgets is one that no driver is held against.
    #[test]
    fn the_macro_makes_a_test_of_each_law() {
        let sources = [
            include_str!("conformance/contents.rs"),
            include_str!("conformance/graphtest.rs"),
            include_str!("conformance/isolation.rs"),
            include_str!("conformance/lifecycle.rs"),
            include_str!("conformance/preservation.rs"),
            include_str!("conformance/processes.rs"),
        ];
        let laws = sources
            .iter()
            .flat_map(|source| source.lines())
            .filter(|line| line.ends_with("-> Outcome {"))
            .filter_map(|line| line.strip_prefix("pub fn ")?.split('(').next());
        let (_, listed) = include_str!("conformance.rs")
            .split_once("macro_rules!")
            .expect("the macro is there");
        let listed: Vec<&str> = listed.lines().map(str::trim).collect();
        let mut count = 0;
        for law in laws {
            assert!(listed.contains(&law), "{law} is not in the macro");
            count += 1;
        }
        assert_eq!(count, 31);
    }
}
