//! What is absent on purpose, as far as words can tell: the second half of `layers`.
//!
//! Only the code that ships counts: files in a package's `src/`, without comments, strings, and
//! what stands under `#[cfg(test)]`.

use crate::source;
use crate::workspace::TextFile;

/// Names that are missing `under` some paths, `but_for` some places below these.
struct Rule {
    names: &'static [&'static str],
    /// What such a name may go on with.
    but_as: &'static [&'static str],
    under: &'static [&'static str],
    but_for: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        names: &["unsafe"],
        but_as: &[],
        under: &["crates/", "xtask/", "tests/", "benches/"],
        but_for: &[
            "crates/layergraph-fs/src/sys",
            "crates/layergraph-cli/src/namespace",
        ],
        why: "unsafe code has two places: layergraph-fs::sys and the cli's namespace",
    },
    Rule {
        names: &["std::fs", "std::os::unix::fs"],
        but_as: &[],
        under: &[
            "crates/truncindex/",
            "crates/layergraph-digest/",
            "crates/layergraph-image/",
            "crates/layergraph-tar/",
        ],
        but_for: &[],
        why: "a crate of values or of bytes does no file I/O",
    },
    Rule {
        names: &[
            "std::fs",
            "File::open",
            "File::create",
            "OpenOptions",
            "std::os::unix::fs::symlink",
            "std::os::unix::fs::chown",
            "std::os::unix::fs::lchown",
        ],
        but_as: &["::File", "::Metadata"],
        under: &["crates/"],
        but_for: &[
            "crates/layergraph-fs/",
            "crates/layergraph-cli/",
            // Theirs is the stricter rule above.
            "crates/truncindex/",
            "crates/layergraph-digest/",
            "crates/layergraph-image/",
            "crates/layergraph-tar/",
        ],
        why: "only layergraph-fs makes path syscalls",
    },
    Rule {
        names: &["println!", "print!", "eprintln!", "eprint!", "dbg!"],
        but_as: &[],
        under: &["crates/"],
        but_for: &["crates/layergraph-cli/"],
        why: "only the cli prints",
    },
    Rule {
        names: &["std::env"],
        but_as: &[],
        under: &["crates/"],
        but_for: &["crates/layergraph-cli/"],
        why: "only the cli reads the environment",
    },
    Rule {
        names: &["process::exit", "process::abort", "process::Command"],
        but_as: &[],
        under: &["crates/"],
        but_for: &["crates/layergraph-cli/"],
        why: "a library does not exit, and runs no other program",
    },
];

/// Tests that other crates call: they run programs, and look at files by other means than ours.
const CONFORMANCE: &str = "crates/layergraph-driver/src/conformance";

