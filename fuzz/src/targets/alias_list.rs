//! Values of aliases, and lines of `:include:` and `.forward` files.

use crate::Target;
use delivery::local_role::local::list::{Item, items, lines};

pub(super) const TARGET: Target = Target {
    name: "alias_list",
    dictionary: &[
        b"ann",
        b"bob@example.org",
        b"\\ann",
        b"\"joe smith\"@example.org",
        b"Ann Lee <ann>",
        b"(a (nested) comment)",
        b"|/bin/cat",
        b"\"|/bin/echo a, b\"",
        b"|\"exec /usr/bin/procmail || exit 75\"",
        b"/var/mail/list",
        b"\"/a b/\"",
        b":include:/etc/list",
        b"\":Include: /etc/a list\"",
        b"# comment\n",
        b"\n",
        b"\r\n",
        b"\n  ",
        b",",
        b" ",
        b"\t",
        b"\"",
        b"\\",
        b"<",
        b">",
        b"(",
        b")",
        b"@",
        b":",
        b"|",
        b"/",
        b"\0",
        b"\xc3\xa4",
        b"\xff",
    ],
    run,
};

fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let found = items(&text);
    for item in &found {
        match item {
            Item::Address(text) => assert!(!text.is_empty(), "an address of nothing"),
            Item::File(path) => assert!(path.starts_with('/'), "a file without a path"),
            Item::Command(_) | Item::Include(_) => {}
        }
    }
    // What is found reads the same when it is written down with quotes; `\` in front means something there.
    let again: Vec<Item> =
        found.into_iter().filter(|i| !matches!(i, Item::Address(a) if a.starts_with('\\'))).collect();
    let written: Vec<String> = again.iter().map(quoted).collect();
    assert_eq!(items(&written.join(", ")), again, "{written:?}");
    // A file is its lines.
    let by_line: Vec<Item> =
        text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(items).collect();
    assert_eq!(lines(&text), by_line);
}

fn quoted(item: &Item) -> String {
    let text = match item {
        Item::Address(text) | Item::File(text) => text.clone(),
        Item::Command(text) => format!("|{text}"),
        Item::Include(text) => format!(":include:{text}"),
    };
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
