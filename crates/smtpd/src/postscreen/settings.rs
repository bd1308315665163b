//! What one postscreen service works by, read from the configuration.

use super::access::AccessList;
use super::cache::Cleaning;
use super::early;
use super::engine::{self, Discarded};
use super::kinds::{Action, Setup};
use super::names::Names;
use super::sites::Site;
use crate::footer::Footer;
use crate::macros;
use crate::settings::{count, keywords};
use config::parameters::{Cleanup, Global, Postscreen, Smtpd};
use config::{Config, Error, Errors, ServiceLine};
use mail::Reply;
use observe::Tag;
use protocol::smtp::server::EhloKeywords;
use std::net::IpAddr;
use std::time::Duration;
use tables::lists::AddressList;
use tables::search::{self, Parents};
use tables::{Lookup, Maps, Opener, Table};

/// What a postscreen line of master.cf works by.
pub struct Settings {
    pub(super) access: AccessList,
    pub(super) denylist_action: Action,
    pub(super) respectful: bool,
    pub(super) soft_bounce: bool,
    pub(super) greet_banner: String,
    /// Without stress, and under it.
    pub(super) times: [Times; 2],
    pub(super) early: early::Rules,
    pub(super) sites: Vec<Site>,
    pub(super) dnsbl_timeout: Duration,
    pub(super) dnsbl_reply_map: Maps,
    pub(super) engine: engine::Rules,
    discard_ehlo: EhloKeywords,
    discard_ehlo_maps: Maps,
    footer: Footer,
    expansion_filter: Vec<u8>,
    pub(super) connection_count_limit: u64,
    pub(super) pre_queue_limit: usize,
    pub(super) post_queue_limit: usize,
    pub(super) allowlist_interfaces: AddressList,
    pub(super) onward: String,
    /// How long a proxy may take to tell the client, where one is in front.
    pub(super) upstream: Option<Duration>,
    /// `postscreen_cache_map`.
    pub cache_map: String,
    /// When the cache is cleared of old entries.
    pub cleaning: Cleaning,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// `postscreen_greet_wait`.
    pub greet_wait: Duration,
    /// `postscreen_command_time_limit`.
    pub command: Duration,
}

impl Settings {
    /// Reads the settings as `service` sees them; the error holds every mistake.
    pub fn read(config: &Config, service: &ServiceLine, open: &tables::Settings) -> Result<Self, Errors> {
        let scope = config.scope(Some(service));
        let p = Postscreen::read_in(&scope)?;
        let times = |p: &Postscreen| Times {
            greet_wait: p.postscreen_greet_wait,
            command: p.postscreen_command_time_limit,
        };
        let times = [times(&p), times(&Postscreen::read_in(&scope.with(&[("stress", "yes")]))?)];
        let global = Global::read_in(&scope)?;
        let (smtpd, cleanup) = (Smtpd::read_in(&scope)?, Cleanup::read_in(&scope)?);
        let mut reader = Reader { open: Opener::new(scope, open) };
        let settings = reader.settings(&p, times, &global, &smtpd, &cleanup);
        reader.open.finish()?;
        settings.ok_or_else(|| Error::general(None, "postscreen cannot be set up").into())
    }

    /// The service of type `pass` that takes who passes (`smtpd_service_name`).
    pub fn onward(&self) -> &str {
        &self.onward
    }

    /// What EHLO leaves out for a client.
    pub(super) async fn discard_ehlo(&self, client: IpAddr) -> Discarded {
        match self.discard_ehlo_maps.find([search::address(client)]).await {
            Lookup::Found(words) => {
                let words: Vec<&str> = words.split([',', ' ', '\t']).filter(|w| !w.is_empty()).collect();
                let keywords = keywords(words.iter().copied());
                let told =
                    (!words.is_empty() && !keywords.silently).then(|| words.join(" ").to_ascii_uppercase());
                Discarded { keywords, told }
            }
            Lookup::NotFound | Lookup::TempFail(_) => Discarded { keywords: self.discard_ehlo, told: None },
        }
    }

    /// A reply with the footer that belongs to it, if it refuses something.
    pub(super) async fn with_footer(&self, reply: Reply, names: &Names, tag: &Tag) -> Reply {
        match reply.code {
            ..400 => reply,
            _ => self.footer.behind(reply, names, &self.expansion_filter, tag).await,
        }
    }
}

