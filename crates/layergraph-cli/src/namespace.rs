//! `unshare`: a program in a user namespace, where an ordinary user may mount.
//!
//! The process that becomes the program makes its namespace itself and waits; this one, which
//! stays outside, says which ids it has. That takes newuidmap(1) and newgidmap(1) where there is to
//! be more than one.

#![allow(unsafe_code)]

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::thread;

use layergraph::fs::UserNamespace;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User, getpid, setgid, setuid};

use crate::args;
use crate::report::{Failure, Why};
use crate::store;

/// How Docker's and podman's commands end when it is not the program's fault, when the program is
/// none, and when it is not there.
const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// What a program's status is above the signal that ended it, by the custom of shells.
const BY_SIGNAL: i32 = 128;

/// What the process is told that waits for its ids.
const GIVEN: [u8; 1] = [1];
const REFUSED: [u8; 1] = [0];

/// Tells whether root here is root of the machine.
pub(crate) fn is_initial() -> bool {
    UserNamespace::of_process().map_or(true, |namespace| namespace.has_all_ids())
}

/// Runs the program, and ends as it does.
pub(crate) fn run(args: &args::Unshare, store: &args::Store) -> ExitCode {
    match program(args, store).and_then(|mut command| run_within(&mut command)) {
        Ok(status) => code(status),
        Err(why) => {
            let status = match &why {
                Why::System(error) if error.kind() == io::ErrorKind::NotFound => NOT_FOUND,
                Why::System(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    NOT_EXECUTABLE
                }
                _ => FAILED,
            };
            let failure = Failure {
                attempted: format!("run {}", args.program.display()),
                hint: why.hint(),
                why: why.into(),
            };
            failure.report();
            status.into()
        }
    }
}

fn program(args: &args::Unshare, store: &args::Store) -> Result<Command, Why> {
    let mut command = Command::new(&args.program);
    command.args(&args.arguments);
    // The store is the same one inside, where the user is called root.
    command.env(store::ROOT, absolute(&store::root(store)?)?);
    Ok(command)
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, Why> {
    std::path::absolute(path).map_err(Why::System)
}

fn code(status: ExitStatus) -> ExitCode {
    let by_signal = status.signal().map(|signal| BY_SIGNAL + signal);
    let code = status.code().or(by_signal).unwrap_or(i32::from(FAILED));
    u8::try_from(code).unwrap_or(FAILED).into()
}

/// Runs a program in a namespace of its own.
fn run_within(command: &mut Command) -> Result<ExitStatus, Why> {
    let ids = Ids::of_user()?;
    let (mut from_child, mut to_parent) = io::pipe().map_err(Why::System)?;
    let (mut from_parent, mut to_child) = io::pipe().map_err(Why::System)?;
    let enter = move || {
        // Whoever waits for ids ends with the one that gives them: the pipes would not tell, as
        // both processes have both ends of them.
        set_pdeathsig(Signal::SIGKILL)?;
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        to_parent.write_all(&getpid().as_raw().to_ne_bytes())?;
        let mut said = [0];
        from_parent.read_exact(&mut said)?;
        if said != GIVEN {
            return Err(Errno::EPERM.into());
        }
        set_pdeathsig(None)?;
        setgid(Gid::from_raw(0))?;
        setuid(Uid::from_raw(0))?;
        Ok(())
    };
    // SAFETY: between fork and exec there are system calls only, on what was opened before; no
    // memory is allocated, and no lock is taken.
    unsafe {
        command.pre_exec(wrapped(enter));
    }
    thread::scope(|scope| {
        // Spawning returns when the program runs, and it runs when it has its ids.
        let mapping = scope.spawn(move || {
            let mut pid = [0; size_of::<i32>()];
            // If the child ends before, that is told by spawning it.
            from_child.read_exact(&mut pid)?;
            let given = ids.give(i32::from_ne_bytes(pid));
            to_child.write_all(if given.is_ok() { &GIVEN } else { &REFUSED })?;
            given
        });
        let spawned = command.spawn();
        // Closes the child's ends of the pipes in this process, so that nobody waits for ever.
        *command = Command::new("");
        let mapped = mapping.join().expect("it does not panic");
        match (spawned, mapped) {
            (Ok(mut child), Ok(())) => child.wait().map_err(Why::System),
            // The program was not executed.
            (Err(error), Ok(())) => Err(Why::System(error)),
            // There was no namespace to give ids to.
            (Err(error), Err(lost)) if lost.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Why::Namespace(error))
            }
            (Err(_), Err(error)) => Err(Why::Namespace(error)),
            (Ok(mut child), Err(error)) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Why::Namespace(error))
            }
        }
    })
}

