//! How far a work has come, on stderr.

use serde_json::{Value, json};

use crate::support::{Layer, Result, Store, id, run, shell, stdin};

fn layer() -> Vec<u8> {
    Layer::new().file("large", &"x".repeat(2_000_000)).finish()
}

/// The documents on stderr.
fn documents(stderr: &str) -> serde_json::Result<Vec<Value>> {
    serde_json::Deserializer::from_str(stderr)
        .into_iter()
        .collect()
}

#[test]
fn json_is_told_in_the_stream_format_of_the_original() -> Result {
    let store = Store::new()?;
    let file = store.home.file("layer.tar", layer())?;
    let size = layer().len();
    let args: [crate::support::Arg<'_>; 5] = [
        &"register",
        &"--id",
        &id("c0ffee"),
        &"--progress=json",
        &file,
    ];
    let said = store.say(&args)?.done();
    assert!(
        said.stderr
            .lines()
            .all(|line| line.starts_with("{\"status\":\"Registering\","))
    );
    let told = documents(&said.stderr)?;
    // Each hundredth at most, in the pieces that were read.
    assert!(told.len() > 5, "{}", said.stderr);
    let last = told.last().ok_or("something was told")?;
    assert_eq!(
        last["progressDetail"],
        json!({"current": size, "total": size})
    );
    assert_eq!(last["id"], json!("c0ffee000000"));
    let bar = last["progress"].as_str().ok_or("a bar")?;
    assert!(bar.starts_with(&format!("[{}>] ", "=".repeat(50))), "{bar}");

    let out = store.home.path("out.tar");
    let args: [crate::support::Arg<'_>; 5] =
        [&"export-layer", &"c0", &"-o", &out, &"--progress=json"];
    let said = store.say(&args)?.done();
    let told = documents(&said.stderr)?;
    let written = std::fs::metadata(&out)?.len();
    let last = told.last().ok_or("something was told")?;
    assert_eq!(last["progressDetail"], json!({"current": written}));
    Ok(())
}

/// How long a pipe is nobody knows.
#[test]
fn of_a_pipe_only_the_bytes_are_told() -> Result {
    let store = Store::new()?;
    let file = store.home.file("layer.tar", layer())?;
    let said = shell(
        "cat \"$2\" | \"$0\" --root \"$1\" --progress json register -",
        &[&store.root(), &file],
    )?
    .done();
    let told = documents(&said.stderr)?;
    assert!(
        told.iter()
            .all(|told| told["progressDetail"]["total"] == Value::Null)
    );
    assert_eq!(
        told.last().map(|last| &last["progressDetail"]["current"]),
        Some(&json!(layer().len()))
    );
    Ok(())
}

#[test]
fn nothing_is_drawn_where_there_is_no_terminal_unless_asked_for() -> Result {
    let store = Store::new()?;
    let file = store.home.file("layer.tar", layer())?;
    let said = store.say(&[&"register", &file])?.done();
    assert_eq!(said.stderr, "");
    let said = run(store
        .command(&[&"register", &"--progress=bar", &"-"])
        .stdin(stdin(&file)?))?
    .done();
    assert!(
        said.stderr.starts_with("\r\x1b[KRegistering "),
        "{:?}",
        said.stderr
    );
    assert!(said.stderr.ends_with("\r\x1b[K"), "{:?}", said.stderr);
    let said = store.say(&[&"register", &"--progress=none", &file])?.done();
    assert_eq!(said.stderr, "");
    Ok(())
}

#[test]
fn an_error_stands_on_a_line_of_its_own() -> Result {
    let store = Store::new()?;
    let mut layer = layer();
    layer.truncate(1_000_000);
    let file = store.home.file("layer.tar", layer)?;
    let said = store.say(&[&"register", &"--progress=bar", &file])?;
    assert_eq!(said.status, Some(7), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("\r\x1b[Klayergraph: register a node: "),
        "{:?}",
        said.stderr
    );
    Ok(())
}

#[test]
fn a_terminal_gets_a_bar_and_the_quiet_none() -> Result {
    layergraph_tests::require!(program "script");
    let store = Store::new()?;
    let file = store.home.file("layer.tar", layer())?;
    for (option, is_drawn) in [
        ("--log=info", true),
        ("--quiet", false),
        ("--progress=none", false),
    ] {
        let script =
            format!("script -qec \"$0 --root $1 {option} register $2\" /dev/null </dev/null");
        let said = shell(&script, &[&store.root(), &file])?.done();
        assert_eq!(
            said.text().contains("Registering"),
            is_drawn,
            "{option}: {}",
            said.text()
        );
    }
    Ok(())
}
