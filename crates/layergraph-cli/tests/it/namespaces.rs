//! Programs in user namespaces, and stores that are made there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use layergraph_tests::{USER, as_user, require, user_directory};

use crate::support::{Layer, Result, Said, installed, run};

/// Who has a name in any system, which those need to whom ids are lent.
const NOBODY: &str = "65534";
/// The ids that are lent to nobody.
const LENT: &str = "nobody:200000:65536\n";

/// Runs `layergraph unshare` as an ordinary user, in a directory of the user's.
fn unshare(home: &Path, args: &[&str]) -> std::io::Result<Said> {
    let (_bin, mut command) = installed()?;
    let command = as_user(&mut command).env("HOME", home).current_dir(home);
    run(command.arg("unshare").args(args))
}

#[test]
fn in_a_namespace_the_user_is_root_and_may_mount() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    let said = unshare(home.path(), &["--", "id", "-u"])?.done();
    assert_eq!(said.text(), "0\n");
    let script = "mkdir m && mount -t tmpfs none m && touch m/f && ls m";
    let said = unshare(home.path(), &["sh", "-c", script])?.done();
    assert_eq!(said.text(), "f\n");
    // What was mounted is gone, and what was made is the user's.
    assert_eq!(fs::read_dir(home.path().join("m"))?.count(), 0);
    assert_eq!(fs::metadata(home.path().join("m"))?.uid(), USER);
    Ok(())
}

#[test]
fn the_status_is_that_of_the_program_or_says_why_there_was_none() -> Result {
    require!(root);
    require!(user);
    let home = user_directory()?;
    let plain = home.path().join("plain");
    fs::write(&plain, "")?;
    for (args, status) in [
        (&["sh", "-c", "exit 7"][..], 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["./plain"], 126),
        (&["./nothing"], 127),
    ] {
        let said = unshare(home.path(), args)?;
        assert_eq!(said.status, Some(status), "{args:?}: {}", said.stderr);
    }
    let (_bin, mut command) = installed()?;
    let said = run(command.args(["unshare", "--", "true"]))?;
    assert_eq!(said.status, Some(125));
    let expected = "layergraph: run true: root needs no namespace to mount\n";
    assert_eq!(said.stderr, expected);
    Ok(())
}

#[test]
fn where_namespaces_are_forbidden_it_says_so() -> Result {
    require!(root);
    require!(program "unshare");
    let (bin, _) = installed()?;
    let mut command = Command::new("unshare");
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec $0/layergraph unshare -- true";
    command.args(["--user", "--map-root-user", "sh", "-ec", script]);
    let said = run(command.arg(bin.path()))?;
    assert_eq!(said.status, Some(125), "{}", said.stderr);
    assert!(
        said.stderr.contains("user.max_user_namespaces"),
        "{}",
        said.stderr
    );
    Ok(())
}

/// Runs a script as nobody, to whom ids are lent.
fn with_lent_ids(home: &Path, script: &str) -> std::io::Result<Said> {
    fs::write(home.join("lent"), LENT)?;
    std::os::unix::fs::chown(home, Some(65534), Some(65534))?;
    let (bin, _) = installed()?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec"]).arg(
        "for file in /etc/subuid /etc/subgid; do
            test -e $file || touch $file
            mount --bind lent $file
        done
        PATH=$1:$PATH; export PATH
        exec setpriv --reuid $2 --regid $2 --clear-groups sh -ec \"$3\"",
    );
    command.arg("sh").arg(bin.path()).args([NOBODY, script]);
    run(command
        .current_dir(home)
        .env("HOME", home)
        .env_remove("XDG_DATA_HOME"))
}

#[test]
fn ids_that_are_lent_to_the_user_are_there() -> Result {
    require!(root);
    require!(program "newuidmap", "newgidmap", "setpriv", "mount", "unshare");
    let home = user_directory()?;
    let script = "layergraph unshare -- sh -c 'touch f && chown 5:6 f && stat -c %u:%g f'";
    let said = with_lent_ids(home.path(), script)?.done();
    assert_eq!(said.text(), "5:6\n");
    let made = fs::metadata(home.path().join("f"))?;
    assert_eq!((made.uid(), made.gid()), (200_004, 200_005));
    Ok(())
}

#[test]
fn a_store_that_was_made_in_a_namespace_is_opened_only_where_ids_are_the_same() -> Result {
    require!(root);
    require!(program "newuidmap", "newgidmap", "setpriv", "mount", "unshare");
    let home = user_directory()?;
    fs::write(
        home.path().join("layer.tar"),
        Layer::new().file("f", "text").finish(),
    )?;
    let script = "layergraph unshare -- layergraph register layer.tar --quiet
        layergraph unshare -- layergraph layers --json
        layergraph layers && exit 1
        echo status $?";
    let said = with_lent_ids(home.path(), script)?.done();
    assert!(said.text().ends_with("status 10\n"), "{}", said.text());
    let expected = "layergraph: list the nodes of ";
    assert!(said.stderr.starts_with(expected), "{}", said.stderr);
    let why = "the store keeps owners as seen with the ids 0:65534:1,1:200000:65536";
    assert!(said.stderr.contains(why), "{}", said.stderr);
    assert!(
        said.stderr.contains("hint: layergraph unshare"),
        "{}",
        said.stderr
    );
    // It is where the user's data are, though the user was called root.
    let store = home.path().join(".local/share/layergraph");
    let format = fs::read_to_string(store.join("layergraph.json"))?;
    assert!(
        format.contains("namespace-gids=0:65534:1,1:200000:65536"),
        "{format}"
    );
    Ok(())
}
