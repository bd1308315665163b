//! The delivery agents of this process behind the queue manager's hand, one for each transport of master.cf.

use super::names;
use config::{Attributes, Config, ServiceLine, ServiceType};
use delivery::agents::discard::DiscardAgent;
use delivery::agents::error::{ErrorAgent, FixedResult};
use delivery::agents::local::LocalAgent;
use delivery::agents::marked::{Marked, Marks};
use delivery::agents::pipe::{Finality, PipeAgent};
use delivery::agents::smtp::{Settings, SmtpAgent};
use delivery::agents::virtual_::VirtualAgent;
use delivery::{Assignment, DeliveryAgent, OutcomeSink, PassOn, ReportStyle, StatusFilter};
use mail::{Job, JobId, Outcome, SiteFailure};
use net::dns::SystemResolverSettings;
use observe::{Numbers, Tag};
use protocol::smtp::client::Protocol;
use qmgr::{Back, Hand};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// The agent of one transport.
type Give = Rc<dyn Agent>;

/// A delivery agent of any kind.
trait Agent {
    /// Gives it a job.
    fn give(&self, assignment: Assignment);
    /// Asks it to come to an end.
    fn hurry(&self);
}

impl<A: DeliveryAgent> Agent for A {
    fn give(&self, assignment: Assignment) {
        self.accept(assignment);
    }

    fn hurry(&self) {
        DeliveryAgent::hurry(self);
    }
}

/// An agent, and what changes its results.
type Post = (Give, Option<Rc<StatusFilter>>);

/// The agents by transport; a reload replaces them, while jobs under way keep theirs.
#[derive(Default)]
struct ByTransport(RefCell<HashMap<String, Post>>);

/// The programs whose results a filter may change, each by a parameter of its own.
const FILTERED: [&str; 5] = ["lmtp", "local", "pipe", "smtp", "virtual"];

/// What the agents of a configuration are made of. Its tables are open, some of which only root may read.
pub struct Plan {
    services: Vec<Service>,
    usual: ReportStyle,
    usual_name: String,
    names: SystemResolverSettings,
}

/// What one agent is made of.
struct Service {
    name: String,
    command: String,
    tag: Tag,
    style: ReportStyle,
    filter: Option<Rc<StatusFilter>>,
    /// Where it is an SMTP or LMTP client.
    client: Option<Settings>,
    /// What it puts in front, where it is a client.
    marks: Marks,
    /// What a command's success means.
    finality: Finality,
}

/// Where the local role takes jobs, below queue_directory.
pub const LOCAL_SOCKET: &str = "private/local";

/// How long connections that wait for mail may take to say QUIT at the end.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The agents of this process.
#[derive(Default)]
pub struct Agents {
    by_transport: Rc<ByTransport>,
    /// Those that keep connections open.
    clients: RefCell<Vec<SmtpAgent>>,
}

impl Plan {
    /// Reads what a configuration says of agents, and opens their tables.
    pub fn read(
        config: &Config,
        tables: &tables::Settings,
        resolver: &rewrite::Resolver,
    ) -> Result<Plan, String> {
        let services = config.services().iter().filter(|s| s.kind == ServiceType::Unix);
        Ok(Plan {
            services: services
                .map(|s| Service::read(config, s, tables, resolver))
                .collect::<Result<_, _>>()?,
            usual: style(config, None)?,
            usual_name: syslog_name(config, None)?,
            names: names::sources(config, false)?,
        })
    }
}

impl Service {
    fn read(
        config: &Config,
        service: &ServiceLine,
        tables: &tables::Settings,
        resolver: &rewrite::Resolver,
    ) -> Result<Service, String> {
        let protocol = match service.command.as_str() {
            "lmtp" => Some(Protocol::Lmtp),
            "smtp" => Some(Protocol::Smtp),
            _ => None,
        };
        let read = |protocol| Settings::read(&config.scope(Some(service)), protocol, tables, resolver);
        Ok(Service {
            name: service.name.clone(),
            command: service.command.clone(),
            tag: Tag::new(&syslog_name(config, Some(service))?, &service.command, 0),
            style: style(config, Some(service))?,
            filter: status_filter(config, service, tables)?.map(Rc::new),
            client: protocol.map(read).transpose().map_err(|e| e.to_string())?,
            marks: match protocol {
                Some(_) => Marks::of(&config.scope(Some(service)), service).map_err(|e| e.to_string())?,
                None => Marks::default(),
            },
            finality: match Attributes::of(service) {
                Ok(attributes) if service.command == "pipe" && attributes.flags.contains('X') => {
                    Finality::Final
                }
                _ => Finality::Relayed,
            },
        })
    }
}

