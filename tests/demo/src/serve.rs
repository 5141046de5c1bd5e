//! The same simulated AWS on a loopback port, for other processes: the `aws` command line, or
//! `ecs-drain get`.
//!
//! The port has a thread of its own with a runtime in real time, since the simulation's clock stops
//! while it waits for the wall clock. Requests arrive at the moment that the simulation has
//! reached.

use aws_simulator::Simulator;
use aws_simulator::server::{TimeScale, serve_until};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A simulated AWS on a port, until it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port of this machine alone.
    ///
    /// # Errors
    /// Returns an error if no port is free, or no thread can be started.
    pub fn start(simulator: &Simulator) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let simulator = simulator.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread =
            std::thread::Builder::new().name("simulated-aws".to_owned()).spawn(move || {
                let served = runtime.block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    serve_until(simulator, listener, TimeScale::Follow, async {
                        // Also when the sender was dropped.
                        let _ = stopped.await;
                    })
                    .await
                });
                if let Err(error) = served {
                    tracing::error!(%error, "the simulated AWS is no longer served");
                }
            })?;
        Ok(Server { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Returns the command for `ecs-drain`: the program built beside the demo, or else cargo.
fn program() -> String {
    let beside = std::env::current_exe().ok().map(|demo| demo.with_file_name("ecs-drain"));
    let built = beside.filter(|program| program.exists());
    built.map_or_else(|| "cargo run --quiet --".to_owned(), |program| program.display().to_string())
}

/// Returns commands that reach the simulated AWS; `stays` is an instance that is still in service.
pub fn commands(url: &str, stays: Option<&str>) -> String {
    let program = program();
    let aws = format!("aws --endpoint-url {url}");
    // Version 1 of the aws command line knows only the second name of the region's variable.
    let mut text = format!(
        "\
export AWS_ENDPOINT_URL={url} AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo

{aws} ecs list-clusters
{aws} autoscaling describe-auto-scaling-groups --output table \\
    --query 'AutoScalingGroups[].[AutoScalingGroupName,DesiredCapacity,length(Instances)]'
{aws} dynamodb scan --table-name ecs-drain --output table \\
    --query 'Items[?phase].[instance_id.S,phase.S,message.S]'

{program} get --all
"
    );
    if let Some(instance) = stays {
        text += &format!(
            "
# Terminate one more instance and watch its drain, which takes a few minutes:
{aws} autoscaling terminate-instance-in-auto-scaling-group \\
    --no-should-decrement-desired-capacity --instance-id {instance}
{program} get --watch

# A drain that is stuck, and the replacement of an AMI: docs/practice.md
"
        );
    }
    text
}
