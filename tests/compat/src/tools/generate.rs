//! Cases made of a dictionary: strange main.cf and master.cf files, and calls of postconf that show and edit them.
//!
//! A seed makes one case, always the same. What Postfix does by chance is left out: several new names in one edit (their
//! order follows a hash), and what it loses by mistake (docs/differences.md).

use super::case::{Case, Command, Node, NodeKind};
use std::collections::BTreeSet;

/// A stream of choices (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// Parameters whose values every program takes as they are.
const PARAMETERS: &[&str] = &[
    "relayhost",
    "myorigin",
    "mydestination",
    "smtpd_banner",
    "virtual_alias_maps",
    "smtpd_client_restrictions",
    "smtpd_recipient_restrictions",
    "local_recipient_maps",
    "smtp_bind_address",
    "canonical_maps",
    "always_bcc",
    "smtpd_helo_required",
    "transport_maps",
    "recipient_delimiter",
    "masquerade_domains",
    "forward_path",
    "mailbox_command",
    "slow_destination_rate_delay",
    "spam_time_limit",
    "default_destination_rate_delay",
    "luser_relay",
    "smtpd_expansion_filter",
    "syslog_name",
];
/// Names that administrators give.
const OWN: &[&str] =
    &["foo", "bar", "baz", "mua_client", "x_1", "Foo", "foo_server_host", "bar_user", "restrict"];
const WORDS: &[&str] = &[
    "permit",
    "reject",
    "[mail.example.com]:25",
    "a.example,",
    "b.example",
    ",",
    "!/file",
    "hash:/etc/x",
    "ldap:foo",
    "proxy:mysql:bar",
    "inline:{a=b,c=d}",
    "{ check_x a:b }",
    "{one}",
    "restrict",
    "foo",
    "10s",
    "yes",
    "=",
    "a=b",
    "static:{a b}",
    "\"q\"",
    "'",
    "\\",
    "a\tb",
    "a/b",
    "192.0.2.0/24",
    "*",
    "x@y",
    "a{b",
    "c}",
];
/// Forms of `$`, with N for a name.
const FORMS: &[&str] = &[
    "$N",
    "${N}",
    "$(N)",
    "$$",
    "${N?x}",
    "${N:y}",
    "${N?{x y}:{z}}",
    "${N ? {x} : {y}}",
    "${{$N}=={a}}",
    "${{$N}!={}?{p}:{q}}",
    "${{1}<{10}?{$N}}",
    "${{3.6} <level {3.10} ? {$N} : {x}}",
    "$N.$N",
    "a$N-b",
    "${N?$N}",
    "${N:{${N:z}}}",
    "${ N }",
    "$N$N",
];
/// Forms that cannot be read.
const FAULTS: &[&str] = &[
    "${N",
    "$",
    "${N x}",
    "${}",
    "${{a} = {b}}",
    "$(N",
    "${N?{a}b}",
    "${N?{a}:{b}c}",
    "${{x} <level {3}}",
    "{x y",
];

fn name(dice: &mut Dice) -> &'static str {
    if dice.one_in(2) { dice.of(OWN) } else { dice.of(PARAMETERS) }
}

fn form(dice: &mut Dice) -> String {
    let form = if dice.one_in(40) { dice.of(FAULTS) } else { dice.of(FORMS) };
    let mut out = String::new();
    for c in form.chars() {
        match c {
            // Own names mostly: a chain of parameters soon leads back.
            'N' if dice.one_in(8) => out.push_str(dice.of(&["nosuch", "stress", "relayhost"])),
            'N' => out.push_str(dice.of(OWN)),
            c => out.push(c),
        }
    }
    out
}

fn value(dice: &mut Dice, lines: bool) -> String {
    let mut out = String::new();
    for _ in 0..dice.below(6) {
        let word = if dice.one_in(3) { form(dice) } else { dice.of(WORDS).to_owned() };
        out.push_str(&word);
        out.push_str(match dice.below(12) {
            0 if lines => "\n  ",
            1 if lines => "\n\t# note\n ",
            2 if lines => "\n\n ",
            3 => "  ",
            4 => "\t",
            5 if lines => "\r\n ",
            _ => " ",
        });
    }
    out
}

