//! Holds this tree against floors.toml and the conventions.

// A test may unwrap, and so may its helpers.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tidy::floors::Floors;
use tidy::source;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--all-features"])
        .current_dir(root())
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Package id → name, for every package.
fn names(metadata: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect()
}

/// Package id → ids of its normal dependencies (no dev or build ones).
fn edges(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let normal = |dependency: &&Value| {
        dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
    };
    let of = |node: &Value| -> BTreeSet<String> {
        let all = node["deps"].as_array().unwrap().iter();
        all.filter(normal).map(|dependency| dependency["pkg"].as_str().unwrap().to_owned()).collect()
    };
    nodes.iter().map(|node| (node["id"].as_str().unwrap().to_owned(), of(node))).collect()
}

fn members(metadata: &Value) -> BTreeSet<String> {
    metadata["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_crate_imports_only_from_floors_below() {
    let metadata = metadata();
    let (names, edges) = (names(&metadata), edges(&metadata));
    let root = root();
    let on_a_floor = |id: &String| {
        let package = metadata["packages"]
            .as_array()
            .unwrap()
            .iter()
            .find(|package| package["id"] == id.as_str())
            .unwrap();
        let path =
            Path::new(package["manifest_path"].as_str().unwrap()).strip_prefix(&root).unwrap().to_owned();
        path.starts_with("crates") || path.starts_with("bin")
    };
    let imports = members(&metadata).into_iter().filter(on_a_floor).map(|id| {
        let of = edges[&id].iter().map(|id| names[id].clone()).collect();
        (names[&id].clone(), of)
    });
    let floors = Floors::parse(&std::fs::read_to_string(root.join("floors.toml")).unwrap()).unwrap();
    let wrong = floors.check(&imports.collect());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_setgid_program_links_nothing_heavy() {
    let metadata = metadata();
    let (names, edges) = (names(&metadata), edges(&metadata));
    let floors = Floors::parse(&std::fs::read_to_string(root().join("floors.toml")).unwrap()).unwrap();
    let mut linked = BTreeMap::new();
    for program in floors.closed() {
        let start = members(&metadata).into_iter().find(|id| names[id] == program);
        let mut open: Vec<String> =
            vec![start.unwrap_or_else(|| panic!("{program} is no member of the workspace"))];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id.clone()) {
                open.extend(edges[&id].iter().cloned());
            }
        }
        linked.insert(program.to_owned(), seen.iter().map(|id| names[id].clone()).collect());
    }
    let wrong = floors.check_linked(&linked);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_source_file_keeps_the_conventions() {
    let root = root();
    let read = |path: &PathBuf| {
        (path.strip_prefix(&root).unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
    };
    let files: Vec<_> = source::rust_files(&root).iter().map(read).collect();
    let tests: BTreeSet<_> = files.iter().flat_map(|(path, text)| source::test_modules(path, text)).collect();
    let shipped = files.iter().filter(|(path, _)| !tests.contains(path));
    let wrong: Vec<String> = shipped.flat_map(|(path, text)| source::check(path, text)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_kind_is_listed_in_order_and_has_a_golden_file() {
    let root = root();
    let mut wrong = Vec::new();
    for path in source::rust_files(&root.join("crates")) {
        let text = std::fs::read_to_string(&path).unwrap();
        wrong.extend(source::check_kinds(&root, path.strip_prefix(&root).unwrap(), &text));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
