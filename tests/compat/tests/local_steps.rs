//! Each step of a local delivery, each exit status of a command and each variable of its environment has a case.

use compat::cases;

/// The steps of local(8) in their order, and cases that show them.
const STEPS: &[(&str, &[&str])] = &[
    (
        "`\\name` goes round aliases and .forward",
        &[
            "local-mailbox/a-backslash-goes-round-aliases",
            "local-aliases/slash",
            "local-forward/a-backslash-goes-round-it",
        ],
    ),
    ("Delivered-To ends a loop", &["local-mailbox/a-loop", "local-forward/two-files-that-name-each-other"]),
    ("an alias of the whole local part goes first", &["local-aliases/an-extension-that-has-an-alias"]),
    ("then one of the name without extension", &["local-aliases/an-extension-that-has-none"]),
    ("an unmatched extension is put on what comes out", &["local-alias-settings/propagate"]),
    (
        "an owner- alias is the sender",
        &["local-aliases/owned", "local-alias-settings/expand", "local-alias-settings/reset"],
    ),
    ("a name found in its own expansion is the user", &["local-aliases/self"]),
    ("aliases without end are a loop", &["local-aliases/loop"]),
    (
        "an alias of addresses, a command, a file, a Maildir, a list",
        &[
            "local-aliases/three",
            "local-aliases/command",
            "local-aliases/file",
            "local-aliases/maildir",
            "local-aliases/include",
        ],
    ),
    (
        "commands and files of another's alias table have his rights",
        &["local-aliases/of-another-user-command", "local-aliases/of-another-user-file"],
    ),
    ("what an :include: names becomes a message of its own", &["local-aliases/include"]),
    (
        "the first .forward that exists counts",
        &["local-forward/the-file-of-an-extension", "local-forward/another-path"],
    ),
    (
        "it is the user's or root's, a regular file, not for all to write",
        &[
            "local-forward/of-another",
            "local-forward/of-root",
            "local-forward/a-link",
            "local-forward/a-directory",
            "local-forward/a-pipe",
            "local-forward/world-writable",
        ],
    ),
    (
        "it is read with the user's rights",
        &[
            "local-forward/of-root-and-unreadable",
            "local-forward/a-link-to-a-secret",
            "local-forward/an-include-file-that-he-may-not-read",
        ],
    ),
    ("an empty one forwards nothing", &["local-forward/an-empty-file", "local-forward/comments-alone"]),
    ("a home that is missing may be waited for", &["local-home/a-home-that-is-required"]),
    ("mailbox_transport_maps, mailbox_transport", &["local-transports/maps", "local-transports/a-user"]),
    (
        "mailbox_command_maps, mailbox_command",
        &["local-commands/the-environment", "local-commands/for-all-others"],
    ),
    ("home_mailbox, a file or a Maildir", &["local-home/a-file", "local-home/a-maildir"]),
    ("mail_spool_directory, files or Maildirs", &["local-mailbox/a-user", "local-home/a-spool-of-maildirs"]),
    (
        "fallback_transport_maps, fallback_transport",
        &["local-transports/fallback-maps", "local-transports/fallback"],
    ),
    ("luser_relay", &["local-transports/luser-relay"]),
    ("an unknown user", &["local-mailbox/no-such-user"]),
    (
        "mailer-daemon and postmaster, which nobody need have",
        &["local-alias-settings/never-divided", "local-alias-settings/required-alias"],
    ),
    (
        "a command ends by a signal, or not in time",
        &["local-status/killed", "local-status/the-time-limit", "local-status/the-time-limit-of-a-child"],
    ),
    (
        "a printed code goes before the status",
        &[
            "local-status/a-code-of-class-5",
            "local-status/a-code-of-class-4",
            "local-status/a-code-of-class-2",
            "local-status/a-code-with-status-0",
        ],
    ),
    (
        "output is appended",
        &["local-status/both-outputs", "local-status/unprintable-output", "local-status/long-output"],
    ),
    (
        "a shell only where one is needed",
        &["local-status/a-program-without-shell", "local-commands/executed-without-a-shell"],
    ),
    (
        "the environment is safe",
        &[
            "local-commands/the-environment-of-an-extension-and-a-strange-sender",
            "local-commands/what-is-exported-and-which-characters",
        ],
    ),
];

#[test]
fn each_step_of_a_local_delivery_has_its_cases() {
    cases::assert_each_step_has_cases(STEPS);
}

#[test]
fn each_exit_status_of_sysexits_has_its_case() {
    let cases = cases::names().expect("the cases can be read");
    let statuses = (64..=78).chain([0, 1, 79, 127]);
    for status in statuses {
        let case = match status {
            0 => "local-status/success".to_owned(),
            _ => format!("local-status/status-{status}"),
        };
        assert!(cases.contains(&case), "status {status}: there is no case `{case}`");
    }
}
