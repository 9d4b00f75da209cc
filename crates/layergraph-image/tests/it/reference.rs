//! The answers of the original program.
//!
//! `data/stringid.json` holds what Docker of 2015 made of texts as ids. `data/graph_json.json`
//! holds documents of its graph: under `registered` the text that was given and the text that was
//! stored, under `damaged` the text on disk and what became of it.

use std::error::Error;

use layergraph_image::v1::Image;
use layergraph_image::{NodeId, Raw, is_short_id, truncate_id};
use serde_json::Value;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn text(value: &Value) -> Result<&str> {
    Ok(value.as_str().ok_or("expected a string")?)
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    Ok(value.as_array().ok_or("expected a list")?)
}

fn hex(text: &str) -> Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?));
    bytes.collect()
}

#[test]
fn ids_are_cut_recognised_and_refused_as_in_2015() -> Result {
    let cases: Value = serde_json::from_str(include_str!("../data/stringid.json"))?;
    for case in list(&cases)? {
        let input = text(&case["input"])?;
        let id = match input.strip_prefix("hex:") {
            Some(digits) => hex(digits)?,
            None => input.as_bytes().to_vec(),
        };
        assert_eq!(truncate_id(&id), hex(text(&case["truncate_hex"])?)?);
        assert_eq!(is_short_id(&id), case["isshort"] == true, "{input}");
        let error = NodeId::parse(&id).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), case["validate"].as_str(), "{input}");
    }
    Ok(())
}

fn graph() -> Result<Value> {
    Ok(serde_json::from_str(include_str!(
        "../data/graph_json.json"
    ))?)
}

#[test]
fn registered_documents_are_stored_byte_for_byte_as_in_2015() -> Result {
    let graph = graph()?;
    for case in list(&graph["registered"])? {
        let stored = text(&case["stored"])?;
        let raw = Raw::parse(stored.as_bytes().to_vec(), Image::decode)?;
        assert_eq!(raw.bytes(), stored.as_bytes());

        // What registering adds is the size of the layer.
        let mut image = Image::decode(text(&case["given"])?.as_bytes())?;
        image.size = raw.value().size;
        assert_eq!(String::from_utf8(image.encode())?, stored);
        assert_eq!(raw.into_value(), image);
    }
    Ok(())
}

#[test]
fn damaged_documents_are_read_or_refused_as_in_2015() -> Result {
    let graph = graph()?;
    for case in list(&graph["damaged"])? {
        let name = text(&case["name"])?;
        let read = Image::decode_first(text(&case["json"])?.as_bytes());
        match name {
            "badjson" | "emptyjson" => {
                let error = read.expect_err(name);
                assert_eq!(error.to_string(), text(&case["err"])?, "{name}");
            }
            "badid" => {
                let error = read?.node_id().expect_err(name);
                assert_eq!(error.to_string(), text(&case["err"])?, "{name}");
            }
            // Here it was not the document: a file beside it, its place, or the driver.
            "badsize" | "emptysize" | "nodriver" | "wrongid" => {
                assert!(case["err"].is_string(), "{name}");
                read?.node_id()?;
            }
            _ => {
                let image = read?;
                image.node_id()?;
                assert_eq!(image.id, text(&case["id"])?, "{name}");
                assert_eq!(image.parent, text(&case["parent"])?, "{name}");
            }
        }
    }
    Ok(())
}