struct Reader<'a> {
    open: Opener<'a>,
}

impl Reader<'_> {
    fn settings(
        &mut self,
        p: &Postscreen,
        times: [Times; 2],
        global: &Global,
        smtpd: &Smtpd,
        cleanup: &Cleanup,
    ) -> Option<Settings> {
        let mynetworks = self.open.clients("mynetworks", &global.mynetworks, Parents::Dotted);
        const INTERFACES: &str = "postscreen_allowlist_interfaces";
        let interfaces = self.open.clients(INTERFACES, &p.postscreen_allowlist_interfaces, Parents::Dotted);
        let access = AccessList::parse(&p.postscreen_access_list, mynetworks, self.open.tables());
        let access = self.open.take("postscreen_access_list", access);
        let sites = self.sites(&p.postscreen_dnsbl_sites);
        Some(Settings {
            access: access?,
            denylist_action: Action::of(&p.postscreen_denylist_action),
            respectful: p.respectful_logging,
            soft_bounce: global.soft_bounce,
            greet_banner: p.postscreen_greet_banner.clone(),
            times,
            early: early_rules(p, !sites.is_empty()),
            sites,
            dnsbl_timeout: p.postscreen_dnsbl_timeout,
            dnsbl_reply_map: self.open.maps("postscreen_dnsbl_reply_map", &p.postscreen_dnsbl_reply_map),
            engine: self.engine(p, global, smtpd, cleanup),
            discard_ehlo: keywords(p.postscreen_discard_ehlo_keywords.iter().map(String::as_str)),
            discard_ehlo_maps: self.open.maps(
                "postscreen_discard_ehlo_keyword_address_maps",
                &p.postscreen_discard_ehlo_keyword_address_maps,
            ),
            footer: Footer {
                text: self.raw(&p.postscreen_reject_footer),
                maps: self.open.maps("postscreen_reject_footer_maps", &p.postscreen_reject_footer_maps),
            },
            expansion_filter: macros::allowed(&self.raw(&p.postscreen_expansion_filter)),
            connection_count_limit: p.postscreen_client_connection_count_limit,
            pre_queue_limit: count(p.postscreen_pre_queue_limit),
            post_queue_limit: count(p.postscreen_post_queue_limit),
            allowlist_interfaces: interfaces,
            onward: p.smtpd_service_name.clone(),
            upstream: self.upstream(p),
            cache_map: p.postscreen_cache_map.clone(),
            cleaning: Cleaning {
                interval: p.postscreen_cache_cleanup_interval,
                retention: p.postscreen_cache_retention_time,
            },
        })
    }

    fn engine(&mut self, p: &Postscreen, g: &Global, s: &Smtpd, c: &Cleanup) -> engine::Rules {
        let filter = self.open.maps("postscreen_command_filter", &p.postscreen_command_filter);
        engine::Rules {
            myhostname: g.myhostname.clone(),
            banner: s.smtpd_banner.clone(),
            helo_required: p.postscreen_helo_required,
            disable_vrfy: p.postscreen_disable_vrfy_command,
            announces_vrfy: !s.disable_vrfy_command,
            message_size_limit: c.message_size_limit,
            smtputf8: g.smtputf8_enable,
            commands_max: p.postscreen_command_count_limit,
            line_bytes_max: count(s.line_length_limit),
            actions: [
                Action::of(&p.postscreen_pipelining_action),
                Action::of(&p.postscreen_non_smtp_command_action),
                Action::of(&p.postscreen_bare_newline_action),
            ],
            forbidden: self.forbidden_commands(&p.postscreen_forbidden_commands),
            filter: Box::new(move |line| match filter.find_now([search::Key { text: line, part: false }]) {
                Lookup::Found(to) => Some(to),
                Lookup::NotFound | Lookup::TempFail(_) => None,
            }),
        }
    }

    /// Words and tables.
    fn forbidden_commands(&mut self, words: &[String]) -> engine::Ask<String, bool> {
        let (mut names, mut tables) = (Vec::new(), Vec::new());
        for word in words {
            if word.contains(':') {
                let table = Table::open(word, self.open.tables()).map_err(|e| vec![e.to_string()]);
                tables.extend(self.open.take("postscreen_forbidden_commands", table));
            } else {
                names.push(word.clone());
            }
        }
        Box::new(move |command| {
            !command.is_empty()
                && (names.iter().any(|n| n.eq_ignore_ascii_case(&command))
                    || tables.iter().any(|t| matches!(t.lookup_now(&command), Lookup::Found(_))))
        })
    }

    fn sites(&mut self, words: &[String]) -> Vec<Site> {
        let mut sites = Vec::new();
        for word in words {
            match Site::parse(word) {
                Ok(site) => sites.push(site),
                Err(text) => self.open.wrong("postscreen_dnsbl_sites", text),
            }
        }
        sites
    }

    /// A value whose `$name` wait for their use; one that is all a parameter's is that parameter's.
    fn upstream(&mut self, p: &Postscreen) -> Option<Duration> {
        const NAME: &str = "postscreen_upstream_proxy_protocol";
        match p.postscreen_upstream_proxy_protocol.as_str() {
            "" => None,
            "haproxy" => Some(p.postscreen_upstream_proxy_timeout),
            other => {
                self.open.wrong(NAME, format!("expected `haproxy` or nothing, found `{other}`"));
                None
            }
        }
    }

    fn raw(&self, value: &str) -> String {
        let named =
            value.strip_prefix('$').filter(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        match named.and_then(|name| self.open.scope().find(name)) {
            Some(found) => found.raw.into_owned(),
            None => value.to_owned(),
        }
    }
}

