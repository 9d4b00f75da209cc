//! The calls that the original's drivers were asked with, and whether an answer is theirs.

use std::path::{Path, PathBuf};

use layergraph_driver::{Driver, DriverError, DriverErrorKind, LayerId, MountOptions, naive};
use serde_json::{Value, json};

/// Where the store is that the original wrote with its driver overlay, and what it answered, by the
/// driver's own calls (`expected.json`, `*.listing`) and by the graph's (those and the rest).
pub fn overlay() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/overlay")
}

/// Makes the original's call. `root` is the root of the store.
///
/// # Errors
///
/// What the driver says.
///
/// # Panics
///
/// If the original had no such call.
pub fn answer(
    driver: &dyn Driver,
    root: &Path,
    call: &[&str],
) -> std::result::Result<Value, DriverError> {
    let id = |name: &str| name.parse::<LayerId>().map_err(DriverError::from);
    match *call {
        ["dexists", name] => Ok(driver.exists(&id(name)?)?.into()),
        ["dcreate", name, ""] => driver
            .stage(None)?
            .commit(&id(name)?, None)
            .map(Value::from),
        ["dcreate", name, parent] => {
            let parent = id(parent)?;
            let staged = driver.stage(Some(&parent))?;
            staged.commit(&id(name)?, Some(&parent)).map(Value::from)
        }
        ["dget", name] => {
            let path = driver.mount(&id(name)?, &MountOptions::default())?;
            let path = path.display().to_string();
            Ok(path.replace(&root.display().to_string(), "$ROOT").into())
        }
        ["dput", name] => driver.unmount(&id(name)?).map(Value::from),
        ["dremove", name] => driver.remove(&id(name)?).map(Value::from),
        ["dchanges", name, parent] => {
            let changes = driver.changes(&id(name)?, Some(&id(parent)?))?;
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            Ok(json!(changes))
        }
        ["ddiffsize", name, parent] => {
            let changes = driver.changes(&id(name)?, Some(&id(parent)?))?;
            Ok(naive::diff_size(&changes).into())
        }
        // What the original said there, the probe says, if anything does; no call of a driver.
        ["dstatus"] => Ok(Value::Null),
        _ => panic!("unknown call {call:?}"),
    }
}

/// Tells whether the original's answer (`{"ok": …}`, or `{"err": …}` with its text) is the same.
///
/// # Panics
///
/// If the original's error is of no known kind.
pub fn agrees(answer: &std::result::Result<Value, DriverError>, original: &Value) -> bool {
    match (answer, original["err"].as_str()) {
        (Ok(value), None) => *value == original["ok"],
        (Err(error), Some(text)) => error.kind() == kind_of(text),
        _ => false,
    }
}

/// Returns what kind of error the original's text tells of.
fn kind_of(text: &str) -> DriverErrorKind {
    match text {
        _ if text.ends_with("file exists") => DriverErrorKind::AlreadyExists,
        _ if text.ends_with("no such file or directory") => DriverErrorKind::NotFound,
        _ => panic!("unknown error {text}"),
    }
}