impl Agents {
    /// Makes the agents of a configuration. Must be called in a `LocalSet`.
    pub fn set(&self, plan: Plan, numbers: &Numbers, tag: &Tag) -> Result<(), String> {
        let (mut agents, mut clients) = (HashMap::new(), Vec::new());
        let resolver = names::resolver(&plan.names, tag)?;
        // The queue manager itself sends mail there, whatever master.cf has.
        for name in ["error", "retry", "discard"] {
            let tag = Tag::new(&plan.usual_name, if name == "discard" { name } else { "error" }, 0);
            let command = if name == "discard" { name } else { "error" };
            agents.insert(name.to_owned(), (fixed(command, name, tag, numbers, plan.usual), None));
        }
        for Service { name, command, tag, style, filter, client, marks, finality } in plan.services {
            let others = || Rc::new(Others(Rc::downgrade(&self.by_transport)));
            let give = match (command.as_str(), client) {
                ("error" | "discard", _) => fixed(&command, &name, tag, numbers, style),
                ("local", _) => {
                    give(LocalAgent::start(LOCAL_SOCKET.into(), tag, numbers.clone(), style, others()))
                }
                ("pipe", _) => {
                    give(PipeAgent::start(LOCAL_SOCKET.into(), tag, numbers.clone(), style, finality))
                }
                ("virtual", _) => give(VirtualAgent::start(LOCAL_SOCKET.into(), tag, numbers.clone(), style)),
                (_, Some(settings)) => {
                    let agent = SmtpAgent::new(settings, Rc::clone(&resolver), tag.clone(), numbers.clone());
                    let agent = agent.passing_on(others());
                    clients.push(agent.clone());
                    give(Marked::new(agent, marks, tag, numbers.clone(), style))
                }
                // Without an agent the queue manager defers.
                _ => continue,
            };
            agents.insert(name, (give, filter));
        }
        *self.by_transport.0.borrow_mut() = agents;
        *self.clients.borrow_mut() = clients;
        Ok(())
    }

    /// Closes connections that wait for mail, in order, once deliveries are over.
    pub async fn finish(&self) {
        for client in self.clients.take() {
            // A server that does not listen to QUIT loses nothing.
            let _ = tokio::time::timeout(CLOSE_TIME, client.finish()).await;
        }
    }
}

fn style(config: &Config, service: Option<&ServiceLine>) -> Result<ReportStyle, String> {
    ReportStyle::read_in(&config.scope(service)).map_err(|e| e.to_string())
}

/// `<program>_delivery_status_filter`.
fn status_filter(
    config: &Config,
    service: &ServiceLine,
    tables: &tables::Settings,
) -> Result<Option<StatusFilter>, String> {
    if !FILTERED.contains(&service.command.as_str()) {
        return Ok(None);
    }
    let parameter = format!("{}_delivery_status_filter", service.command);
    let value = config.scope(Some(service)).expanded(&parameter).map_err(|e| e.to_string())?;
    let mut opener = tables::Opener::new(config.scope(Some(service)), tables);
    let maps = opener.maps(&parameter, &config::words::list(&value));
    opener.finish().map_err(|e| e.to_string())?;
    Ok(StatusFilter::new(&parameter, maps))
}

/// `syslog_name` as the service has it.
pub fn syslog_name(config: &Config, service: Option<&ServiceLine>) -> Result<String, String> {
    config.scope(service).expanded("syslog_name").map_err(|e| e.to_string())
}

/// The agents that need no address: discard under any name, error, which defers where its service is called retry.
fn fixed(command: &str, name: &str, tag: Tag, numbers: &Numbers, style: ReportStyle) -> Give {
    let numbers = numbers.clone();
    match (command, name) {
        ("discard", _) => give(DiscardAgent::new(tag, numbers, style)),
        (_, "retry") => give(ErrorAgent::new(tag, numbers, style, FixedResult::Defer)),
        _ => give(ErrorAgent::new(tag, numbers, style, FixedResult::Bounce)),
    }
}

fn give(agent: impl DeliveryAgent + 'static) -> Give {
    Rc::new(agent)
}

impl Hand for Agents {
    fn knows(&self, transport: &str) -> bool {
        self.by_transport.0.borrow().contains_key(transport)
    }

    fn deliver(&self, job: Job, back: Rc<dyn Back>) {
        self.by_transport.give(Assignment::new(job, Rc::new(WayBack(back))));
    }

    fn hurry(&self) {
        self.by_transport.0.borrow().values().for_each(|(agent, _)| agent.hurry());
    }
}

impl ByTransport {
    /// Gives a job to the agent of its transport.
    fn give(&self, assignment: Assignment) {
        let agent = self.0.borrow().get(&*assignment.job.transport).cloned();
        match agent {
            Some((agent, filter)) => agent.give(assignment.filtered(filter)),
            None => self.unavailable(assignment),
        }
    }

    /// It happens where a reload took the transport away, or where an agent passes mail on to one that is not there.
    fn unavailable(&self, mut assignment: Assignment) {
        let retry = self.0.borrow().get("retry").map(|(give, _)| Rc::clone(give));
        assignment.job.nexthop = "4.3.0 mail transport unavailable".into();
        // Without it the job is dropped: each recipient is deferred.
        if let Some(retry) = retry {
            retry.give(assignment);
        }
    }
}

/// The other agents, for one that passes mail on.
struct Others(Weak<ByTransport>);

impl PassOn for Others {
    fn pass_on(&self, assignment: Assignment) {
        // Dropped at the end of all agents: each recipient is deferred.
        if let Some(agents) = self.0.upgrade() {
            agents.give(assignment);
        }
    }
}

/// The queue manager's end of the way back, as agents see it.
struct WayBack(Rc<dyn Back>);

impl OutcomeSink for WayBack {
    fn outcome(&self, outcome: Outcome) {
        self.0.outcome(outcome);
    }

    fn done(&self, job: JobId, site_failure: Option<SiteFailure>) {
        self.0.done(job, site_failure);
    }

    fn transport_failed(&self, job: JobId, failure: SiteFailure) {
        self.0.transport_failed(job, failure);
    }
}