impl Rule {
    /// Returns whether `code`, which begins with the name or with its last part, goes on to
    /// something that is allowed.
    fn may_go_on(&self, name: &str, code: &str) -> bool {
        let last = name.rsplit("::").next().unwrap_or(name);
        let rest = code
            .strip_prefix(name)
            .or_else(|| code.strip_prefix(last))
            .unwrap_or_default();
        self.but_as.iter().any(|allowed| {
            rest.strip_prefix(allowed)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    }
}

/// Returns every name out of place, with file and line.
pub(crate) fn check(files: &[TextFile]) -> Vec<String> {
    files
        .iter()
        .filter(|file| ships(file))
        .flat_map(check_file)
        .collect()
}

fn ships(file: &TextFile) -> bool {
    file.has_extension("rs")
        && file.path.contains("/src/")
        && !file.path.ends_with("/tests.rs")
        && !file.path.starts_with(CONFORMANCE)
}

fn check_file(file: &TextFile) -> Vec<String> {
    let code = source::without_tests(&source::code(&file.text));
    let is_in = |places: &[&str]| places.iter().any(|place| file.path.starts_with(place));
    let mut found = Vec::new();
    for rule in RULES
        .iter()
        .filter(|rule| is_in(rule.under) && !is_in(rule.but_for))
    {
        for name in rule.names {
            for at in source::mentions(&code, name) {
                if rule.may_go_on(name, &code[at..]) {
                    continue;
                }
                let line = source::line_of(&code, at);
                found.push(format!("{}:{line}: `{name}`: {}", file.path, rule.why));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_found(path: &str, text: &str, expected: &[&str]) {
        let file = TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let found = check(&[file]);
        let names: Vec<&str> = found
            .iter()
            .filter_map(|line| line.split('`').nth(1))
            .collect();
        assert_eq!(names, expected, "in {path}: {text}");
    }

    #[test]
    fn names_out_of_place_are_found() {
        let tar = "crates/layergraph-tar/src/reader.rs";
        check_found(tar, "//! x\n\nfn f() { unsafe { g() } }\n", &["unsafe"]);
        check_found(tar, "use std::{fs, io};", &["std::fs"]);
        check_found(
            tar,
            "fn f() { println!(\"{}\", std::env::args().count()) }",
            &["println!", "std::env"],
        );
        check_found(
            tar,
            "use std::process::{self, Command};",
            &["process::Command"],
        );
        check_found(
            "crates/layergraph-archive/src/unpack.rs",
            "File::open(path)",
            &["File::open"],
        );
        let archive = "crates/layergraph-archive/src/view.rs";
        check_found(archive, "use std::fs;", &["std::fs"]);
        check_found(archive, "use std::fs::FileType;", &["std::fs"]);
        check_found(archive, "use std::{fs::read, io};", &["std::fs"]);
        for path in ["crates/layergraph-cli/src/main.rs", "tests/src/lib.rs"] {
            check_found(path, "unsafe {}", &["unsafe"]);
        }
    }

    #[test]
    fn names_in_their_place_in_tests_and_in_comments_are_not() {
        check_found("crates/layergraph-fs/src/sys.rs", "unsafe {}", &[]);
        check_found(
            "crates/layergraph-fs/src/dir.rs",
            "use rustix::fs; // unsafe",
            &[],
        );
        check_found(
            "crates/layergraph-archive/src/view.rs",
            "use std::fs::File; use std::{fs::Metadata, io};",
            &[],
        );
        check_found(
            "crates/layergraph-tar/tests/it/main.rs",
            "use std::fs;",
            &[],
        );
        check_found(
            "crates/layergraph-tar/src/a.rs",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
            &[],
        );
        check_found(
            "crates/layergraph-tar/src/a.rs",
            "#![forbid(unsafe_code)]\nconst V: &str = env!(\"V\");",
            &[],
        );
        check_found(
            "crates/layergraph-cli/src/main.rs",
            "println!(\"{}\", std::env::args().count())",
            &[],
        );
    }

    /// The command neither: a program is found by its name, and so is what a name service loads.
    #[test]
    fn r3_no_crate_runs_another_program_or_asks_the_system_for_users() -> crate::Result {
        let names = [
            "process::Command",
            "CommandExt",
            "execve",
            "fork",
            "getpwnam",
            "getgrnam",
            "dlopen",
        ];
        let files = crate::workspace::text_files()?;
        // What a user asks for by name, with newuidmap(1), in a namespace of the user's own.
        let unshare = "crates/layergraph-cli/src/namespace.rs";
        let ours = |file: &&TextFile| {
            file.path.starts_with("crates/") && file.path != unshare && ships(file)
        };
        let mut count = 0;
        for file in files.iter().filter(ours) {
            let code = source::without_tests(&source::code(&file.text));
            for name in names {
                let found = source::mentions(&code, name);
                assert!(found.is_empty(), "{name} in {}", file.path);
            }
            count += 1;
        }
        assert!(count > 100, "{count} files");
        Ok(())
    }

    #[test]
    fn a_finding_names_file_line_and_rule() {
        let file = TextFile {
            path: "crates/truncindex/src/lib.rs".into(),
            text: "\n\nstd::fs".into(),
        };
        assert_eq!(
            check(&[file]),
            [
                "crates/truncindex/src/lib.rs:3: `std::fs`: a crate of values or of bytes does no file I/O"
            ]
        );
    }
}
