//! Lines of many threads reach the file whole, in order, and without the characters that would end a line.

use observe::{Destination, Settings, Tag};
use std::time::Duration;

#[test]
fn lines_of_many_threads_arrive_whole_and_in_order() {
    let path = std::env::temp_dir().join(format!("observe-file-{}", std::process::id()));
    let tag = Tag::new("postfix", "smtpd", 7);
    observe::warn(&tag, format_args!("before start"));
    observe::start(Settings { destination: Destination::Path(path.clone()), console: false }).unwrap();

    let threads: Vec<_> = (0..4)
        .map(|t| {
            let tag = tag.numbered(100 + t);
            std::thread::spawn(move || {
                for i in 0..1000 {
                    observe::info(&tag, format_args!("line {i}\r\nend"));
                    if i % 10 == 0 {
                        observe::flush();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    observe::finish(Duration::from_secs(5));

    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.lines().next().is_some_and(|l| l.ends_with(" postfix/smtpd[7]: warning: before start")),
        "{text:.200}"
    );
    assert_eq!(text.lines().count(), 4001);
    for t in 100..104 {
        let of_thread = text.lines().filter(|l| l.contains(&format!("postfix/smtpd[{t}]: ")));
        for (i, line) in of_thread.enumerate() {
            assert!(line.ends_with(&format!("]: line {i}??end")), "{line}");
        }
    }
    std::fs::remove_file(&path).unwrap();
}