fn main_cf(dice: &mut Dice) -> String {
    let mut out = String::new();
    for _ in 0..1 + dice.below(9) {
        out.push_str(match dice.below(10) {
            0 => "# a comment\n",
            1 => "\n",
            2 => "   \n  # inner\n",
            _ => "",
        });
        let sign = dice.of(&[" = ", "=", " =", "= ", "\t=\t"]);
        let line = format!("{}{sign}{}", name(dice), value(dice, true));
        out.push_str(line.trim_end_matches(['\n', ' ', '\t']));
        out.push_str(dice.of(&["\n", "\n", "\n", " \n", "\r\n", "\n\n"]));
    }
    out
}

const PROGRAMS: &[&str] = &[
    "smtpd",
    "smtp",
    "lmtp",
    "pipe",
    "spawn",
    "qmgr",
    "local",
    "virtual",
    "error",
    "/usr/lib/x/y",
    "trivial-rewrite",
];

fn setting(dice: &mut Dice, name: &str) -> String {
    // A brace that nobody closes takes the rest of the line.
    let value = value(dice, false).replace(['{', '}'], "");
    let value = value.trim();
    if value.contains([' ', '\t']) || dice.one_in(4) {
        return format!("{{{}}}", [name, value].join(dice.of(&["=", " = ", " ="])));
    }
    format!("{name}={value}")
}

fn arguments(dice: &mut Dice, indent: &str) -> String {
    let mut out = String::new();
    for _ in 0..dice.below(5) {
        let name = name(dice);
        let word = match dice.below(8) {
            0 => "-v".to_owned(),
            // Not `-oNAME=VALUE`: Postfix 3.7 loses its way in it as soon as memory moves.
            _ => format!("-o {}", setting(dice, name)),
        };
        out.push_str(if dice.one_in(3) { " " } else { indent });
        out.push_str(&word);
    }
    // The first argument that is no option loses its braces in Postfix.
    const FIRST: [&str; 5] = ["flags=R", "user=x", "argv=/bin/x", "${recipient}", "z{q r}"];
    const LATER: [&str; 10] = [
        "-o",
        "-v",
        "{a b}",
        "{ c }",
        "null_sender=",
        "a=b=c",
        "123456789012345678901234567890",
        "x{y z}",
        "{-o}",
        "{d {e f}}",
    ];
    for index in 0..dice.below(4) {
        out.push(' ');
        out.push_str(if index == 0 { dice.of(&FIRST) } else { dice.of(&LATER) });
    }
    out
}

fn fields(dice: &mut Dice) -> [String; 7] {
    let name = dice.of(&[
        "smtp",
        "submission",
        "slow",
        "spam",
        "x-y",
        "127.0.0.1:25",
        "[::1]:25",
        "a_long_name_here",
    ]);
    let kind = dice.of(&["inet", "unix", "unix", "fifo", "pass", "unix-dgram"]);
    let wakeup = dice.of(&["-", "-", "60", "300?", "?", "0"]);
    let limit = dice.of(&["-", "-", "1", "0", "100"]);
    let mut flag = || dice.of(&["y", "n", "-", "-"]).to_owned();
    [name.to_owned(), kind.to_owned(), flag(), flag(), flag(), wakeup.to_owned(), limit.to_owned()]
}

fn service(dice: &mut Dice, indent: &str) -> String {
    let fields = fields(dice).join(dice.of(&[" ", "\t", "   "]));
    format!("{fields} {}{}", dice.of(PROGRAMS), arguments(dice, indent))
}

fn master_cf(dice: &mut Dice) -> String {
    let mut out = String::new();
    let mut names = BTreeSet::new();
    for _ in 0..1 + dice.below(5) {
        out.push_str(dice.of(&[
            "",
            "",
            "# a comment\n",
            "\n",
            "#smtp inet n - n - - smtpd\n#  -o a=b\n",
            "  # inner\n",
        ]));
        let indent = dice.of(&["\n  ", "\n\t", "\n# between\n    ", " "]);
        // Postfix 3.7 mixes up the settings of two services of one name and type.
        let service = service(dice, indent);
        if names.insert(service.split_whitespace().take(2).collect::<Vec<_>>().join("/")) {
            out.push_str(&service);
            out.push('\n');
        }
    }
    out
}

