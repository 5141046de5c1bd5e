//! `ecs-drain describe`: everything about the drain of one instance. Reads the DynamoDB table, and
//! asks STS for the account where the index does not show the drain.

use crate::cli::find::{self, Places, is_name};
use crate::cli::get::value;
use crate::cli::sheet::sheet;
use crate::cli::words::Screen;
use crate::cli::{Failure, Global, TableArgs};
use crate::quote::{self, plain};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain describe i-0123456789abcdef0
  ecs-drain describe 123456789012/eu-west-1/i-0123456789abcdef0
  ecs-drain describe i-0123456789abcdef0 -o json";

/// Which instance, and how it is shown.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DescribeArgs {
    /// The EC2 instance id, or ACCOUNT/REGION/INSTANCE, the key in the table
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// How to show it
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// Which table.
    #[command(flatten)]
    pub table: TableArgs,
}

/// How a record is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// The record, as JSON.
    Json,
}

/// Shows the drain of an instance.
///
/// # Errors
/// There is none, there are several, or the table cannot be read.
pub async fn run(args: &DescribeArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    is_name(&args.instance)?;
    let (sdk, store) = global.connect(&args.table).await?;
    let places = Places::new(global, &args.table, &sdk)?;
    let mut found = find::records(&store, &places, std::slice::from_ref(&args.instance)).await?;
    let (key, read) = found
        .remove(&args.instance)
        .unwrap_or_else(|| Err("not looked for".to_owned()))
        .map_err(|why| Failure::failed(plain(&why)))?;
    match args.output {
        Output::Json => writeln!(out, "{}", quote::json(&value(&key, &read)?)?)?,
        Output::Text => {
            out.write_all(sheet(&key, &read, Timestamp::now(), Screen::detect()).as_bytes())?
        }
    }
    Ok(())
}
