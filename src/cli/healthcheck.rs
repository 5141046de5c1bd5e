//! `ecs-drain healthcheck`: the command of a container health check. It sends one HTTP request to
//! the controller, so the image needs neither a shell nor curl.

use crate::cli::{Failure, Global};
use crate::config::Given;
use clap::Args;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const EXAMPLES: &str = "\
Examples:
  ecs-drain healthcheck                              at the address in ECS_DRAIN_LISTEN or `listen`
  ecs-drain healthcheck --listen 127.0.0.1:8080
  ecs-drain healthcheck --ready                      /readyz instead of /healthz

Use the first as a container health check. A controller that is not ready, for example without its table,
still sends heartbeats: a restart does not help.";

/// Time limit for the answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Most bytes that are read of an answer.
const MOST: u64 = 64 * 1024;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HealthcheckArgs {
    /// Address of the controller [default: as configured]
    #[arg(long, value_name = "ADDRESS", env = "ECS_DRAIN_LISTEN")]
    pub listen: Option<String>,
    /// Check /readyz instead of /healthz
    #[arg(long)]
    pub ready: bool,
}

/// Requests `/healthz` or `/readyz` of the controller, and prints the answer.
///
/// # Errors
/// Returns an error if no address is configured, the controller does not answer in time, or its
/// status is not 200.
pub(crate) async fn run(
    args: &HealthcheckArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let address = match &args.listen {
        Some(text) => text.parse().map_err(|_| Failure::usage(format!("{text:?} is not an IP address with a port")))?,
        None => global.load(&Given::default())?.listen.ok_or_else(|| {
            Failure::usage("the controller has no address to check: set `listen`, --listen or ECS_DRAIN_LISTEN for it and for this command")
        })?,
    };
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let (status, text) = tokio::time::timeout(PATIENCE, ask(reachable(address), path))
        .await
        .map_err(|_| {
            Failure::failed(format!(
                "http://{address}{path} did not answer within {} s",
                PATIENCE.as_secs()
            ))
        })?
        .map_err(|error| Failure::failed(format!("http://{address}{path}: {error}")))?;
    if status == 200 {
        write!(out, "{text}")?;
        Ok(())
    } else {
        Err(Failure::failed(format!("http://{address}{path} returned {status}: {}", text.trim())))
    }
}

/// Returns the loopback address for a listener on every interface, and any other address unchanged.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

/// Sends one GET and returns status and body. HTTP/1.0, since there the end of the connection ends
/// the answer.
async fn ask(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    status
        .map(|status| (status, body.to_owned()))
        .ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}