/// The words of a call that shows something.
fn show(dice: &mut Dice) -> Vec<String> {
    let options = dice.of(&[
        "-n",
        "-nf",
        "-nx",
        "-nh",
        "-nH",
        "-n -C user",
        "-C service",
        "-C user",
        "-M",
        "-Mf",
        "-Mx",
        "-F",
        "-Ff",
        "-FH",
        "-P",
        "-Pf",
        "-Px",
        "-Ph",
        "-PH",
        "-x",
        "-f",
        "-h",
        "-xh",
        "-o foo=over -n",
        "-o relayhost=$foo -x",
    ]);
    let mut words: Vec<String> = options.split(' ').map(str::to_owned).collect();
    let shows_services = options.starts_with(['-']) && options[1..].starts_with(['M', 'F', 'P']);
    let named = ["-x", "-f", "-h", "-xh", "-o relayhost=$foo -x"].contains(&options);
    for _ in 0..if named { 1 + dice.below(3) } else { dice.below(2) } {
        words.push(match shows_services {
            true => dice.of(&["smtp", "*/unix", "slow/unix", "spam/*", "nosuch", "x-y"]).to_owned(),
            false => name(dice).to_owned(),
        });
    }
    words
}

/// The words of a call that edits something.
fn edit(dice: &mut Dice, main: &str) -> Vec<String> {
    let is_set = |name: &&str| main.lines().any(|l| l.split(['=', ' ', '\t']).next() == Some(*name));
    let known: Vec<&str> = PARAMETERS.iter().chain(OWN).copied().filter(is_set).collect();
    let name = match known.is_empty() {
        true => name(dice),
        false => known[dice.below(known.len())],
    };
    let pattern = format!(
        "{}/{}",
        dice.of(&["smtp", "slow", "spam", "x-y", "*"]),
        dice.of(&["inet", "unix", "*", "unix"])
    );
    let plain = |dice: &mut Dice| {
        let value = value(dice, false).replace(['{', '}', '$'], "");
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    match dice.below(9) {
        0 => vec!["-e".into(), format!("{name}={}", value(dice, false).trim())],
        1 => vec!["-X".into(), name.into()],
        2 => vec!["-#".into(), name.into()],
        3 => {
            let line = format!("{} {}", fields(dice).join(" "), dice.of(PROGRAMS));
            vec!["-Me".into(), format!("{pattern}={line} -o a=b {}", plain(dice))]
        }
        4 => vec!["-MX".into(), pattern],
        5 => vec!["-M#".into(), pattern],
        6 => {
            let field = dice.of(&[
                "chroot=n",
                "private=y",
                "wakeup=5?",
                "process_limit=7",
                "command=smtpd -v -o a=b",
            ]);
            vec!["-F".into(), format!("{pattern}/{field}")]
        }
        7 => vec!["-P".into(), format!("{pattern}/{name}={}", dice.of(&["x", "", "$foo", "a=b"]))],
        _ => vec!["-PX".into(), format!("{pattern}/{name}")],
    }
}

/// The case that a seed makes.
pub fn case(seed: u64) -> Case {
    let mut dice = Dice(seed);
    let (main, master) = (main_cf(&mut dice), master_cf(&mut dice));
    let file = |name: &str, text: &str| Node {
        name: name.to_owned(),
        kind: NodeKind::File(text.as_bytes().to_vec()),
        mode: None,
    };
    let mut commands = Vec::new();
    for _ in 0..3 {
        commands.push(show(&mut dice));
    }
    if dice.one_in(2) {
        commands.push(edit(&mut dice, &main));
    }
    let command = |words: Vec<String>| {
        let words: Vec<String> =
            ["postconf", "-c", "DIR"].map(str::to_owned).into_iter().chain(words).collect();
        Command { text: words.join(" "), words, ..Command::default() }
    };
    Case {
        name: seed.to_string(),
        files: vec![file("main.cf", &main), file("master.cf", &master)],
        commands: commands.into_iter().map(command).collect(),
        ignore: vec!["*.tmp".into()],
        sorted: true,
        fatal_only: true,
    }
}

#[cfg(test)]
mod tests {
    use super::case;

    #[test]
    fn a_seed_makes_the_same_case_again() {
        assert_eq!(case(7), case(7));
        assert_ne!(case(7), case(8));
    }
}
