//! The process `smtpd`: sessions, cleanup, and the way into the queue.

use super::limits::{self, Limit};
use super::screens::{self, PreparedScreen};
use super::telling::{self, Known, Telling};
use super::{DRAIN_TIME, LAST_WORDS_TIME, Reach, Start, agents, names, queue, routing, sockets};
use ::queue::{Hooks, Intake, NoticeSender, RealDisk, Role};
use ::smtpd::recent::Recent;
use ::smtpd::stress::{self, Machine, Memory};
use ::smtpd::{Anvil, Inputs, Listener, Readings, Service, Sessions, Stress, Surroundings, postscreen};
use cleanup::pickup::{Look, Pickup, PickupInputs};
use cleanup::submitted::{self, Submissions};
use config::parameters::{Anvil as Rates, Bounce, Cleanup, Global, Receiving};
use config::{Config, ServiceLine, ServiceType};
use master::plan::service_key;
use net::Shutdown;
use net::dns::SystemResolverSettings;
use observe::{Numbers, Tag};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tables::keeper::Keeper;

/// Event loops at most; half of the cores, since the queue manager and the agents want the rest.
const LOOPS_MAX: usize = 16;

/// A service of master.cf, ready to serve on several event loops.
struct Prepared {
    name: Arc<str>,
    program: Arc<str>,
    readings: Readings,
    sessions: Sessions,
    listeners: Vec<Listener>,
    limit: Limit,
    key: String,
}

/// What each event loop gets.
struct Loop {
    services: Vec<Service>,
    screens: Vec<postscreen::Service>,
    intake: Intake,
    names: SystemResolverSettings,
    numbers: Numbers,
    anvil: Anvil,
    recent: Recent,
    shutdown: Shutdown,
    tag: Tag,
}

