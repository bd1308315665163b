//! Where mail goes: rewrite's resolver as the queue manager's router.

use bounce::Heading;
use config::{Config, ServiceType};
use mail::{Address, Purpose};
use observe::Tag;
use qmgr::{Router, Target};
use rewrite::{Mapper, Resolved, Resolver, Witness};
use std::rc::Rc;
use std::sync::Arc;

/// The resolver of a configuration; it opens the tables, some of which only root may read.
pub fn resolver(config: &Config, tables: &tables::Settings) -> Result<Resolver, String> {
    let settings = rewrite::Settings::open(config, tables);
    settings.map(Resolver::new).map_err(|e| e.to_string())
}

/// What tables need to know of their surroundings.
pub fn table_settings(config: &Config, tag: &Tag) -> Result<tables::Settings, String> {
    let (tag, own) = (tag.clone(), tag.clone());
    let note = Arc::new(move |text: &str| observe::info(&own, format_args!("{text}")));
    let warn = Arc::new(move |text: &str| observe::warn(&tag, format_args!("{text}")));
    Ok(tables::Settings { warn, note, ..tables::Settings::of(config).map_err(|e| e.to_string())? })
}

/// What the queue manager asks about addresses.
pub struct Ways {
    /// Where mail goes.
    pub resolver: Resolver,
    /// Where probes of addresses go.
    probes: Resolver,
    /// Maps the addresses of reports, as the line of master.cf for the usual cleanup has it.
    mapper: Mapper,
}

/// Opens the tables of a configuration, some of which only root may read.
pub fn ways(config: &Config, tables: &tables::Settings) -> Result<Ways, String> {
    let cleanup = config.service("cleanup", ServiceType::Unix);
    let mapper = Mapper::open(config, cleanup, tables).map_err(|e| e.to_string())?;
    let resolver = resolver(config, tables)?;
    let probes = resolver.settings().of_probes(config, tables).map_err(|e| e.to_string())?;
    Ok(Ways { resolver, probes: Resolver::new(probes), mapper })
}

/// The same as the queue manager asks it; `tag` is who logs lookups that fail.
pub fn router(ways: Ways, tag: &Tag) -> Rc<dyn Router> {
    Rc::new(Routing { ways, tag: tag.clone() })
}

/// Logs what is wrong with the addresses of a report.
struct Log(Tag);

impl Witness for Log {
    fn warning(&self, text: &str) {
        observe::warn(&self.0, format_args!("{text}"));
    }
}

struct Routing {
    ways: Ways,
    tag: Tag,
}

impl Router for Routing {
    fn route<'a>(
        &'a self,
        recipient: &'a Address,
        sender: &'a Address,
        purpose: Purpose,
    ) -> qmgr::Routing<'a> {
        let resolver = match purpose {
            Purpose::Verification => &self.ways.probes,
            _ => &self.ways.resolver,
        };
        qmgr::Routing::Asking(Box::pin(async move {
            target(resolver.resolve(recipient, sender).await, &self.tag)
        }))
    }

    fn addressed(&self, heading: Heading) -> Option<qmgr::Addressing> {
        let (mapper, log) = (self.ways.mapper.clone(), Log(self.tag.clone()));
        Some(Box::pin(async move { heading.mapped(&mapper, &log).await.ok() }))
    }
}

/// Transport and nexthop of what was resolved; what could not be goes by the services that say so.
fn target(resolved: Resolved, tag: &Tag) -> Target {
    let fixed = |transport: &str, nexthop: &str, recipient| Target {
        transport: transport.into(),
        nexthop: nexthop.into(),
        recipient,
        local: false,
    };
    match resolved {
        Resolved::Route(route) => {
            let local = route.class == rewrite::AddressClass::Local;
            let rewrite::Route { transport, nexthop, recipient, .. } = route;
            Target { transport, nexthop, recipient, local }
        }
        Resolved::Invalid { recipient } => fixed("error", "5.1.3 bad address syntax", recipient),
        Resolved::TempFail { recipient, reason } => {
            observe::warn(tag, format_args!("{recipient}: {reason}"));
            fixed("retry", "4.3.0 address resolver failure", recipient)
        }
    }
}