fn wrapped(
    mut enter: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
    move || enter()
}

/// The ids that a namespace is to have: the user's own as 0, and those that the system's files
/// lend.
struct Ids {
    user: (Uid, Vec<Lent>),
    group: (Gid, Vec<Lent>),
}

/// The first of some ids, and how many.
type Lent = (u32, u32);

impl Ids {
    fn of_user() -> Result<Ids, Why> {
        let (uid, gid) = (Uid::effective(), Gid::effective());
        if uid.is_root() && is_initial() {
            return Err(Why::Usage("root needs no namespace to mount"));
        }
        let user = User::from_uid(uid).ok().flatten();
        let name = user.map_or_else(String::new, |user| user.name);
        let lent = |path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            lent(&text, &name, uid.as_raw())
        };
        let (users, groups) = (lent("/etc/subuid"), lent("/etc/subgid"));
        let have_programs = ["newuidmap", "newgidmap"].into_iter().all(is_installed);
        // They lend to users that have a name.
        let is_lent = have_programs
            && ![name.is_empty(), users.is_empty(), groups.is_empty()].contains(&true);
        let (users, groups) = if is_lent {
            (users, groups)
        } else {
            Default::default()
        };
        Ok(Ids {
            user: (uid, users),
            group: (gid, groups),
        })
    }

    /// Gives them to a process in a namespace that has none yet.
    fn give(&self, pid: i32) -> io::Result<()> {
        let ((uid, users), (gid, groups)) = (&self.user, &self.group);
        if users.is_empty() {
            let write = |file: &str, text: &str| fs::write(format!("/proc/{pid}/{file}"), text);
            // Else a process could leave a group that keeps it out of something.
            write("setgroups", "deny")?;
            write("uid_map", &format!("0 {uid} 1"))?;
            return write("gid_map", &format!("0 {gid} 1"));
        }
        map("newuidmap", pid, uid.as_raw(), users)?;
        map("newgidmap", pid, gid.as_raw(), groups)
    }
}

/// Runs newuidmap(1) or newgidmap(1).
fn map(program: &str, pid: i32, own: u32, lent: &[Lent]) -> io::Result<()> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    let mut inside = 0;
    for &(first, count) in [(own, 1)].iter().chain(lent) {
        command.args([inside, first, count].map(|number: u32| number.to_string()));
        inside = inside.saturating_add(count);
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program}: {}", said.trim())))
}

/// Returns the ids that a file such as `/etc/subuid` lends to a user (subuid(5)).
fn lent(text: &str, name: &str, uid: u32) -> Vec<Lent> {
    let lent_by = |line: &str| {
        let mut fields = line.trim().split(':');
        let whose = fields.next()?;
        let is_users = whose == uid.to_string() || (whose == name && !name.is_empty());
        let lent = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (is_users && fields.next().is_none() && lent.1 > 0).then_some(lent)
    };
    text.lines().filter_map(lent_by).collect()
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lent_by_name_and_by_number() {
        let text = "a:100000:65536\nb:1:2\n1000:200000:10\nbroken\na:x:1\na:5:0\na:1:2:3\n";
        assert_eq!(lent(text, "a", 1000), [(100_000, 65536), (200_000, 10)]);
        assert_eq!(lent(text, "", 1000), [(200_000, 10)]);
        assert_eq!(lent(text, "c", 7), []);
        assert_eq!(lent("", "a", 1000), []);
    }
}