/// Runs the role.
pub fn run(mut start: Start) -> Result<(), String> {
    let loops = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2)).min(LOOPS_MAX);
    // Tables may be for root's eyes only, so they are opened first; a reload starts a new process.
    let AllPrepared { services, mut screens, local, read, written } =
        prepare(&mut start).map_err(|why| start.fail(why))?;
    let names = names::sources(&start.config, start.is_chrooted()).map_err(|why| start.fail(why))?;
    let asked = names::Asked::by_clients_of(&start.config);
    // The directory itself is beyond the reach of this role; what lies in it is not.
    let disk = Arc::new(queue::disk(&start.plan).map_err(|why| start.fail(why))?);
    let (memory, descriptors) = (Memory::open(), limits::for_sessions());
    let opened = screens::directories(&screens);
    start.confine(&Reach {
        // Tables that change are read again.
        read: &read,
        write: &["corrupt", "journal", "maildrop", "public", "private"],
        tables: &written,
        opened: &opened,
        configuration: false,
    })?;
    for service in &services {
        let Limit { sessions, why } = &service.limit;
        observe::info(&start.tag, format_args!("{}: at most {sessions} sessions ({why})", service.key));
    }
    let intake = open_intake(&start, Arc::clone(&disk)).map_err(|why| start.fail(why))?;
    let keepers = screens::keep(&mut screens, &start).map_err(|why| start.fail(why))?;
    // Beside pickup, and for as long: one process takes in what the mail system itself submits.
    let submissions = local.as_ref().map(|local| start_submissions(&start, &intake, local));
    let submissions = submissions.transpose().map_err(|why| start.fail(why))?;
    let pickup = local.map(|local| start_pickup(&start, &intake, disk, local));
    let mut pickup = pickup.transpose().map_err(|why| start.fail(why))?;
    let (trigger, shutdown) = Shutdown::new();
    let numbers = Numbers::new(start.inherited.numbers);
    let stresses: Vec<Stress> = services.iter().map(|s| s.sessions.stress().clone()).collect();
    let machine = Machine { memory, descriptors, intake: intake.clone() };
    let (anvil, statistics) = counters(&start).map_err(|why| start.fail(why))?;
    let telling = Telling::begin(&start).map_err(|why| start.fail(why))?;
    let known = Known {
        recent: Known::recent(&start).map_err(|why| start.fail(why))?,
        sessions: services.iter().map(|s| (Arc::clone(&s.name), s.sessions.clone())).collect(),
        screens: screens.iter().filter_map(PreparedScreen::known).collect(),
        anvil: anvil.clone(),
    };
    let each = |_| -> Result<Loop, String> {
        Ok(Loop {
            services: services.iter().map(Prepared::share).collect::<Result<_, _>>()?,
            screens: screens.iter().map(PreparedScreen::share).collect::<Result<_, _>>()?,
            intake: intake.clone(),
            names: names.clone(),
            numbers: numbers.clone(),
            anvil: anvil.clone(),
            recent: known.recent.clone(),
            shutdown: shutdown.clone(),
            tag: start.tag.clone(),
        })
    };
    let all: Result<Vec<Loop>, String> = (0..loops).map(each).collect();
    let mut all = all.map_err(|why| start.fail(why))?;
    let first = all.pop().ok_or_else(|| start.fail("no event loop".into()))?;
    // Closed once the other event loops have ended.
    let (held, mut others_ended) = tokio::sync::mpsc::channel::<()>(1);
    let run = |l, held: &tokio::sync::mpsc::Sender<()>| {
        let held = held.clone();
        std::thread::Builder::new().name("smtpd".into()).spawn(move || {
            serve(l);
            drop(held);
        })
    };
    let others: Result<Vec<_>, _> = all.into_iter().map(|l| run(l, &held)).collect();
    drop(held);
    let teller = asked.map(|asked| names::tell(asked, start.tag.clone())).transpose();
    let cannot = |e| start.fail(format!("cannot start a thread: {e}"));
    let mut others = others.map_err(cannot)?;
    others.extend(teller.map_err(cannot)?);

    let runtime = super::runtime(observe::flush_soon).map_err(|e| start.fail(e.to_string()))?;
    let local = tokio::task::LocalSet::new();
    let Start { inherited, tag, .. } = start;
    let result = local.block_on(&runtime, async move {
        let link = inherited.link.into_async().map_err(|e| e.to_string())?;
        let (tag_of_anvil, period) = statistics;
        let statistics = ::smtpd::anvil::report(anvil, tag_of_anvil, period, shutdown.clone());
        let statistics = tokio::task::spawn_local(statistics);
        let recent = known.recent.clone();
        let told = telling.serve(known.answers(), tag.clone()).map_err(|e| e.to_string())?;
        let watch = tokio::task::spawn_local(stress::watch(stresses, machine, shutdown.clone()));
        let order = async {
            // It returns at the order to stop; a process that only retires lets its sessions end in their own time.
            let followed = super::follow_master(link, trigger, tag, || Ok(())).await;
            tokio::time::sleep(DRAIN_TIME + LAST_WORDS_TIME).await;
            followed.map_err(|e| e.to_string())
        };
        // Two processes must not take the same file, so who retires leaves maildrop/ to its successor at once.
        let served = async {
            let mut serving = std::pin::pin!(sessions(first));
            tokio::select! {
                served = &mut serving => return served,
                () = shutdown.requested() => {}
            }
            // A blocked loop would keep the other sessions waiting for the message in hand.
            let ending = pickup.take().map(|pickup| {
                std::thread::Builder::new().name("pickup-end".into()).spawn(move || pickup.stop())
            });
            let served = serving.await;
            // Who only retires waits for every session, on whichever loop; at a stop `order` ends the wait.
            others_ended.recv().await;
            if let Some(Ok(ending)) = ending {
                drop(ending.join());
            }
            served
        };
        let result = tokio::select! {
            served = served => served,
            ended = order => ended,
        };
        pickup.into_iter().for_each(Pickup::stop);
        // It ended with the order to finish; without one it has nothing to tell.
        statistics.abort();
        watch.abort();
        told.abort();
        telling.end();
        if shutdown.only_retires() {
            telling::give_on(&recent);
        }
        result
    });
    submissions.into_iter().for_each(Submissions::stop);
    intake.close();
    keepers.into_iter().for_each(Keeper::stop);
    // Threads that still drain end with the process; the ones that are done are joined.
    for thread in others.into_iter().filter(|t| t.is_finished()) {
        drop(thread.join());
    }
    result
}

/// What counts clients, the tag of its lines in the log and how often they come: as the service `anvil` has it.
fn counters(start: &Start) -> Result<(Anvil, (Tag, Duration)), String> {
    let config = &start.config;
    let line = config.service("anvil", ServiceType::Unix);
    let settings = Rates::read(config, line).map_err(|e| e.to_string())?;
    let tag = Tag::new(&agents::syslog_name(config, line)?, "anvil", std::process::id());
    Ok((Anvil::new(settings.anvil_rate_time_unit), (tag, settings.anvil_status_update_time)))
}

