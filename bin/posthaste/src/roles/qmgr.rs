//! The process `qmgr`: the queue, the scheduler, and the agents that need no other identity.

use super::agents::Agents;
use super::telling::{self, Telling};
use super::{Reach, Start, agents, queue, routing, sockets, verifying};
use ::queue::{RealDisk, Store};
use config::Config;
use master::link::RoleLink;
use net::{Shutdown, clock};
use observe::{Numbers, Tag};
use qmgr::{Inputs, Settings, Snapshot};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Configurations that wait to be taken: the newest is all that counts, so one is enough and one spare.
const RELOADS_WAITING: usize = 2;

/// Orders that wait for the queue manager; who gives more waits.
const ORDERS_WAITING: usize = 64;

/// Deliveries at once over all transports, where descriptors allow it.
const JOBS_MAX: usize = 20_000;

/// Runs the role.
pub fn run(mut start: Start) -> Result<(), String> {
    let numbers = Numbers::new(start.inherited.numbers);
    let tables = routing::table_settings(&start.config, &start.tag).map_err(|why| start.fail(why))?;
    let ways = routing::ways(&start.config, &tables).map_err(|why| start.fail(why))?;
    let plan = agents::Plan::read(&start.config, &tables, &ways.resolver).map_err(|why| start.fail(why))?;
    let (written, mut opened) = (tables.written.all(), tables.opened.clone());
    let verifying = verifying::prepare(&start.config).map_err(|why| start.fail(why))?;
    // A reload opens tables again, wherever they lie.
    start.confine(&Reach {
        read: &["/".into()],
        write: &["."],
        tables: &written,
        opened: &verifying.directories(),
        configuration: true,
    })?;
    let verifying = verifying.begin(&start).map_err(|why| start.fail(why))?;
    let verifying::Verifying { desk, listener: questions, keeper } = verifying;
    let notices = sockets::listen("private/journal").map_err(|why| start.fail(why))?;
    let triggers = sockets::listen("public/qmgr").map_err(|why| start.fail(why))?;
    let lists = sockets::listen("private/showq").map_err(|why| start.fail(why))?;
    let telling = Telling::begin(&start).map_err(|why| start.fail(why))?;
    let disk = Arc::new(queue::disk(&start.plan).map_err(|why| start.fail(why))?);
    let store = open_store(&start, disk).map_err(|why| start.fail(why))?;
    let runtime = super::runtime(observe::flush).map_err(|e| start.fail(e.to_string()))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let agents = Rc::new(Agents::default());
        agents.set(plan, &numbers, &start.tag).map_err(|why| start.fail(why))?;
        let first = snapshot(&start.config, ways, &start.tag).map_err(|why| start.fail(why))?;
        let Start { arguments, inherited, config, tag, .. } = start;
        let (orders_in, orders) = mpsc::channel(ORDERS_WAITING);
        let (reloads_in, reloads) = mpsc::channel(RELOADS_WAITING);
        let (trigger, shutdown) = Shutdown::new();
        let io = |e: std::io::Error| e.to_string();
        let listen = |socket| tokio::net::UnixListener::from_std(socket).map_err(io);
        let mut public = tokio::task::JoinSet::new();
        let live = control::serve_live(listen(lists)?, orders_in.clone(), tag.clone(), shutdown.clone());
        public.spawn_local(live);
        let triggers = listen(triggers)?;
        public.spawn_local(control::serve_orders(triggers, orders_in, tag.clone(), shutdown.clone()));
        let bounce_name = agents::syslog_name(&config, None)?;
        let (probes_in, probes) = mpsc::channel(ORDERS_WAITING);
        public.spawn_local(verify::serve(listen(questions)?, desk.clone(), probes_in));
        let inputs = Inputs {
            spool: store,
            snapshot: first,
            reloads,
            hand: agents.clone(),
            notices: listen(notices)?,
            orders,
            desk,
            probes,
            bounce_tag: Tag::new(&bounce_name, "bounce", tag.number),
            cleanup_tag: Tag::new(&bounce_name, "cleanup", tag.number),
            tag: tag.clone(),
            shutdown,
        };
        let (directory, own_tag) = (arguments.config_directory, tag.clone());
        let own_agents = Rc::clone(&agents);
        let reload = move || {
            let config = Config::load(&directory).map_err(|e| e.to_string())?;
            // A start opens tables as root; what only root may read is kept, so that no reload makes mail wait.
            let tables = routing::table_settings(&config, &own_tag)?;
            let tables = tables::Settings { before: opened.clone(), ..tables };
            let ways = routing::ways(&config, &tables)?;
            let plan = agents::Plan::read(&config, &tables, &ways.resolver)?;
            let snapshot = snapshot(&config, ways, &own_tag)?;
            agents.set(plan, &numbers, &own_tag)?;
            opened = tables.opened;
            reloads_in
                .try_send(snapshot)
                .map_err(|_| "the last configuration is still being taken".to_owned())
        };
        let told = telling.serve(telling::plain(), tag.clone()).map_err(io)?;
        let link: RoleLink = inherited.link.into_async().map_err(io)?;
        let following = tokio::task::spawn_local(super::follow_master(link, trigger, tag, reload));
        let result = qmgr::run(inputs).await.map_err(io);
        own_agents.finish().await;
        following.abort();
        public.abort_all();
        told.abort();
        telling.end();
        keeper.stop();
        result
    })
}

fn open_store(start: &Start, disk: Arc<RealDisk>) -> Result<Store, String> {
    let settings = queue::store_settings(&start.config, queue::reporter(&start.tag))?;
    let (store, recovered) =
        Store::open(settings, disk, clock::now()).map_err(|e| format!("the queue cannot be opened: {e}"))?;
    if recovered.messages > 0 || recovered.damaged > 0 {
        observe::info(
            &start.tag,
            format_args!(
                "journal: {} messages to deliver in {} segments, {} damaged ranges",
                recovered.messages, recovered.segments, recovered.damaged
            ),
        );
    }
    Ok(store)
}

/// All that a reload replaces, the agents aside.
fn snapshot(config: &Config, ways: routing::Ways, tag: &Tag) -> Result<Snapshot, String> {
    let settings = Settings::read(config, JOBS_MAX).map_err(|e| e.to_string())?;
    let lifetime = settings.scheduler.maximal_lifetime;
    let bounce = bounce::Settings::new(config, lifetime).map_err(|e| e.to_string())?;
    Ok(Snapshot {
        settings: Arc::new(settings),
        router: routing::router(ways, tag),
        bounce: Arc::new(bounce),
        verify: Arc::new(verify::Settings::read(config).map_err(|e| e.to_string())?),
    })
}