fn early_rules(p: &Postscreen, lists: bool) -> early::Rules {
    let setup =
        |enabled, action: &str, time_to_live| Setup { enabled, action: Action::of(action), time_to_live };
    early::Rules {
        setups: [
            setup(true, &p.postscreen_greet_action, p.postscreen_greet_ttl),
            setup(lists, &p.postscreen_dnsbl_action, p.postscreen_dnsbl_max_ttl),
            setup(
                p.postscreen_pipelining_enable,
                &p.postscreen_pipelining_action,
                p.postscreen_pipelining_ttl,
            ),
            setup(
                p.postscreen_non_smtp_command_enable,
                &p.postscreen_non_smtp_command_action,
                p.postscreen_non_smtp_command_ttl,
            ),
            setup(
                p.postscreen_bare_newline_enable,
                &p.postscreen_bare_newline_action,
                p.postscreen_bare_newline_ttl,
            ),
        ],
        threshold: i32::try_from(p.postscreen_dnsbl_threshold).unwrap_or(i32::MAX),
        allow_threshold: p.postscreen_dnsbl_allowlist_threshold,
        score_lasts: (p.postscreen_dnsbl_min_ttl, p.postscreen_dnsbl_max_ttl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postscreen::cache::Entry;
    use crate::postscreen::kinds::Test;
    use config::{Host, ServiceType};
    use std::path::Path;

    fn read(main: &str) -> Result<Settings, String> {
        let master = "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n";
        let config = Config::parse(Path::new("/etc/postfix"), main, master, Host::this()).unwrap();
        let service = config.service("smtp", ServiceType::Inet).unwrap();
        Settings::read(&config, service, &tables::Settings::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn how_long_results_count_is_as_set() {
        let main = "postscreen_greet_ttl = 2s\npostscreen_pipelining_ttl = 3s\npostscreen_non_smtp_command_ttl = 4s\n\
                    postscreen_bare_newline_ttl = 5s\npostscreen_dnsbl_min_ttl = 6s\npostscreen_dnsbl_max_ttl = 7s\n\
                    postscreen_dnsbl_timeout = 8s\npostscreen_cache_cleanup_interval = 9s\n\
                    postscreen_cache_retention_time = 10s\n";
        let settings = read(main).unwrap();
        let early = &settings.early;
        let seconds = |test| early.setup(test).time_to_live.as_secs();
        let deep: Vec<u64> = Test::DEEP.into_iter().map(seconds).collect();
        assert_eq!((seconds(Test::Pregreet), deep), (2, vec![3, 4, 5]));
        let (low, high) = early.score_lasts;
        assert_eq!((low.as_secs(), high.as_secs(), settings.dnsbl_timeout.as_secs()), (6, 7, 8));
        let Cleaning { interval, retention } = settings.cleaning;
        assert_eq!((interval.as_secs(), retention.as_secs()), (9, 10));
    }

    #[test]
    fn limits_and_names_are_as_set() {
        let main = "postscreen_cache_map = lmdb:/srv/screened\npostscreen_client_connection_count_limit = 7\n\
                    postscreen_pre_queue_limit = 11\npostscreen_post_queue_limit = 12\nsmtpd_service_name = inner\n";
        let settings = read(main).unwrap();
        assert_eq!((settings.cache_map.as_str(), settings.onward()), ("lmdb:/srv/screened", "inner"));
        let limits = (settings.connection_count_limit, settings.pre_queue_limit, settings.post_queue_limit);
        assert_eq!(limits, (7, 11, 12));
    }

    #[test]
    fn the_type_of_caches_is_as_set() {
        let settings = read("default_cache_db_type = lmdb\ndata_directory = /srv\n").unwrap();
        assert_eq!(settings.cache_map, "lmdb:/srv/postscreen_cache");
    }

    #[test]
    fn clients_get_less_time_under_stress() {
        let of =
            |main: &str| read(main).unwrap().times.map(|t| (t.greet_wait.as_secs(), t.command.as_secs()));
        assert_eq!(of(""), [(6, 300), (2, 10)]);
        assert_eq!(of("postscreen_greet_wait = 3s\npostscreen_command_time_limit = 4s\n"), [(3, 4); 2]);
    }

    #[test]
    fn names_of_old_count_where_the_new_ones_are_not_set() {
        let main = "postscreen_blacklist_action = drop\npostscreen_dnsbl_ttl = 3\n\
                    postscreen_dnsbl_whitelist_threshold = -4\npostscreen_whitelist_interfaces = 192.0.2.1\n";
        let settings = read(main).unwrap();
        assert_eq!(settings.denylist_action, Action::Drop);
        assert_eq!(settings.early.score_lasts.1.as_secs(), 3 * 3600);
        assert_eq!(settings.early.allow_threshold, -4);
        let allows =
            |ip: &str| tables::now(settings.allowlist_interfaces.matches(None, ip.parse().unwrap())).unwrap();
        assert_eq!((allows("192.0.2.1"), allows("192.0.2.2")), (Ok(true), Ok(false)));
    }

    #[test]
    fn tests_that_are_off_need_not_be_passed() {
        let todo = |main: &str| read(main).unwrap().early.todo(&Entry::default(), 1);
        assert!(!todo("").has_any(&[Test::Dnsbl, Test::Pipelining, Test::NonSmtp, Test::BareNewline]));
        assert!(todo("postscreen_dnsbl_sites = a.bl\n").has(Test::Dnsbl));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let told = read("postscreen_dnsbl_sites = a.bl=1, b.bl*x\npostscreen_access_list = nosuch:x\n")
            .err()
            .unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 3, "{told}");
        assert!(lines[1].starts_with("/etc/postfix/main.cf:1: postscreen_dnsbl_sites: expected a pattern"));
        assert!(lines[2].starts_with("/etc/postfix/main.cf:2: postscreen_access_list: nosuch:x"), "{told}");
    }

    #[test]
    fn characters_outside_the_filter_do_not_get_into_a_footer() {
        let main = "postscreen_reject_footer = from $client_address\npostscreen_expansion_filter = 0129\n";
        let settings = read(main).unwrap();
        let names = Names { client: "192.0.2.1:7".parse().unwrap(), server_name: String::new() };
        let reply = Reply::new(550, mail::Dsn::new(5, 5, 1), "no");
        let made = tables::now(settings.with_footer(reply, &names, &Tag::new("test", "test", 0))).unwrap();
        assert_eq!(made.text, "no\nfrom 192_0_2_1");
    }

    #[test]
    fn how_long_a_proxy_is_awaited() {
        assert_eq!(read("").unwrap().upstream, None);
        let main = "postscreen_upstream_proxy_protocol = haproxy\npostscreen_upstream_proxy_timeout = 2s\n";
        assert_eq!(read(main).unwrap().upstream, Some(Duration::from_secs(2)));
        let told = read("postscreen_upstream_proxy_protocol = other\n").map(|_| ()).unwrap_err().to_string();
        assert!(told.contains("expected `haproxy` or nothing, found `other`"), "{told}");
    }
}