/// One further event loop.
fn serve(l: Loop) {
    let tag = l.tag.clone();
    let served = super::runtime(observe::flush_soon)
        .map_err(|e| e.to_string())
        .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, sessions(l)));
    if let Err(why) = served {
        observe::error(&tag, format_args!("an event loop ended: {why}"));
    }
}

async fn sessions(l: Loop) -> Result<(), String> {
    let inputs = Inputs {
        services: l.services,
        screens: l.screens,
        intake: l.intake,
        resolver: names::resolver(&l.names, &l.tag)?,
        numbers: l.numbers,
        anvil: l.anvil,
        recent: l.recent,
        shutdown: l.shutdown,
        grace: DRAIN_TIME,
    };
    ::smtpd::run(inputs).await.map_err(|e| e.to_string())
}

/// Directories of tables.
type Reached = Vec<PathBuf>;

/// The services of a process, what is done with mail of local programs, and the directories that tables read, and
/// those in which they write, too.
struct AllPrepared {
    services: Vec<Prepared>,
    screens: Vec<PreparedScreen>,
    local: Option<Local>,
    read: Reached,
    written: Reached,
}

/// What cleanup does with mail of local programs.
struct Local {
    settings: Arc<cleanup::Settings>,
    tables: rewrite::Tables,
    /// `syslog_name` of the cleanup service.
    cleanup_name: String,
    checks_content: bool,
    content_filter: String,
}

/// Reads each service's settings; the listeners are those that master passed.
fn prepare(start: &mut Start) -> Result<AllPrepared, String> {
    let mut listeners: BTreeMap<String, Vec<OwnedFd>> = BTreeMap::new();
    for (key, listener) in std::mem::take(&mut start.inherited.listeners) {
        listeners.entry(key).or_default().push(listener);
    }
    let config = &start.config;
    let mut tables = routing::table_settings(config, &start.tag)?;
    // Below another root their files are out of sight; a reload reads them.
    tables.follow_changes = !start.is_chrooted();
    tables.chrooted = start.is_chrooted();
    // Nor can it ask for the host's users; the process control can.
    tables.proxy = start.is_chrooted().then(|| PathBuf::from(sockets::PROXYMAP));
    let (read, written) = (tables.directories.clone(), tables.written.clone());
    let around = Surroundings::of(&routing::resolver(config, &tables)?, tables);
    let descriptors = limits::descriptors();
    let (mut prepared, mut screens) = (Vec::new(), Vec::new());
    for (key, listeners) in listeners {
        let service = config.services().iter().find(|s| service_key(s) == key);
        let service = service.ok_or_else(|| format!("{key}: not in master.cf any more"))?;
        match service.command.as_str() {
            "postscreen" => screens.push(screens::prepare(config, service, &around.tables, listeners)?),
            _ => prepared.push(prepare_service(config, service, &around, descriptors, listeners)?),
        }
    }
    let local = match start.arguments.pickup {
        true => Some(prepare_local(config, &around.tables).map_err(|e| e.to_string())?),
        false => None,
    };
    Ok(AllPrepared { services: prepared, screens, local, read: read.all(), written: written.all() })
}

fn prepare_local(config: &Config, tables: &tables::Settings) -> Result<Local, config::Errors> {
    let service = config.services().iter().find(|s| s.command == "pickup");
    let cleanup = config.scope(service).expanded("cleanup_service_name")?;
    let cleanup = config.service(&cleanup, ServiceType::Unix);
    let mapper = rewrite::Mapper::open(config, cleanup, tables)?;
    let (global, own) = (Global::read(config, cleanup)?, Cleanup::read(config, cleanup)?);
    let receiving = Receiving::read(config, service)?;
    let leaves_out = |what: &str| receiving.receive_override_options.iter().any(|option| option == what);
    let checks = cleanup::checks::Checks::open(config, cleanup, tables)?;
    let tables = match leaves_out("no_address_mappings") {
        true => rewrite::Tables::Ignored,
        false => rewrite::Tables::Asked,
    };
    let cleanup_name = config.scope(cleanup).expanded("syslog_name")?;
    let settings = cleanup::Settings::new(&global, &own, mapper).with_checks(checks);
    Ok(Local {
        settings: Arc::new(settings),
        tables,
        cleanup_name,
        checks_content: !leaves_out("no_header_body_checks"),
        content_filter: receiving.content_filter,
    })
}

fn prepare_service(
    config: &Config,
    service: &ServiceLine,
    around: &Surroundings,
    descriptors: u64,
    listeners: Vec<OwnedFd>,
) -> Result<Prepared, String> {
    let limit = limits::sessions(config, service, descriptors)?;
    let listener = |fd: OwnedFd| match service.kind {
        ServiceType::Inet => Listener::Tcp(fd.into()),
        ServiceType::Pass => Listener::Pass(fd.into()),
        _ => Listener::Unix(fd.into()),
    };
    let readings = Readings::read(config, Some(service), around).map_err(|e| e.to_string())?;
    let name: Arc<str> = service.name.as_str().into();
    let program: Arc<str> = format!("{}/smtpd", agents::syslog_name(config, Some(service))?).into();
    let listeners: Vec<Listener> = listeners.into_iter().map(listener).collect();
    // As Postfix: stress is for ports that others reach, with more than one session.
    let may = limit.sessions > 1 && listeners.iter().any(Listener::is_public);
    let tag = Tag { program: Arc::clone(&program), number: std::process::id() };
    let stress = Stress::new(Arc::clone(&name), tag, limit.sessions, readings.calm_time.filter(|_| may));
    let sessions = Sessions::new(stress, limits::waiting(limit.sessions, descriptors));
    Ok(Prepared { name, program, readings, sessions, listeners, limit, key: service_key(service) })
}

impl Prepared {
    /// The service for one of the event loops, on duplicates of its sockets.
    fn share(&self) -> Result<Service, String> {
        let listeners: Result<_, _> = self.listeners.iter().map(Listener::try_clone).collect();
        Ok(Service {
            name: Arc::clone(&self.name),
            program: Arc::clone(&self.program),
            listeners: listeners.map_err(|e| e.to_string())?,
            // A reload starts a new process, so this one's settings never change but for stress.
            readings: self.readings.clone(),
            sessions: self.sessions.clone(),
        })
    }
}

fn open_intake(start: &Start, disk: Arc<RealDisk>) -> Result<Intake, String> {
    let settings = queue::intake_settings(&start.config, Role::Smtpd)?;
    let mut notices = NoticeSender::new(Path::new("private/journal"));
    let hooks = Hooks {
        flush_log: Box::new(observe::flush),
        notice: Box::new(move |notice| notices.send(notice)),
        report: queue::reporter(&start.tag),
    };
    Intake::open(settings, disk, hooks).map_err(|e| format!("the journal cannot be opened: {e}"))
}

/// Takes in what the agent `local` sends on.
fn start_submissions(start: &Start, intake: &Intake, local: &Local) -> Result<Submissions, String> {
    let text = |e: config::Errors| e.to_string();
    let inputs = submitted::Inputs {
        intake: intake.clone(),
        settings: Arc::clone(&local.settings),
        delay_warning_time: Bounce::read(&start.config, None).map_err(text)?.delay_warning_time,
        detects_smtputf8: Global::read(&start.config, None).map_err(text)?.detects_smtputf8("forward"),
        tag: Tag::new(&local.cleanup_name, "cleanup", start.tag.number),
    };
    let listener = sockets::listen(submitted::SOCKET)?;
    Submissions::start(inputs, listener, net::clock::now).map_err(|e| format!("{}: {e}", submitted::SOCKET))
}

/// Takes in what local programs leave in maildrop/.
fn start_pickup(start: &Start, intake: &Intake, disk: Arc<RealDisk>, local: Local) -> Result<Pickup, String> {
    let config = &start.config;
    let service = config.services().iter().find(|s| s.command == "pickup");
    let text = |e: config::Errors| e.to_string();
    let inputs = PickupInputs {
        intake: intake.clone(),
        disk,
        // Relative to the working directory, which is queue_directory.
        look: |path| {
            let file = std::fs::symlink_metadata(path)?;
            Ok(Look { uid: file.uid(), is_regular: file.is_file(), links: file.nlink() })
        },
        settings: local.settings,
        tables: local.tables,
        checks_content: local.checks_content,
        content_filter: local.content_filter,
        delay_warning_time: Bounce::read(config, None).map_err(text)?.delay_warning_time,
        empty_recipient: config.text("empty_address_recipient").map_err(|e| e.to_string())?.as_str().into(),
        detects_smtputf8: Global::read(config, service).map_err(text)?.detects_smtputf8("sendmail"),
        tag: Tag::new(&agents::syslog_name(config, service)?, "pickup", start.tag.number),
        cleanup_tag: Tag::new(&local.cleanup_name, "cleanup", start.tag.number),
    };
    let listener = sockets::listen("public/pickup")?;
    Pickup::start(inputs, listener, net::clock::now).map_err(|e| format!("pickup: {e}"))
}
